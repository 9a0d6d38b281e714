"""``leadpay serve``: webhooks are received, stored and handled."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from leadpay.cli.serve import print_observation
from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from leadpay.instrumentation import HandlerEnded, HandlerStarted
from leadpay.webhooks.signature import HEADER, sign
from tests.cli import handlers as served
from tests.cli.conftest import ExitCode
from tests.cli.processes import request_status, running
from tests.support.gates import until
from tests.support.inbox import event_of
from tests.support.scene import Scene

ROUTER = "tests.cli.handlers:router"


@asynccontextmanager
async def serving(invoke: Any, capsys: pytest.CaptureFixture[str], *options: str, lines: int = 1) -> AsyncIterator[str]:
    """Run ``serve`` until the context ends; yields the lines that it printed."""
    task = asyncio.ensure_future(invoke("serve", ROUTER, "--port", "0", *options))
    out: list[str] = []
    try:
        await until(lambda: task.done() or out.append(capsys.readouterr().out) or "".join(out).count("\n") == lines)  # type: ignore[func-returns-value]
        yield "".join(out).strip()
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await task


async def send(url: str, secret: str, event_id: str) -> int:
    """Send a signed webhook."""
    _, body = event_of(event_id)
    headers = {HEADER: sign(body, secret, int(time.time() * 1000))}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


@pytest.mark.asyncio
async def test_an_event_is_stored_and_then_handled(
    online: Scene, inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With credentials, handlers have a client, and --backfill reads the bank's event list."""
    served.handled.clear()
    async with serving(invoke, capsys, "--backfill", "--since", "2026-01-01") as line:
        assert await send(line.split()[-1], online.bank.webhook_secret, "event_1") == 200
        await until(lambda: served.handled == [("event_1", True)])
    async with open_inbox(inbox_url) as inbox:
        assert [(one.event_id, one.state) async for one in inbox.events()] == [("event_1", "done")]
        assert await inbox.watermark() is not None


@pytest.mark.asyncio
async def test_one_process_receives_and_another_handles(
    inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """--receive only stores; --work needs no secret and no port."""
    served.handled.clear()
    async with serving(invoke, capsys, "--receive", "--secret", "whsec") as line:
        assert await send(line.split()[-1], "whsec", "event_1") == 200
    assert served.handled == []
    async with serving(invoke, capsys, "--work") as line:
        assert line == "working on the inbox"
        await until(lambda: served.handled == [("event_1", False)])


@pytest.mark.asyncio
async def test_the_first_backfill_demands_since(online: Scene, inbox_url: str, invoke: Any) -> None:
    """At the start, not in a log line every quarter of an hour."""
    with pytest.raises(ConfigurationError, match="--since"):
        await invoke("serve", ROUTER, "--port", "0", "--backfill")


async def read(url: str) -> tuple[int, str]:
    """Read a page."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.asyncio
async def test_health_and_metrics_are_served(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Health on both ports; what an alert looks at is there at zero from the start, and then counted."""
    async with serving(invoke, capsys, "--secret", "whsec", "--metrics", ":0", "--verbose", lines=2) as lines:
        first, second = lines.splitlines()
        url, metrics = first.split()[-1], second.removeprefix("metrics at ")
        assert await read(f"{url.partition('/webhooks')[0]}/readyz") == (200, "receiver: ok\ninbox: ok\n")
        assert await read(metrics.replace("/metrics", "/healthz")) == (200, "ok\n")
        assert 'lead_webhooks_total{lead_webhook_result="accepted"} 0.0' in (await read(metrics))[1]
        assert await send(url, "whsec", "event_1") == 200
        assert await send(url, "whsec_forged", "event_2") == 401
        shown = ""
        while "succeeded" not in shown:
            await asyncio.sleep(0.005)
            shown += capsys.readouterr().out
        assert 'lead_webhooks_total{lead_webhook_result="accepted"} 1.0' in (await read(metrics))[1]
    assert "account.created event_1 - -> 200 accepted\n" in shown
    assert "account.created event_1 attempt 1 of tests.cli.handlers:remember: succeeded\n" in shown
    assert "event_2" not in shown


def test_metrics_without_their_extra_are_one_line(
    exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the extra."""
    monkeypatch.setitem(sys.modules, "leadpay.metrics", None)
    assert exit_code_of("serve", ROUTER, "--secret", "whsec", "--metrics", ":0") == 2
    assert "--metrics" in capsys.readouterr().err


def test_a_failed_attempt_is_shown_with_the_class_of_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else of it."""
    started = HandlerStarted("app:credit", "event_1", "a.b", None, 2, datetime(2026, 1, 1, tzinfo=UTC))
    print_observation(HandlerEnded(started, "failed", "ValueError", 0.1))
    assert capsys.readouterr().out == "a.b event_1 attempt 2 of app:credit: failed (ValueError)\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--work"], "need an inbox"),
        (["--inbox", "sqlite:///:memory:", "--work", "--receive"], "leave both out"),
        (["--inbox", "sqlite:///:memory:", "--backfill", "--work"], "LEAD_CLIENT_ID"),
        (["--metrics", "9464"], "HOST:PORT"),
    ],
)
@pytest.mark.asyncio
async def test_contradicting_options_are_refused(options: list[str], message: str, invoke: Any) -> None:
    """The message says what to change."""
    with pytest.raises(ConfigurationError, match=message):
        await invoke("serve", ROUTER, *options)


def test_a_missing_secret_is_one_line(exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a secret, webhooks are never accepted."""
    assert exit_code_of("serve", ROUTER, "--port", "0") == 2
    assert "secret" in capsys.readouterr().err


def test_an_address_that_cannot_be_bound_is_one_line(
    exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is exit code 2, without a traceback."""
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", "whsec_1")
    assert exit_code_of("serve", ROUTER, "--host", "203.0.113.1") == 2
    err = capsys.readouterr().err
    assert err.startswith("leadpay: ")
    assert err.count("\n") == 1


def test_it_runs_until_a_signal(handlers: str) -> None:
    """An unsigned webhook gets 401; SIGTERM is exit code 0."""
    with running("serve", f"{handlers}:router", "--port", "0", "--secret", "whsec_1,whsec_2") as (_, output):
        url = output.readline().removeprefix("receiving webhooks at ").strip()
        assert request_status(url, "POST") == 401
