"""How a worker leaves what it does: at a stop, when its lease is lost, when the store fails."""

import asyncio
from typing import Any

import pytest

from leadpay.errors import InboxError
from leadpay.inbox.worker import STORE_BACKOFF
from leadpay.instrumentation import HandlerEnded
from leadpay.models import Event
from leadpay.webhooks.context import Context
from tests.inbox.gates import Gate, until
from tests.inbox.story import NOW, Bench


@pytest.mark.asyncio
async def test_a_stop_finishes_what_was_begun(shaky: Bench) -> None:
    """No new claims; the handler that runs ends, and is marked so."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    worker = shaky.worker(concurrency=1)
    await worker.__aenter__()
    await until(lambda: gate.running)
    await shaky.receive("event_2")
    stopping = asyncio.create_task(worker.__aexit__())
    await asyncio.sleep(0)
    gate.open.set()
    await stopping
    assert gate.running == gate.ended == ["event_1"]
    assert [await shaky.state("event_1"), await shaky.state("event_2")] == ["done", "waiting"]


@pytest.mark.asyncio
async def test_what_outlasts_the_grace_is_cancelled_and_left_to_others(shaky: Bench) -> None:
    """It is due at once, and no attempt has been used up."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    worker = shaky.worker(shutdown_timeout=5)
    await worker.__aenter__()
    await until(lambda: gate.running)
    stopping = asyncio.create_task(worker.__aexit__())
    await until(lambda: shaky.clock.sleepers == 3)  # two chores, and the grace
    shaky.clock.move(5)
    await stopping
    assert gate.ended == []
    gate.open.set()
    await shaky.work()
    assert (gate.ended, gate.attempts) == (["event_1"], [1, 1])
    assert [fact.status for fact in shaky.facts if isinstance(fact, HandlerEnded)] == ["cancelled", "succeeded"]


@pytest.mark.asyncio
async def test_what_was_claimed_during_the_stop_is_released(shaky: Bench) -> None:
    """A claim that comes back too late is for others."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    flaky: Any = shaky.inbox
    flaky.gates["claim"] = asyncio.Event()
    worker = shaky.worker()
    await worker.__aenter__()
    await until(lambda: "claim" in flaky.calls)
    stopping = asyncio.create_task(worker.__aexit__())
    await asyncio.sleep(0)
    flaky.gates["claim"].set()
    await stopping
    assert gate.running == []
    assert len(await shaky.inbox.claim(1, now=NOW, lease=1)) == 1


@pytest.mark.asyncio
async def test_a_store_that_fails_at_the_stop_is_not_waited_for(shaky: Bench) -> None:
    """The stop is a stop."""
    flaky: Any = shaky.inbox
    flaky.gates["claim"] = asyncio.Event()
    flaky.failing["claim"] = InboxError()
    worker = shaky.worker()
    await worker.__aenter__()
    await until(lambda: "claim" in flaky.calls)
    stopping = asyncio.create_task(worker.__aexit__())
    await asyncio.sleep(0)
    flaky.gates["claim"].set()
    await asyncio.wait_for(stopping, 30)


@pytest.mark.asyncio
async def test_a_handler_that_takes_long_keeps_its_lease(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The worker prolongs it, even if that failed once."""
    gate = Gate(shaky)
    flaky: Any = shaky.inbox
    await shaky.receive("event_1")
    async with shaky.worker(lease=30):
        await until(lambda: gate.running)
        flaky.failing["settle"] = InboxError()
        for step in range(10):
            before = flaky.calls.count("settle")
            shaky.clock.move(10)
            await until(lambda before=before: flaky.calls.count("settle") > before)  # type: ignore[misc]
            flaky.failing.clear()
            assert step == 0 or not await flaky.inner.claim(9, now=shaky.clock.now(), lease=1)
        gate.open.set()
        await until(lambda: gate.ended)
    assert "was not prolonged" in caplog.text
    assert await shaky.state("event_1") == "done"


@pytest.mark.asyncio
async def test_who_has_lost_its_lease_stops_and_writes_nothing(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Found out when prolonging: the handler is cancelled, since somebody else may be running it."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    async with shaky.worker(lease=30):
        await until(lambda: gate.running)
        assert await shaky.inbox.claim(9, now=shaky.clock.now() + 31, lease=1000)
        shaky.clock.move(10)
        await until(lambda: "went to another worker" in caplog.text)
    assert gate.ended == []
    assert (await shaky.kept("event_1")).handlings == {}


@pytest.mark.asyncio
async def test_a_lease_that_is_lost_at_the_commit_is_left_alone(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Found out at the end: nothing is written, and other payments go on."""

    @shaky.router.on("*")
    async def slow(event: Event) -> None:
        if event.id == "event_1":
            await shaky.inbox.claim(9, now=shaky.clock.now() + 99, lease=1000)

    await shaky.receive("event_1")
    await shaky.work()
    await shaky.receive("event_2")
    await shaky.work()
    assert "went to another worker" in caplog.text
    assert [await shaky.state("event_1"), await shaky.state("event_2")] == ["waiting", "done"]


@pytest.mark.asyncio
async def test_a_store_that_cannot_be_claimed_from_is_left_alone_for_a_while(
    shaky: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer each time; then work goes on by itself."""
    gate = Gate(shaky)
    gate.open.set()
    flaky: Any = shaky.inbox
    flaky.failing["claim"] = InboxError("secret words")
    await shaky.receive("event_1")
    async with shaky.worker():
        for attempt, seconds in enumerate(STORE_BACKOFF):
            await until(lambda attempt=attempt: caplog.text.count("cannot be worked on") == attempt + 1)  # type: ignore[misc]
            await until(lambda: shaky.clock.sleepers == 3)  # two chores, and the patience
            shaky.clock.move(seconds)
        flaky.failing.clear()
        shaky.clock.move(STORE_BACKOFF[-1])
        await until(lambda: gate.ended)
    assert "secret words" not in caplog.text
    assert await shaky.state("event_1") == "done"


@pytest.mark.asyncio
async def test_a_store_that_cannot_settle_leaves_the_payment_for_later(
    shaky: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The failing handler is run again later; if not even a release works, when the lease has run out."""
    flaky: Any = shaky.inbox
    runs: list[int] = []

    @shaky.router.on("*")
    async def fails(event: Event, context: Context) -> None:
        runs.append(context.attempt)
        if len(runs) < 3:
            raise RuntimeError

    await shaky.receive("event_1")
    flaky.failing["settle"] = InboxError()
    assert await shaky.work() == 1
    flaky.failing["release"] = InboxError()
    shaky.clock.move(STORE_BACKOFF[-1])
    assert await shaky.work() == 1
    flaky.failing.clear()
    assert await shaky.work() == 0
    shaky.clock.move(60)
    await shaky.work()
    assert runs == [1, 1, 2]
    assert "is left for later" in caplog.text
    assert "was not released" in caplog.text
    assert await shaky.state("event_1") == "done"
