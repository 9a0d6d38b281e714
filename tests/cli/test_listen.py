"""``leadpay listen``: the bank's event list, delivered as webhooks."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from leadpay.cli.listen import MAX_SEEN, EventForwarder
from leadpay.config import Timeouts
from leadpay.errors import ConfigurationError, RequestNotSentError
from tests.support.scene import Scene
from tests.support.scripted import ScriptedBank
from tests.support.webhook_endpoint import WebhookEndpoint

SECRET = "whsec_listen"


@pytest.mark.asyncio
async def test_events_are_delivered_once_and_in_order(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oldest first, signed, and again if refused; an event that is refused three times is exit code 1."""
    await online.send_to("1234567890")
    async with WebhookEndpoint().listening() as ear:
        ear.statuses = [500]
        arguments = ["--to", ear.url, "--secret", SECRET, "--since", "2025-01-01", "--once"]
        assert await invoke("listen", *arguments) == 0
        assert ear.types == ["posted", "posted", "counterparty_status_updated"]
        assert ear.is_signed(SECRET)
        assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["200", "200"]
        ear.statuses = [500] * 6
        assert await invoke("listen", *arguments, "--json") == 1
        assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [500, 500]


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 400])
async def test_an_unreadable_event_is_delivered_too(
    status: int, online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the bank would; the events beside it are delivered, and an endpoint that cannot keep it is no failure."""
    await online.send_to("1234567890")
    online.bank.faults.add("unreadable_object")
    async with WebhookEndpoint().listening() as ear:
        ear.statuses = [status] * 3
        arguments = ["--to", ear.url, "--secret", SECRET, "--since", "2025-01-01", "--once"]
        assert await invoke("listen", *arguments) == 0
        assert len(set(ear.types)) == 2
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith("unreadable event_")
        assert first.endswith(f"must be a string, not an integer @ $.object.status -> {status}")
        assert second.endswith("-> 200")
        online.bank.faults.add("unreadable_object")
        assert await invoke("listen", *arguments, "--json") == 0
        assert '"event":null' in capsys.readouterr().out


@pytest.mark.asyncio
async def test_an_unreadable_event_is_delivered_once(online: Scene) -> None:
    """By its ID; what has none cannot be told from others, and is delivered at each poll."""
    await online.send_to("1234567890")
    async with WebhookEndpoint().listening() as ear:
        forwarder = EventForwarder(online.lead, ear.url, SECRET, datetime(2025, 1, 1, tzinfo=UTC))
        for _ in range(2):
            online.bank.faults.add("unreadable_object")
            await forwarder.poll()
        assert len(ear.events) == 2
        bank = ScriptedBank()
        bank.script = [(200, {"objects": [{"object": {}}], "has_more": False})]
        await bank.start()
        async with bank.client() as lead:
            forwarder = EventForwarder(lead, ear.url, SECRET, datetime(2025, 1, 1, tzinfo=UTC))
            for _ in range(2):
                await forwarder.poll()
        bank.stop()
        assert len(ear.events) == 4


@pytest.mark.asyncio
async def test_it_runs_until_ctrl_c(
    online: Scene, invoke: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """New events are delivered meanwhile; the exit code is 0; a generated secret is printed."""
    monkeypatch.delenv("LEAD_WEBHOOK_SECRETS")
    async with WebhookEndpoint().listening() as ear:
        listening = asyncio.create_task(
            invoke("listen", "--to", ear.url, "--interval", "0.01", "--since", "2025-01-01")
        )
        await online.send_to("1234567890")
        while len(ear.events) < 2:
            await ear.arrived.wait()
            ear.arrived.clear()
        os.kill(os.getpid(), signal.SIGINT)
        assert await listening == 0
        assert len(ear.events) == 2
        out = capsys.readouterr().out
        assert ear.is_signed(out.splitlines()[0].removeprefix("export LEAD_WEBHOOK_SECRETS="))


@pytest.mark.asyncio
@pytest.mark.parametrize(("options", "code"), [((), 0), (("--once",), 130)])
async def test_ctrl_c_stops_before_the_end_of_the_list(
    options: tuple[str, ...], code: int, online: Scene, invoke: Any
) -> None:
    """The remaining events are not delivered; with --once, the exit code shows the interruption."""
    await online.send_to("1234567890")
    async with WebhookEndpoint().listening() as ear:
        ear.gate = asyncio.Event()  # the endpoint does not respond
        arguments = ["--to", ear.url, "--secret", SECRET, "--since", "2025-01-01", *options]
        listening = asyncio.create_task(invoke("listen", *arguments))
        await ear.arrived.wait()
        os.kill(os.getpid(), signal.SIGINT)
        assert await listening == code
        ear.gate.set()
        assert len(ear.events) == 1


@pytest.mark.asyncio
async def test_a_failing_bank_is_an_error(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed request is not taken for an empty list."""
    monkeypatch.setenv("LEAD_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LEAD_CLIENT_ID", "client")
    monkeypatch.setenv("LEAD_CLIENT_SECRET", "secret")
    monkeypatch.setattr("leadpay.cli.options.TIMEOUTS", Timeouts(deadline=0.05))
    with pytest.raises(RequestNotSentError):
        await invoke("listen", "--to", "http://127.0.0.1:1/", "--secret", SECRET)


@pytest.mark.asyncio
async def test_an_interval_of_zero_is_refused(online: Scene, invoke: Any) -> None:
    """It would send requests without a pause."""
    with pytest.raises(ConfigurationError, match="--interval"):
        await invoke("listen", "--to", "http://127.0.0.1:1/", "--interval", "0")


@pytest.mark.asyncio
async def test_the_memory_of_delivered_events_is_bounded(online: Scene) -> None:
    """Requests overlap by a minute, and an event in the overlap is not delivered twice."""
    async with WebhookEndpoint().listening() as ear:
        payment = await online.send_to("1234567890")
        forwarder = EventForwarder(online.lead, ear.url, SECRET, payment.created_at)
        forwarder._seen.update({f"event_{number}": None for number in range(MAX_SEEN)})
        await forwarder.poll()
        await forwarder.poll()
        assert len(ear.events) == 2
        assert len(forwarder._seen) == MAX_SEEN
        assert orjson.loads(ear.bodies[0]) == ear.events[0]
