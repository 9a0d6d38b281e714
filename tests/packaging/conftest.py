"""The wheel, built once, and an environment with nothing of this checkout."""

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
    """Run a command with an environment that says nothing of this one's packages."""
    kept = {name: value for name, value in os.environ.items() if name in {"HOME", "PATH", "UV_CACHE_DIR"}}
    kept |= {name: value for name, value in os.environ.items() if name.startswith(("UV_INDEX", "UV_DEFAULT", "SSL_"))}
    return subprocess.run(  # noqa: S603 - our own
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


class Home(NamedTuple):
    """An environment, and an empty folder to run things in."""

    python: Path
    folder: Path

    def run(self, *arguments: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run its Python."""
        return run(self.python, *arguments, cwd=self.folder, env=env)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a release has it: made from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(UV, "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Home:
    folder = tmp_path_factory.mktemp("home")
    made = run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    assert made.returncode == 0, made.stderr
    python = folder / "venv" / "bin" / "python"
    wanted = (f"leadpay[cli] @ {wheel.as_uri()}", PLUGIN, "pytest>=9.1", "pytest-asyncio>=1.3")
    done = run(UV, "pip", "install", "--quiet", "--python", python, *wanted, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "empty").mkdir()
    return Home(python, folder / "empty")
