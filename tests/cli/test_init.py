"""The ``leadpay`` command as a whole: help, completion, and how it exits."""

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from cyclopts import App

from leadpay.cli import app
from tests.cli.conftest import ExitCode


def commands(parent: App, *path: str) -> Iterator[tuple[tuple[str, ...], App]]:
    """List every command and subcommand."""
    for name in parent:
        if not name.startswith("-"):
            yield (*path, name), parent[name]
            yield from commands(parent[name], *path, name)


COMMANDS = dict(commands(app))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_a_help_text(path: tuple[str, ...]) -> None:
    """The command reference is made of these texts."""
    command = COMMANDS[path]
    assert command.help
    if command.default_command is not None:
        arguments = command.assemble_argument_collection(parse_docstring=True)
        assert [one.name for one in arguments if not one.parameter.help] == []


@pytest.mark.parametrize(
    ("shell", "folder"),
    [("bash", ".local/share/bash-completion/completions/leadpay"), ("fish", ".config/fish/completions/leadpay.fish")],
)
def test_completion_is_installed(
    shell: str, folder: str, exit_code_of: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script knows commands and options."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert exit_code_of("--install-completion", "--shell", shell) == 0
    script = (tmp_path / folder).read_text()
    assert "payments" in script
    assert "counterparty-status" in script


def test_the_help_names_commands_and_completion(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """A new user finds both with --help."""
    assert exit_code_of("--help") == 0
    out = capsys.readouterr().out
    assert {name for (name, *rest) in COMMANDS if not rest} <= set(out.split())
    assert "--install-completion" in out


def test_the_bash_script_completes_a_command(tmp_path: Path) -> None:
    """Bash offers the commands that begin with the letters typed so far."""
    script = tmp_path / "leadpay"
    script.write_text(app.generate_completion(shell="bash"))  # noqa: S604 - the name of a shell, not a command
    lines = f". {script}; COMP_WORDS=(leadpay paym); COMP_CWORD=1; _leadpay; echo ${{COMPREPLY[*]}}"
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)  # noqa: S603, S607 - our own
    assert done.stdout == "payments\n"


def test_without_its_extra_the_command_says_what_to_install() -> None:
    """The message names the extra."""
    code = (
        "import sys\nsys.modules['cyclopts'] = None\nimport leadpay.__main__ as entry\n"
        "try: entry.main()\nexcept SystemExit as stop: print(stop.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert done.stdout == "the leadpay command needs an extra: pip install 'leadpay[cli]'\n"


def test_another_missing_module_is_not_hidden() -> None:
    """Only the extra's own absence is explained."""
    code = "import sys\nsys.modules['attrs'] = None\nimport leadpay.__main__ as entry\nentry.main()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 1
    assert "attrs" in done.stderr


def test_an_interruption_is_no_traceback(handlers: str, tmp_path: Path, exit_code_of: ExitCode) -> None:
    """Ctrl-C during a command is exit code 130, as shells expect."""
    (tmp_path / "stopping.py").write_text("raise KeyboardInterrupt\n")
    assert exit_code_of("check", "stopping:router") == 130


def test_a_closed_pipe_is_no_traceback(handlers: str) -> None:
    """As in ``leadpay check handlers:router | head -0``."""
    command = f"{sys.executable} -m leadpay check {handlers}:router | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)  # noqa: S603, S607 - our own
    assert done.stderr == ""
    assert done.stdout in ("141\n", "1\n")


def test_what_a_terminal_cannot_show_is_escaped(
    exit_code_of: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of a surrogate pair in the bank's text does not end a command; other outputs are left as they are."""
    assert exit_code_of("plugins") == 0
    sys.stdout.write("\ud800\n")
    assert capsys.readouterr().out.endswith("\\ud800\n")
    other = StringIO()
    monkeypatch.setattr(sys, "stdout", other)
    assert exit_code_of("plugins") == 0
    assert other.getvalue()
