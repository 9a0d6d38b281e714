"""The command: what it prints, and the exit statuses that scripts rely on."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from leadpay.cli import run
from leadpay.cli import status_of as exit_status_of
from leadpay.cli.play import command
from leadpay.errors import (
    AuthenticationError,
    ConfigurationError,
    LeadError,
    NoAnswerError,
    NotFoundError,
    RequestNotSentError,
)
from leadpay.models import Agent, Party
from leadpay.sandbox import ManualClock, Sandbox

HANDLERS = """
from leadpay import InstantPaymentEvent, WebhookRouter

router = WebhookRouter()
other = "no router"

@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None: ...

complete = WebhookRouter()

@complete.on("instant_payment.*")
async def everything(event) -> None: ...

@complete.unhandled
async def rest(event) -> None: ...
"""


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with routers in the current folder."""
    name = f"handlers_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(HANDLERS)
    (tmp_path / "broken_handlers.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return name


def status_of(*arguments: str) -> int:
    """Run a command in this process and give its exit status."""
    with pytest.raises(SystemExit) as exit_info:
        run(arguments)
    code = exit_info.value.code
    return code if isinstance(code, int) else 0 if code is None else 1


def test_demo_tells_the_whole_story(capsys: pytest.CaptureFixture[str]) -> None:
    """All six parts happen, and the exit status says so."""
    assert status_of("demo", "--delay", "0") == 0
    out = capsys.readouterr().out
    assert "Everything that should have happened did." in out
    assert all(f"\n{number}. " in out for number in range(1, 7))
    assert "1234567890" not in out
    assert "Alex Smith" not in out


def test_check_lists_routes_and_names_what_is_missing(handlers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mandatory event that nobody handles is exit status 1."""
    assert status_of("check", f"{handlers}:router") == 1
    out = capsys.readouterr().out
    assert f"instant_payment.posted  {handlers}:credit  [direction=incoming]" in out
    assert "MISSING: the bank makes instant_payment.return_request_response_needed mandatory" in out


def test_check_is_content_with_a_complete_router(handlers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is missing: exit status 0."""
    assert status_of("check", f"{handlers}:complete") == 0
    assert "(unhandled)" in capsys.readouterr().out


def test_check_speaks_json(handlers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get one object, and the same exit status."""
    assert status_of("check", f"{handlers}:router", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["missing"] == ["instant_payment.return_request_response_needed"]
    assert said["routes"] == [
        {
            "handler": f"{handlers}:credit",
            "router": handlers,
            "events": ["instant_payment.posted"],
            "filters": "direction=incoming",
            "retries": None,
            "timeout": None,
        }
    ]


@pytest.mark.parametrize("place", ["nowhere:router", "handlers", "{}:other", "{}:missing", ":router"])
def test_a_wrong_place_is_one_line(handlers: str, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A user's mistake ends in exit status 2 and a sentence."""
    assert status_of("check", place.format(handlers)) == 2
    err = capsys.readouterr().err
    assert err.startswith("leadpay: ")
    assert err.count("\n") == 1


def test_an_error_inside_the_module_is_shown_whole(handlers: str) -> None:
    """A module that itself fails to import is not mistaken for a missing one."""
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        run(["check", "broken_handlers:router"])


def test_a_wrong_fault_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The kinds that exist are named."""
    assert status_of("sandbox", "--fault", "bogus") == 2
    assert "response_lost" in capsys.readouterr().err


def test_serve_without_a_secret_is_one_line(handlers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No secret is an error, never "accept"."""
    assert status_of("serve", f"{handlers}:router", "--port", "0") == 2
    assert "secret" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(handlers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for what the user can mend."""
    assert status_of("serve", f"{handlers}:router", "--secret", "whsec_1", "--host", "203.0.113.1") == 2
    assert capsys.readouterr().err.startswith("leadpay: ")


def test_a_bank_whose_port_is_taken_is_one_line(tmp_path: Path) -> None:
    """It names the address and the way out, and leaves nothing open behind it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-X", "dev", "-m", "leadpay", "sandbox", "--port", port],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("leadpay: ")
    assert port in line
    assert line.endswith("choose another with --port, or 0 for any that is free")


def talk_to(arguments: list[str], path: str, method: str, *, lines: int = 1) -> tuple[str, int, int]:
    """Start a server command, call what it printed, end it; give its output, the answer's status and its own."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "leadpay", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        out = [process.stdout.readline() for _ in range(lines)]
        url = out[0].replace("=", " ").split()[-1]
        request = urllib.request.Request(url + path, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        process.stdout.close()
    return "".join(out), status, process.returncode


def test_sandbox_prints_what_to_paste_and_stops_on_a_signal() -> None:
    """The address, the credentials and the secret are there; a call without a token is refused; it ends with 0."""
    arguments = ["sandbox", "--port", "0", "--client-id", "me", "--client-secret", "s"]
    out, status, code = talk_to(arguments, "/v1/event", "GET", lines=4)
    assert (status, code) == (401, 0)
    assert "export LEAD_CLIENT_ID=me\nexport LEAD_CLIENT_SECRET=s\nexport LEAD_WEBHOOK_SECRETS=whsec_" in out


def test_serve_receives_webhooks_until_a_signal(handlers: str) -> None:
    """An unsigned webhook is refused; the process ends with 0."""
    _, status, code = talk_to(["serve", f"{handlers}:router", "--port", "0", "--secret", "whsec_1,whsec_2"], "", "POST")
    assert (status, code) == (401, 0)


def test_without_its_extra_the_command_says_what_to_install() -> None:
    """A bare installation has no command, and says so in a sentence."""
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


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError(status=404), 1),
        (AuthenticationError(status=401), 2),
        (ConfigurationError("x"), 2),
        (OSError("port"), 2),
        (RequestNotSentError(), 3),
        (NoAnswerError(), 3),
    ],
)
def test_an_error_has_its_exit_status(error: LeadError | OSError, status: int) -> None:
    """Scripts can tell no from a mistake, and both from a network that failed."""
    assert exit_status_of(error) == status


def test_an_interruption_is_no_traceback(handlers: str, tmp_path: Path) -> None:
    """Ctrl-C during a command ends it as a shell expects."""
    (tmp_path / "stopping.py").write_text("raise KeyboardInterrupt\n")
    assert status_of("check", "stopping:router") == 130


def test_a_reader_that_has_gone_is_no_traceback(handlers: str) -> None:
    """As in ``leadpay check handlers:router | head -0``."""
    command = f"{sys.executable} -m leadpay check {handlers}:router | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)  # noqa: S603, S607 - our own
    assert done.stderr == ""
    assert done.stdout in ("141\n", "1\n")


@pytest.mark.asyncio
async def test_what_is_typed_moves_the_sandbox() -> None:
    """Time, holds and wishes; what makes no sense is answered."""
    clock = ManualClock(0.0)
    async with Sandbox(clock=clock, delay=1) as bank, bank.client() as lead:
        assert await command(bank, "+1h") == "it is 1970-01-01 01:00:00 UTC"
        assert await command(bank, "next held") == "done"
        assert await command(bank, "next unsubmitted outgoing") == "done"
        ids = []
        for _ in range(2):
            payment = await lead.instant_payments.send(
                account_number_id="account_number_1",
                amount=1,
                creditor=Party(name="Alex Smith", account_number="1234567890"),
                creditor_agent=Agent(routing_number="111000111"),
            )
            ids.append(payment.id)
        await command(bank, "+5")
        await command(bank, f"refuse {ids[0]} other")
        await command(bank, f"release {ids[1]}")
        await command(bank, "+1.5m")
        assert [(await lead.instant_payments.retrieve(one)).status for one in ids] == ["rejected", "posted"]
        for nonsense in ("dance", "release", "refuse", "next", "next held sideways", "+1y", "next lost"):
            with pytest.raises(ValueError, match=r"type|outcome"):
                await command(bank, nonsense)
    async with Sandbox() as bank:
        with pytest.raises(ValueError, match="--clock manual"):
            await command(bank, "+1h")


def test_the_sandbox_does_what_is_typed() -> None:
    """Over a pipe, line by line, also where something makes no sense; the end of the input is not its end."""
    arguments = ["sandbox", "--port", "0", "--clock", "manual", "--webhook-secret", "whsec_1"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "leadpay", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for _ in range(4):
            process.stdout.readline()
        process.stdin.write("\n+3h\ndance\n")
        process.stdin.close()
        assert process.stdout.readline().startswith("it is ")
        assert process.stdout.readline().startswith("? type ")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        process.stdout.close()
