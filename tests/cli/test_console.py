"""``leadpay console``, and the page of ``leadpay sandbox``."""

import socket
import sys
from pathlib import Path

import pytest

from leadpay.cli import console as command
from leadpay.cli.console import sandbox_console
from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.outbox import open_outbox
from leadpay.sandbox import Sandbox
from tests.cli.conftest import ExitCode
from tests.cli.processes import request_status, running

TOKEN = "operator-token-0123"


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAD_CONSOLE_TOKEN", "LEAD_CONSOLE_READ_ONLY_TOKEN", "LEAD_INBOX", "LEAD_OUTBOX", "LEAD_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to show"),
        (("--inbox", "sqlite:///nowhere.db"), "no such file"),
        (("--outbox", "sqlite:///nowhere.db"), "no such file"),
        (("--inbox", "sqlite:///nowhere.db", "--host", "0.0.0.0"), "LEAD_CONSOLE_TOKEN"),  # noqa: S104 - refused
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], message: str, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is created, and no one else is let in."""
    assert exit_code_of("console", *arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("nowhere.db").exists()


@pytest.mark.asyncio
async def test_it_serves_until_a_signal(tmp_path: Path) -> None:
    """An inbox and an outbox, to everyone on this machine."""
    inbox, outbox = f"sqlite:///{tmp_path}/inbox.db", f"sqlite:///{tmp_path}/outbox.db"
    async with open_inbox(inbox), open_outbox(outbox):
        pass
    with running("console", "--port", "0", "--inbox", inbox, "--outbox", outbox) as (_, output):
        line = output.readline()
        assert line.startswith("the console is at http://127.0.0.1:")
        url = line.rpartition(" ")[2].strip()
        assert request_status(f"{url}instructions", "GET") == 200
        assert request_status(f"{url}events", "GET") == 200


def test_the_sandbox_shows_what_happens() -> None:
    """Its page is on by default."""
    with running("sandbox", "--port", "0") as (_, output):
        lines = [output.readline() for _ in range(5)]
        assert lines[4].startswith("# what happens: http://127.0.0.1:")
        assert request_status(f"{lines[4].rpartition(' ')[2].strip()}bank/payments", "GET") == 200
    with running("sandbox", "--port", "0", "--no-console") as (typed, output):
        for _ in range(4):
            output.readline()
        typed.write("dance\n")
        typed.close()
        assert output.readline().startswith("? type ")


@pytest.mark.asyncio
async def test_the_page_has_the_next_port_or_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was named must be free; on another host than loopback, a token is needed."""
    bank = Sandbox()
    with socket.create_server(("127.0.0.1", 0)) as other:
        used = other.getsockname()[1]
        async with sandbox_console(bank, host="127.0.0.1", port=None, next_to=used - 1) as url:
            assert not url.endswith(f":{used}/")
        with pytest.raises(OSError, match="in use"):
            async with sandbox_console(bank, host="127.0.0.1", port=used, next_to=0):
                raise AssertionError
    async with sandbox_console(bank, host="0.0.0.0", port=0, next_to=0) as url:  # noqa: S104 - it does not listen there
        assert url.startswith("http://127.0.0.1:")
    monkeypatch.setenv("LEAD_CONSOLE_TOKEN", TOKEN)
    async with sandbox_console(bank, host="0.0.0.0", port=0, next_to=0) as url:  # noqa: S104 - with a token
        assert url.startswith("http://0.0.0.0:")


def test_without_the_extra_the_sandbox_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the command says what to install."""
    assert command.has_console()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert not command.has_console()
    with pytest.raises(ConfigurationError, match=r"leadpay\[console\]"):
        command._page_modules()
