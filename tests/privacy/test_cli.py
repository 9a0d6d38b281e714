"""Commands print no personal data unless it is asked for."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from leadpay.cli import app, demo, run
from leadpay.inbox import HandlerRun, open_inbox
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.webhooks.event import parse
from leadpay.webhooks.plugins import load_plugins
from leadpay.webhooks.router import WebhookRouter
from tests.privacy.leaks import (
    AGENT,
    CANARIES,
    CLIENT_SECRET,
    DETAILS,
    NAME,
    OTHER,
    PASSWORD,
    PAYMENT,
    REASON,
    WEBHOOK_SECRET,
    LeakDetector,
    find_canaries,
)
from tests.support.gates import until
from tests.support.installed import Installed
from tests.support.webhook_endpoint import WebhookEndpoint

PERSONAL = {"name", "other name", "account number", "other account number", "description", "details"}
ROUTER = "from leadpay import WebhookRouter\nrouter = WebhookRouter()\n@router.posted\nasync def post(event): ...\n"


async def invoke(*arguments: str) -> Any:
    """Run a command in the test's own event loop."""
    command, bound, *_ = app.parse_args(list(arguments))
    result = command(*bound.args, **bound.kwargs)
    return await result if asyncio.iscoroutine(result) else result


async def stop(command: asyncio.Task[Any]) -> None:
    """Stop a command that runs until a signal."""
    if not command.done():
        os.kill(os.getpid(), signal.SIGTERM)
    await command


@pytest_asyncio.fixture
async def bank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A simulated bank with payments and a return request, and the environment to call it."""
    clock = ManualClock()
    secrets: dict[str, Any] = {"client_id": "me", "client_secret": CLIENT_SECRET, "webhook_secret": WEBHOOK_SECRET}
    async with Sandbox(clock=clock, delay=1, **secrets) as found, found.client() as lead:
        sent = await lead.instant_payments.send(**PAYMENT)
        await lead.simulate.incoming(account_number_id="account_number_1", amount=7, debtor=OTHER, debtor_agent=AGENT)
        await clock.advance(60)
        why: dict[str, Any] = {"reason": "narrative", "additional_information": DETAILS}
        await lead.instant_payments.request_return(sent.id, **why)
        await lead.simulate.incoming_return_request_rejection(sent.id, **why)
        await clock.advance(60)
        for name, value in {
            "LEAD_BASE_URL": found.url,
            "LEAD_CLIENT_ID": "me",
            "LEAD_CLIENT_SECRET": CLIENT_SECRET,
            "LEAD_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        yield found


@pytest.mark.asyncio
async def test_payments_and_events_are_printed_without_personal_data(
    bank: Sandbox, leaks: LeakDetector, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and fields are masked; JSON has everything."""
    printed = ""
    for kind in ("payments", "events"):
        await invoke(kind, "list", "--json")
        listed = capsys.readouterr().out
        assert find_canaries(listed) == PERSONAL
        await invoke(kind, "list")
        for line in listed.splitlines():
            await invoke(kind, "show", json.loads(line)["id"])
        printed += capsys.readouterr().out
    assert f"…{OTHER.account_number[-4:]}" in printed
    leaks.record(printed=printed)


@pytest.mark.asyncio
async def test_stored_events_are_printed_without_personal_data(
    leaks: LeakDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This includes events of types that leadpay does not know; only ``show --json`` prints the body."""
    url = f"sqlite:///{tmp_path / 'inbox.db'}"
    monkeypatch.setenv("LEAD_INBOX", url)
    event: dict[str, Any] = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "ach.returned"}
    event["object"] = {"id": "ach_1", "holder": NAME, "account": {"number": 70551234987612345}, "more": dict(CANARIES)}
    body = json.dumps(event).encode()
    async with open_inbox(url) as inbox:
        await inbox.add(parse(body), body, received_at=datetime.now(UTC))
        (claim,) = await inbox.claim(1, now=datetime.now(UTC).timestamp(), lease=60)
        dead = HandlerRun(handler="shop:book", state="dead", attempts=1, error="ValueError")
        await inbox.record_result(claim.lease, "event_1", dead, closes="dead", now=0.0)
        await inbox.release(claim.lease, due_at=None, now=datetime.now(UTC).timestamp())
    for command in (("stats",), ("list",), ("list", "--json"), ("show", "event_1"), ("replay", "--dead")):
        await invoke("inbox", *command)
    await invoke("inbox", "discard", "event_1", "--reason", REASON)
    leaks.record(printed=capsys.readouterr().out)
    await invoke("inbox", "show", "event_1")
    assert find_canaries(capsys.readouterr().out) == {"discarding"}
    await invoke("inbox", "show", "event_1", "--json")
    assert find_canaries(capsys.readouterr().out) == set(CANARIES)


@pytest.mark.asyncio
async def test_delivered_events_are_printed_without_personal_data(
    bank: Sandbox, leaks: LeakDetector, tmp_path: Path
) -> None:
    """The webhooks have all data and are signed; the printed lines have IDs."""
    since = ("--since", "2020-01-01")
    async with WebhookEndpoint().listening() as ear:
        await invoke("listen", "--to", ear.url, "--once", *since)
        assert find_canaries(b"".join(ear.bodies).decode()) == PERSONAL
        await invoke("trigger", "posted", "--to", ear.url, "--set", f"creditor.name={NAME}", "--json")
        assert find_canaries(ear.bodies[-1].decode()) == {"name"}
    assert ear.is_signed(WEBHOOK_SECRET)
    await invoke("backfill", "--since", "2020-01-01", "--inbox", f"sqlite:///{tmp_path / 'inbox.db'}")


@pytest.mark.asyncio
async def test_serve_prints_no_personal_data(
    bank: Sandbox, leaks: LeakDetector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The body and header of a refused webhook are not printed either."""
    (tmp_path / "canary_handlers.py").write_text(ROUTER)
    await invoke("check", "canary_handlers:router")
    serving = asyncio.create_task(
        invoke("serve", "canary_handlers:router", "--port", "0", "--inbox", "sqlite:///inbox.db")
    )
    printed = ""

    def address() -> str:
        nonlocal printed
        printed += capsys.readouterr().out
        return printed.rpartition("receiving webhooks at ")[2].strip()

    await until(lambda: serving.done() or address().startswith("http"))
    headers = {"Lead-Signature": WEBHOOK_SECRET}
    async with aiohttp.ClientSession() as session, session.post(address(), data=NAME, headers=headers) as response:
        assert response.status == 401
    await stop(serving)
    leaks.record(printed=printed)


@pytest.mark.asyncio
async def test_sandbox_prints_only_the_secrets_that_connect_to_it(
    bank: Sandbox,
    leaks: LeakDetector,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """It prints environment variables to copy, whether generated or given."""
    printed = ""

    def lines() -> int:
        nonlocal printed
        printed += capsys.readouterr().out
        return len(printed.splitlines())

    (tmp_path / "typed").touch()
    with (tmp_path / "typed").open() as typed:
        monkeypatch.setattr("sys.stdin", typed)
        running = asyncio.create_task(invoke("sandbox", "--port", "0"))
        await until(lambda: running.done() or lines() == 4)
        await stop(running)
    assert find_canaries(printed) == {"client secret", "webhook secret"}


@pytest.mark.asyncio
async def test_the_demo_prints_no_names(leaks: LeakDetector) -> None:
    """The three creditors are described only by what happens."""
    lines: list[str] = []
    assert await demo.run_demo(lines.append, delay=0)
    people = (demo.ALEX, demo.CLOSED, demo.BOUNCING)
    leaks.canaries = {part: part for one in people for part in (one.name, one.account_number)}
    leaks.record(printed="\n".join(lines))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *[[name, "--help"] for name in ("serve", "sandbox", "trigger", "listen", "backfill")],
        ["inbox", "show", "--help"],
        ["serve", "nowhere:router", "--port", "0"],
        ["inbox", "stats"],
        ["payments", "list"],
    ],
    ids=" ".join,
)
def test_help_and_errors_do_not_show_the_environment(
    arguments: list[str], leaks: LeakDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help names variables without their values, and errors do not quote a wrong URL."""
    monkeypatch.setenv("LEAD_CLIENT_ID", "me")
    monkeypatch.setenv("LEAD_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", WEBHOOK_SECRET)
    monkeypatch.setenv("LEAD_INBOX", f"mysql://me:{PASSWORD}@127.0.0.1/lead")
    monkeypatch.setenv("LEAD_BASE_URL", f"http://me:{PASSWORD}@127.0.0.1:1")
    with pytest.raises(SystemExit):
        run(arguments)


def test_the_error_message_of_a_broken_plugin_is_not_shown(
    leaks: LeakDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may quote a setting: the log has the place in the code, and the command has the plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LEDGER", PASSWORD)
    installed = Installed(tmp_path)
    installed.add("ledger", {"ledger": "canary_ledger:router"}, "canary_ledger", "import os\nint(os.environ['LEDGER'])")
    assert load_plugins(WebhookRouter("canaries"), on_error="skip", found=installed.points()) == ()
    with pytest.raises(SystemExit) as ended:
        run(["plugins"])
    assert ended.value.code == 1
    assert any("line 2, in <module>" in record.getMessage() for record in leaks.logs)
