"""The worker: claiming, slots, leases, background tasks, lifespans, stopping."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.store import RunFinishedError
from leadpay.inbox.worker import STORE_BACKOFF, Worker
from leadpay.instrumentation import HandlerEnded, InboxMeasured
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context, Defer
from leadpay.webhooks.dispatcher import Dispatcher
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.signature import HEADER, sign
from tests.support.gates import Gate, until
from tests.support.inbox import NOW, Bench, event_of


@pytest.mark.asyncio
async def test_a_new_event_is_handled_without_waiting_for_the_next_poll(shaky: Bench) -> None:
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
async def test_a_slot_that_becomes_free_during_a_claim_is_filled_at_once(shaky: Bench) -> None:
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
async def test_bodies_are_purged_once_a_day_and_the_inbox_is_measured_each_minute(
    shaky: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """And a store that fails in between is asked again a minute later."""
    gate = Gate(shaky)
    gate.open.set()
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
    """List the measurements that were observed."""
    return [one for one in shaky.observations if isinstance(one, InboxMeasured)]


@pytest.mark.asyncio
async def test_the_age_of_the_oldest_event_is_observed(shaky: Bench) -> None:
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
    """A worker of a dispatcher leaves that to the dispatcher's owner, and takes over its time limit."""
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
async def test_a_receiver_with_an_inbox_responds_before_the_handler_runs() -> None:
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
    """The error is raised where the worker was entered."""

    @shaky.router.lifespan
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"):
        await shaky.worker().__aenter__()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"lease": 0}, {"poll": -1}, {"shutdown_timeout": -1}, {"body_retention_days": 0}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """At once, not when the first event comes."""
    inbox = SqliteInbox(":memory:")
    with pytest.raises(ConfigurationError, match="must be positive"):
        Bench(inbox).worker(**options)


@pytest.mark.asyncio
async def test_a_stop_waits_for_running_handlers(shaky: Bench) -> None:
    """No new claims; the handler that runs ends, and is marked so."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    worker = shaky.worker(concurrency=1)
    await worker.__aenter__()
    await until(lambda: gate.running)
    await shaky.receive("event_2")
    assert worker.is_running
    stopping = asyncio.create_task(worker.__aexit__())
    await asyncio.sleep(0)
    assert not worker.is_running
    gate.open.set()
    await stopping
    assert gate.running == gate.ended == ["event_1"]
    assert [await shaky.state("event_1"), await shaky.state("event_2")] == ["done", "waiting"]


@pytest.mark.asyncio
async def test_a_handler_that_outlasts_the_shutdown_timeout_is_cancelled(shaky: Bench) -> None:
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
    assert [one.status for one in shaky.observations if isinstance(one, HandlerEnded)] == ["cancelled", "succeeded"]


@pytest.mark.asyncio
async def test_a_claim_that_returns_during_the_stop_is_released(shaky: Bench) -> None:
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
async def test_the_lease_of_a_long_handler_is_prolonged(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The worker prolongs it, even if that failed once."""
    gate = Gate(shaky)
    flaky: Any = shaky.inbox
    await shaky.receive("event_1")
    async with shaky.worker(lease=30):
        await until(lambda: gate.running)
        flaky.failing["record_result"] = InboxError()
        for step in range(10):
            before = flaky.calls.count("record_result")
            shaky.clock.move(10)
            await until(lambda before=before: flaky.calls.count("record_result") > before)  # type: ignore[misc]
            flaky.failing.clear()
            assert step == 0 or not await flaky.inner.claim(9, now=shaky.clock.now(), lease=1)
        gate.open.set()
        await until(lambda: gate.ended)
    assert "was not prolonged" in caplog.text
    assert await shaky.state("event_1") == "done"


@pytest.mark.asyncio
async def test_an_execution_whose_lease_is_lost_is_cancelled(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Found out when prolonging: the handler is cancelled, since another worker may be running it."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    async with shaky.worker(lease=30):
        await until(lambda: gate.running)
        assert await shaky.inbox.claim(9, now=shaky.clock.now() + 31, lease=1000)
        shaky.clock.move(10)
        await until(lambda: "went to another worker" in caplog.text)
    assert gate.ended == []
    assert (await shaky.kept("event_1")).handler_runs == {}


@pytest.mark.asyncio
async def test_a_lease_that_is_lost_at_the_commit_keeps_nothing(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
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
async def test_claims_that_fail_are_tried_again_less_and_less_often(
    shaky: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer each time; then work goes on by itself."""
    gate = Gate(shaky)
    gate.open.set()
    flaky: Any = shaky.inbox
    flaky.failing["claim"] = InboxError("secret message")
    await shaky.receive("event_1")
    async with shaky.worker():
        for attempt, seconds in enumerate(STORE_BACKOFF):
            await until(lambda attempt=attempt: caplog.text.count("cannot be worked on") == attempt + 1)  # type: ignore[misc]
            await until(lambda: shaky.clock.sleepers == 3)  # two chores, and the patience
            shaky.clock.move(seconds)
        flaky.failing.clear()
        shaky.clock.move(STORE_BACKOFF[-1])
        await until(lambda: gate.ended)
    assert "secret message" not in caplog.text
    assert await shaky.state("event_1") == "done"


@pytest.mark.asyncio
async def test_a_result_that_cannot_be_recorded_leaves_the_payment_for_later(
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
    flaky.failing["record_result"] = InboxError()
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


@pytest.mark.asyncio
async def test_run_works_until_sigterm_and_then_stops_in_peace(shaky: Bench) -> None:
    """The handler that runs at the signal ends, and the process's own signal handlers are back."""
    gate = Gate(shaky)
    before = signal.getsignal(signal.SIGTERM)
    await shaky.receive("event_1")
    running = asyncio.create_task(shaky.worker().run())
    await until(lambda: gate.running)
    signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    gate.open.set()
    await asyncio.wait_for(running, 30)
    assert gate.ended == ["event_1"]
    assert await shaky.state("event_1") == "done"


@pytest.mark.asyncio
async def test_run_ends_when_it_is_cancelled(shaky: Bench) -> None:
    """What was begun is finished first, as at the end of ``async with``."""
    gate = Gate(shaky)
    await shaky.receive("event_1")
    running = asyncio.create_task(shaky.worker().run())
    await until(lambda: gate.running)
    running.cancel()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await shaky.state("event_1") == "done"


@pytest.mark.asyncio
async def test_a_run_that_is_finished_already_is_not_recorded_again(
    shaky: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker drops its own result, and claims what is left of the payment at once."""
    flaky: Any = shaky.inbox
    seen: list[str] = []

    @shaky.router.on("*")
    async def book(event: Event) -> None:
        seen.append(event.id)
        flaky.failing["record_result"] = RunFinishedError("event_1 was finished by another worker")
        raise Defer(0)

    await shaky.receive("event_1")
    worker = shaky.worker()
    for claim in await worker._claim(1):
        await worker._execute(claim)
    assert "what this worker did was not kept" in caplog.text
    (claim,) = await shaky.inbox.claim(1, now=NOW, lease=1)
    assert claim.abandoned == 0


@pytest.mark.asyncio
async def test_a_suspect_runs_alone(shaky: Bench) -> None:
    """After an abandoned lease, a payment is handled when no other one is, whose attempt it might take with it."""
    running: set[str] = set()
    beside: dict[tuple[str, int], int] = {}

    @shaky.router.on("*")
    async def handler(event: Event, context: Context) -> None:
        running.add(event.id)
        for _ in range(20):
            await asyncio.sleep(0)
        beside[event.id, context.attempt] = len(running)
        running.discard(event.id)

    for number in range(4):
        await shaky.receive(f"event_{number}", payment=f"instant_payment_{number}")
    assert len(await shaky.inbox.claim(3, now=NOW, lease=1)) == 3
    shaky.clock.move(1)
    async with shaky.worker():
        await until(lambda: len(beside) == 4)
    assert beside == {("event_0", 2): 1, ("event_1", 2): 1, ("event_2", 2): 1, ("event_3", 1): 1}


@pytest.mark.asyncio
async def test_suspects_that_another_worker_took_are_not_waited_for(shaky: Bench) -> None:
    """The worker goes on with all its slots."""
    gate = Gate(shaky)
    gate.open.set()
    flaky: Any = shaky.inbox
    await shaky.receive("event_1")
    assert len(await shaky.inbox.claim(1, now=NOW, lease=1)) == 1
    shaky.clock.move(1)
    worker = shaky.worker()
    worker._suspects_wait = True
    assert len(await shaky.inbox.claim(1, now=shaky.clock.now(), lease=1000)) == 1
    flaky.gates["wait_for_work"] = asyncio.Event()
    waiting = asyncio.create_task(worker._claim_once())
    await until(lambda: "wait_for_work" in flaky.calls)
    assert not worker._suspects_wait
    flaky.gates["wait_for_work"].set()
    shaky.clock.move(30)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.asyncio
async def test_run_due_works_suspects_one_by_one(shaky: Bench) -> None:
    """As the worker's loop does."""
    most: list[int] = []
    running: set[str] = set()

    @shaky.router.on("*")
    async def handler(event: Event) -> None:
        running.add(event.id)
        await asyncio.sleep(0)
        most.append(len(running))
        running.discard(event.id)

    for number in range(4):
        await shaky.receive(f"event_{number}")
    assert len(await shaky.inbox.claim(3, now=NOW, lease=1)) == 3
    shaky.clock.move(1)
    assert await shaky.work() == 4
    assert most == [1, 1, 1, 1]
