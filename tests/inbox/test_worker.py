"""The worker's own life: claiming, slots, chores, lifespans."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker
from leadpay.instrumentation import InboxMeasured
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.context import Context
from leadpay.webhooks.dispatcher import Dispatcher
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.signature import HEADER, sign
from tests.inbox.gates import Gate, until
from tests.inbox.story import NOW, Bench, event_of


@pytest.mark.asyncio
async def test_what_comes_is_worked_on_as_soon_as_it_comes(shaky: Bench) -> None:
    """What was there before, and what comes later, without waiting for the next poll."""
    gate = Gate(shaky)
    gate.open.set()
    await shaky.receive("event_1")
    async with shaky.worker():
        await until(lambda: gate.ended == ["event_1"])
        await shaky.receive("event_2")
        await until(lambda: gate.ended == ["event_1", "event_2"])
    assert await shaky.state("event_2") == "done"


@pytest.mark.asyncio
async def test_no_more_is_claimed_than_there_are_free_slots(shaky: Bench) -> None:
    """What waits for a slot stays free for other workers."""
    gate = Gate(shaky)
    for number in range(4):
        await shaky.receive(f"event_{number}")
    async with shaky.worker(concurrency=2):
        await until(lambda: len(gate.running) == 2)
        assert len(await shaky.inbox.claim(9, now=NOW, lease=1)) == 2
        shaky.clock.move(1)
        gate.open.set()
        await until(lambda: len(gate.ended) == 4)


@pytest.mark.asyncio
async def test_a_slot_that_gets_free_during_a_claim_is_filled_at_once(shaky: Bench) -> None:
    """There may be more to claim than was asked for."""
    gate = Gate(shaky)
    flaky: Any = shaky.inbox
    await shaky.receive("event_1")
    async with shaky.worker(concurrency=2):
        await until(lambda: gate.running)
        flaky.gates["claim"] = asyncio.Event()
        calls = flaky.calls.count("claim")
        for number in (2, 3):
            await shaky.receive(f"event_{number}")
        await until(lambda: flaky.calls.count("claim") > calls)
        gate.open.set()
        await until(lambda: gate.ended)
        await until(lambda: "release" in flaky.succeeded)
        flaky.gates["claim"].set()
        await until(lambda: sorted(gate.ended) == ["event_1", "event_2", "event_3"])


@pytest.mark.asyncio
async def test_old_bodies_are_purged_once_a_day_and_the_observer_is_told_each_minute(
    shaky: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """And a store that fails in between is asked again a minute later."""
    flaky: Any = shaky.inbox
    await shaky.receive("event_old")
    await shaky.work()
    shaky.clock.move(5 * 86_400)
    flaky.failing["purge"] = InboxError()
    async with shaky.worker(body_retention_days=4):
        await until(lambda: "could not be purged" in caplog.text)
        flaky.failing.clear()
        for minute in range(3):
            shaky.clock.move(60)
            await until(lambda minute=minute: len(measured(shaky)) == minute + 1)  # type: ignore[misc]
            if minute == 0:
                await shaky.inbox.discard("event_old", reason="x", now=NOW)
    assert flaky.calls.count("purge") == 2
    assert (await shaky.kept("event_old")).body is None
    assert measured(shaky)[0] == InboxMeasured(0, 0, None)


def measured(shaky: Bench) -> list[InboxMeasured]:
    """List what the observer was told of the whole."""
    return [fact for fact in shaky.facts if isinstance(fact, InboxMeasured)]


@pytest.mark.asyncio
async def test_the_age_of_the_oldest_is_told(shaky: Bench) -> None:
    """In seconds, by the worker's clock; and bodies can be kept for ever."""
    await shaky.receive("event_1")
    shaky.clock.move(7)
    gate = Gate(shaky)
    async with shaky.worker(body_retention_days=None):
        await until(lambda: measured(shaky) and gate.running)
        gate.open.set()
    assert measured(shaky) == [InboxMeasured(1, 0, 7.0)]
    flaky: Any = shaky.inbox
    assert "purge" not in flaky.calls


@pytest.mark.asyncio
async def test_a_worker_of_a_router_enters_its_lifespans(shaky: Bench) -> None:
    """One of a dispatcher leaves that to whoever made it, and to its time limit."""
    states: list[Any] = []

    @shaky.router.lifespan
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[str]:
        yield "entered"

    @shaky.router.posted
    async def note(event: InstantPaymentEvent, context: Context) -> None:
        states.append(context.state)

    await shaky.receive("event_1", payment="instant_payment_1")
    async with Worker(shaky.inbox, shaky.router, clock=shaky.clock, poll=30):
        await until(lambda: states)
    await shaky.receive("event_2", payment="instant_payment_2")
    await Worker(shaky.inbox, Dispatcher(shaky.router, timeout=5), clock=shaky.clock).run_due()
    assert states == ["entered", None]


@pytest.mark.asyncio
async def test_a_receiver_with_an_inbox_answers_first_and_works_then() -> None:
    """200 means stored; the handler runs while the receiver is entered, and a duplicate runs nothing."""
    async with SqliteInbox(":memory:") as inbox:
        bench = Bench(inbox)
        gate = Gate(bench)
        event, body = event_of("event_1")
        headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
        receiver = WebhookReceiver(bench.router, secrets=["whsec"], inbox=inbox, clock=bench.clock)
        async with receiver:
            assert await receiver.receive(body=body, headers=headers) == 200
            await until(lambda: gate.running == [event.id])
            assert await receiver.receive(body=body, headers=headers) == 200
            gate.open.set()
            await until(lambda: gate.ended)
        assert gate.running == ["event_1"]
        assert await bench.state("event_1") == "done"
        assert receiver.counts == {"accepted": 1, "duplicate": 1}


@pytest.mark.asyncio
async def test_a_lifespan_that_fails_starts_no_work(shaky: Bench) -> None:
    """The error goes to whoever entered the worker."""

    @shaky.router.lifespan
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"):
        await shaky.worker().__aenter__()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"lease": 0}, {"poll": -1}, {"grace": -1}, {"body_retention_days": 0}]
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """At once, not when the first event comes."""
    inbox = SqliteInbox(":memory:")
    with pytest.raises(ConfigurationError, match="must be positive"):
        Bench(inbox).worker(**options)
