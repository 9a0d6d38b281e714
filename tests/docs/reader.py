"""A reader who does what a page says, to the letter: saves its files, and types its commands.

- Python that begins with a comment such as ``# handlers.py`` is saved under that name; other Python is executed, each
  page's blocks in one namespace. TOML is saved likewise.
- A line ``$ command`` is typed. What follows it is what must be printed; ``...`` stands for anything.
- ``leadpay sandbox`` and ``leadpay serve`` run on, as in terminals of their own, until the page ends. A console block
  without a command is what one of those terminals shows next.
- Port numbers are replaced by free ones, and the sandbox takes no time.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from leadpay.cli import run
from tests.fences import Block

ROOT = Path(__file__).parents[2]
PORTS = ("8080", "8081", "8765")
"""The ports that pages speak of."""

FILE = re.compile(r"# ([\w/]+\.(?:py|toml))\n")
WITHOUT = [
    option for name in ("schemathesis", "hypothesispytest", "cov", "cacheprovider") for option in ("-p", f"no:{name}")
]
"""Plugins that have nothing to do with it, and take their time to start."""

STRICT = ["-W", "error", "-W", "ignore:The configuration option"]
"""Warnings are errors, but for what pytest-asyncio says of its own configuration."""


class Reader:
    """Follows one page."""

    def __init__(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._ports = {port: str(unused_port()) for port in PORTS}
        self._names: dict[str, Any] = {"__name__": "page"}
        self._terminals: list[subprocess.Popen[str]] = []
        monkeypatch.syspath_prepend(str(pytester.path))
        settings = {
            "LEAD_PORT": "8080",
            "LEAD_SANDBOX_PORT": "8765",
            "LEAD_SANDBOX_DELAY": "0",
            "PYTHONUNBUFFERED": "1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, self._ports.get(value, value))

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        text = re.sub("|".join(PORTS), lambda port: self._ports[port[0]], block.text)
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
            terminal.terminate()
            terminal.communicate(timeout=10)

    def _type(self, text: str) -> None:
        before, *commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
        if before:
            self._expect(before, self._read_terminal(before))
        for command in commands:
            line, _, expected = re.sub(r"\\\n\s*", "", command).partition("\n")
            self._expect(expected, self._do(shlex.split(line), expected))

    def _do(self, words: list[str], expected: str) -> str:
        match words:
            case ["export", *settings]:
                for setting in settings:
                    self._monkeypatch.setenv(*setting.split("=", 1))
                return ""
            case ["pip", "install", *requirements]:
                self._check(requirements)
                return ""
            case ["leadpay", "sandbox" | "serve", *_]:
                return self._open_terminal(words, expected)
            case ["leadpay", *arguments]:
                return self._printed(lambda: run(arguments))
            case ["python", script]:
                return self._printed(lambda: runpy.run_path(script, run_name="__main__"))
            case ["pytest", *arguments]:
                return self._test(arguments)
        raise AssertionError(f"nobody knows how to type {shlex.join(words)}")

    def _check(self, requirements: list[str]) -> None:
        """Installing is tested elsewhere; here, that what is asked for exists."""
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for requirement in requirements:
            asked = re.fullmatch(r"leadpay(?:\[([\w,]+)\])?", requirement)
            assert asked, requirement
            assert set((asked[1] or "").split(",")) - {""} <= set(extras), requirement

    def _printed(self, action: Any) -> str:
        self._capsys.readouterr()
        with self._forgetting_modules():
            try:
                action()
            except SystemExit as ended:
                code = ended.code
                return self._capsys.readouterr().out + (f"exit status {code}\n" if code else "")
        return self._capsys.readouterr().out

    def _test(self, arguments: list[str]) -> str:
        self._capsys.readouterr()
        result = self._pytester.runpytest_inprocess(*STRICT, *WITHOUT, *arguments)
        self._capsys.readouterr()
        assert result.ret == 0, "\n".join([*result.outlines, *result.errlines])
        return result.outlines[-1].strip("= ") + "\n"

    def _open_terminal(self, words: list[str], expected: str) -> str:
        terminal = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, cwd=self._pytester.path, env=os.environ
        )
        self._terminals.append(terminal)
        return self._read_terminal(expected)

    def _read_terminal(self, expected: str) -> str:
        """Read as many lines as are expected; of the terminal that was opened last."""
        output = self._terminals[-1].stdout
        assert output is not None
        return "".join(output.readline() for _ in expected.splitlines())

    def _expect(self, expected: str, printed: str) -> None:
        pattern = re.escape(expected.rstrip("\n")).replace(r"\.\.\.", ".*")
        rows = "\n".join(row.rstrip() for row in printed.rstrip("\n").split("\n"))
        assert re.fullmatch(pattern, rows, re.DOTALL), f"\n{rows}\n--- is not\n{expected}"

    @contextmanager
    def _forgetting_modules(self) -> Iterator[None]:
        """Each command is a process of its own: what it imports from the page's folder is not kept for the next."""
        known = set(sys.modules)
        try:
            yield
        finally:
            for name in set(sys.modules) - known:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if file.startswith(str(self._pytester.path)):
                    del sys.modules[name]
