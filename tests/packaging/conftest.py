"""The wheel, built once, and a virtual environment without anything from this checkout."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
UV = os.environ.get("UV", "uv")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command without the variables that would expose the packages of this environment."""
    passed = {name: value for name, value in os.environ.items() if name in {"HOME", "PATH", "UV_CACHE_DIR"}}
    passed |= {name: value for name, value in os.environ.items() if name.startswith(("UV_INDEX", "UV_DEFAULT", "SSL_"))}
    return subprocess.run(  # noqa: S603 - our own
        [str(argument) for argument in command],
        cwd=cwd,
        env={**passed, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


class Environment(NamedTuple):
    """A virtual environment, and an empty folder to run its Python in."""

    python: Path
    folder: Path

    def run(self, *arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run its Python."""
        return run(self.python, *arguments, cwd=self.folder, env=env)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a release builds it: from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(UV, "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    created = run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    assert created.returncode == 0, created.stderr
    python = folder / "venv" / "bin" / "python"
    packages = (f"leadpay[cli] @ {wheel.as_uri()}", PLUGIN, "pytest>=9.1", "pytest-asyncio>=1.3")
    done = run(UV, "pip", "install", "--quiet", "--python", python, *packages, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "empty").mkdir()
    return Environment(python, folder / "empty")
