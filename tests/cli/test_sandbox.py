"""``leadpay sandbox``: what it prints, and the commands it reads from standard input."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from leadpay.cli.sandbox import print_attempt, run_command
from leadpay.models import Agent, Party
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.sandbox.delivery import Attempt
from tests.cli.conftest import ExitCode
from tests.cli.processes import request_status, running


def test_a_wrong_fault_is_one_line(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the kinds that exist."""
    assert exit_code_of("sandbox", "--fault", "bogus") == 2
    assert "response_lost" in capsys.readouterr().err


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """The message names the port and the option that changes it; nothing is left open."""
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
    assert line.endswith("choose another with --port, or 0 for any free port")


def test_the_environment_is_printed_until_a_signal() -> None:
    """Address, credentials and secret are printed; a call without a token gets 401; SIGTERM is exit code 0."""
    with running("sandbox", "--port", "0", "--client-id", "me", "--client-secret", "s") as (_, output):
        address, *rest = (output.readline() for _ in range(4))
        url = address.removeprefix("export LEAD_BASE_URL=").strip()
        assert request_status(f"{url}/v1/event", "GET") == 401
    assert rest[:2] == ["export LEAD_CLIENT_ID=me\n", "export LEAD_CLIENT_SECRET=s\n"]
    assert rest[2].startswith("export LEAD_WEBHOOK_SECRETS=whsec_")


@pytest.mark.asyncio
async def test_commands_change_the_sandbox() -> None:
    """They move the clock, choose outcomes, and release or refuse held payments; other lines are refused."""
    clock = ManualClock(0.0)
    async with Sandbox(clock=clock, delay=1) as bank, bank.client() as lead:
        assert await run_command(bank, "+1h") == "it is 1970-01-01 01:00:00 UTC"
        assert await run_command(bank, "next held") == "done"
        assert await run_command(bank, "next unsubmitted outgoing") == "done"
        ids = []
        for _ in range(2):
            payment = await lead.instant_payments.send(
                account_number_id="account_number_1",
                amount=1,
                creditor=Party(name="Alex Smith", account_number="1234567890"),
                creditor_agent=Agent(routing_number="111000111"),
            )
            ids.append(payment.id)
        await run_command(bank, "+5")
        await run_command(bank, f"refuse {ids[0]} other")
        await run_command(bank, f"release {ids[1]}")
        await run_command(bank, "+1.5m")
        assert [(await lead.instant_payments.retrieve(one)).status for one in ids] == ["rejected", "posted"]
        for nonsense in ("dance", "release", "refuse", "next", "next held sideways", "+1y", "next lost"):
            with pytest.raises(ValueError, match=r"type|outcome"):
                await run_command(bank, nonsense)
    async with Sandbox() as bank:
        with pytest.raises(ValueError, match="--clock manual"):
            await run_command(bank, "+1h")


def test_commands_are_read_from_standard_input() -> None:
    """A wrong line is reported and ignored, and the end of the input does not stop the sandbox."""
    with running("sandbox", "--port", "0", "--clock", "manual", "--webhook-secret", "whsec_1") as (typed, output):
        for _ in range(5):
            output.readline()
        typed.write("\n+3h\ndance\n")
        typed.close()
        assert output.readline().startswith("it is ")
        assert output.readline().startswith("? type ")


def test_each_attempt_to_deliver_a_webhook_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the endpoint's response, and why it failed."""
    accepted = Attempt("event_1", "a.b", 1, 0.0, 200, "http://127.0.0.1/", 0.01, None, 1)
    print_attempt(accepted)
    print_attempt(accepted._replace(number=2, status=None, error="the connection was refused"))
    assert capsys.readouterr().out.splitlines() == [
        "# webhook a.b event_1 attempt 1 -> 200 in 0.01 s",
        "# webhook a.b event_1 attempt 2 -> no response in 0.01 s: the connection was refused",
    ]
