"""A reader that follows a page exactly: it saves the files and runs the commands.

- Python that begins with a comment such as ``# handlers.py`` is saved under that name; other Python is executed, each
  page's blocks in one namespace. TOML is saved in the same way.
- A line ``$ command`` is run. It must print the lines that follow it; ``...`` stands for anything.
- ``leadpay sandbox`` and ``leadpay serve`` run in terminals of their own until the page ends. A console block without a
  command is what the newest of these terminals prints next.
- Port numbers are replaced by free ones, and the sandbox has no delay. A page's PostgreSQL database is a real one.
"""

import re
import runpy
import shlex
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # noqa: F401 - for the pages: after each, pytester forgets new modules, and this one crashes if it is loaded twice
import pytest
import sqlalchemy.dialects.postgresql.asyncpg
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.aiosqlite
import sqlalchemy.ext.asyncio  # noqa: F401 - the same
from aiohttp.test_utils import unused_port

from leadpay.cli import run
from tests.docs.terminal import Terminal
from tests.support.fences import Block
from tests.support.postgres import serving

ROOT = Path(__file__).parents[2]
PORTS = ("8080", "8765")
"""The ports that the pages use."""

DATABASE = "postgresql://leadpay:secret@db.example/leadpay"
"""The database that the pages use."""

REPEATABLE = {"payments", "events", "stats", "list", "show", "secrets", "examples/traces.py"}
"""Commands that are run again until they print what is expected: what they show takes a moment to become true."""

REPEAT_SECONDS = 5.0
"""How long such a command is repeated at most."""

FILE = re.compile(r"# ([\w/]+\.(?:py|toml))\n")
WITHOUT = [
    option for name in ("schemathesis", "hypothesispytest", "cov", "cacheprovider") for option in ("-p", f"no:{name}")
]
"""pytest plugins that the pages do not use and that are slow to start."""

STRICT = ["-W", "error", "-o", "asyncio_default_fixture_loop_scope=function"]
"""Warnings are errors; some versions of pytest-asyncio warn without this option."""


def matches(expected: str, printed: str) -> bool:
    """Tell whether the output is as expected; column widths do not matter."""
    pattern, text = (re.sub(r" +", " ", re.sub(r" *\n", "\n", one.strip())) for one in (expected, printed))
    return re.fullmatch(re.escape(pattern).replace(r"\.\.\.", ".*"), text, re.DOTALL) is not None


class Reader:
    """Follows one page."""

    def __init__(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._places = {port: str(unused_port()) for port in PORTS}
        self._names: dict[str, Any] = {"__name__": "page"}
        self._status: object = 0
        self._terminals: list[Terminal] = []
        self._stack = ExitStack()
        monkeypatch.syspath_prepend(str(pytester.path))
        settings = {
            "LEAD_PORT": "8080",
            "LEAD_SANDBOX_PORT": "8765",
            "LEAD_SANDBOX_DELAY": "0",
        }
        # The fork server outlives the tests, so its coverage data would too.
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, self._places.get(value, value))

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        if DATABASE in block.text and DATABASE not in self._places:
            self._places[DATABASE] = self._stack.enter_context(serving())
        text = re.sub("|".join(map(re.escape, self._places)), lambda place: self._places[place[0]], block.text)
        if named := FILE.match(text):
            path = self._pytester.path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif block.language == "python":
            exec(compile(text, f"line {block.line}", "exec"), self._names)  # noqa: S102 - our own page
        elif block.language == "console":
            self._type(text)
        else:
            raise AssertionError(f"line {block.line}: a block of {block.language!r} cannot be followed")

    def close(self) -> None:
        """Close the terminals."""
        for terminal in self._terminals:
            terminal.close()
        self._stack.close()

    def _type(self, text: str) -> None:
        before, *commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
        if before:
            printed = self._terminals[-1].read(len(before.splitlines()))
            assert matches(before, printed), f"{printed}\n--- is not\n{before}"
        for command in commands:
            line, _, expected = re.sub(r"\\\n\s*", "", command).partition("\n")
            words = shlex.split(line)
            deadline = time.monotonic() + (REPEAT_SECONDS if REPEATABLE & set(words) else 0)
            while not matches(expected, printed := self._do(words, expected)):
                assert time.monotonic() < deadline, f"{line}\n{printed}\n--- is not\n{expected}"
                time.sleep(0.05)

    def _do(self, words: list[str], expected: str) -> str:
        """Run a command and return what it prints."""
        match words:
            case ["leadpay", "sandbox" | "serve", *_]:
                return self._open_terminal(words, expected)
            case ["leadpay", *arguments]:
                return self._printed(lambda: run(arguments))
            case ["python", script]:
                path = ROOT / script if script.startswith("examples/") else Path(script)
                return self._printed(lambda: runpy.run_path(str(path), run_name="__main__"))
            case ["pytest", *arguments]:
                return self._test(arguments)
            case ["echo", "$?"]:
                return f"{self._status}\n"
        self._prepare(words)
        return ""

    def _prepare(self, words: list[str]) -> None:
        """Run a command whose output does not matter."""
        match words:
            case ["export", *settings]:
                for setting in settings:
                    self._monkeypatch.setenv(*setting.split("=", 1))
            case ["pip", "install", "."]:
                self._install()
            case ["pip", "install", *requirements]:
                self._check(requirements)
            case _:
                raise AssertionError(f"the reader does not know the command {shlex.join(words)}")

    def _check(self, requirements: list[str]) -> None:
        """Check that the extras and packages exist; installing them is tested elsewhere."""
        about = tomllib.loads((ROOT / "pyproject.toml").read_text())
        for requirement in requirements:
            name, *extras = re.findall(r"[\w-]+", requirement)
            if name == "leadpay":
                assert set(extras) <= set(about["project"]["optional-dependencies"]), requirement
            else:
                assert any(one.startswith(requirement) for one in about["dependency-groups"]["test"]), requirement

    def _install(self) -> None:
        """Write the metadata of an installed distribution; its folder is already on the path."""
        project = tomllib.loads((self._pytester.path / "pyproject.toml").read_text())["project"]
        groups = project["entry-points"].items()
        points = "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in some.items()) for group, some in groups)
        metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        folder = self._pytester.mkdir(f"{project['name'].replace('-', '_')}-{project['version']}.dist-info")
        (folder / "METADATA").write_text(metadata)
        (folder / "entry_points.txt").write_text(points)

    def _printed(self, action: Any) -> str:
        self._capsys.readouterr()
        self._status = 0
        with self._forgetting_modules():
            try:
                action()
            except SystemExit as ended:
                self._status = ended.code or 0
        printed = self._capsys.readouterr()
        return printed.out or printed.err

    def _test(self, arguments: list[str]) -> str:
        self._capsys.readouterr()
        result = self._pytester.runpytest_inprocess(*STRICT, *WITHOUT, *arguments)
        self._capsys.readouterr()
        assert result.ret == 0, "\n".join([*result.outlines, *result.errlines])
        return result.outlines[-1].strip("= ") + "\n"

    def _open_terminal(self, words: list[str], expected: str) -> str:
        self._terminals.append(Terminal(words[1:], str(self._pytester.path)))
        return self._terminals[-1].read(len(expected.splitlines()))

    @contextmanager
    def _forgetting_modules(self) -> Iterator[None]:
        """Forget what a command imported from the page's folder: each command stands for a process of its own."""
        known = set(sys.modules)
        try:
            yield
        finally:
            for name in set(sys.modules) - known:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if file.startswith(str(self._pytester.path)):
                    del sys.modules[name]
