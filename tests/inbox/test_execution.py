"""One claim worked through: order, isolation, attempts, and each result."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest

from leadpay.errors import InboxError
from leadpay.inbox import HandlerRun
from leadpay.inbox.bulkhead import HOLD_BACK_SECONDS, Slot
from leadpay.inbox.execution import ClaimExecution, _run_of, side_by_side
from leadpay.instrumentation import DeadLettered
from leadpay.models import Event, InstantPaymentEvent
from leadpay.storage import LeaseLostError
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.router import WebhookRouter
from tests.support.gates import until
from tests.support.inbox import RECEIVED, Bench, event_of


@pytest.mark.asyncio
async def test_each_handler_runs_once_and_the_event_is_done(bench: Bench) -> None:
    """Handlers run in the order of registration; a second look finds nothing to do."""
    seen: list[Any] = []

    @bench.router.posted
    async def first(event: InstantPaymentEvent, context: Context) -> None:
        seen.append(("first", event.id, context.attempt, context.received_at, context.is_stale))

    @bench.router.posted
    async def second(event: InstantPaymentEvent) -> None:
        seen.append(("second", event.id))

    await bench.receive("event_1", payment="instant_payment_1")
    assert await bench.work() == 1
    assert seen == [("first", "event_1", 1, RECEIVED, False), ("second", "event_1")]
    kept = await bench.kept("event_1")
    assert kept.state == "done"
    assert {(one.state, one.attempts, one.due_at, one.error) for one in kept.handler_runs.values()} == {
        ("done", 1, None, None)
    }
    assert not await bench.receive("event_1", payment="instant_payment_1")
    assert await bench.work() == 0
    assert len(seen) == 2


@pytest.mark.asyncio
async def test_events_of_one_payment_run_in_the_order_of_creation(bench: Bench) -> None:
    """However they arrived; where two were created at once, as they arrived."""
    seen: list[str] = []

    @bench.router.posted
    async def note(event: InstantPaymentEvent) -> None:
        seen.append(event.id)

    for event_id, minute in (("event_c", 2), ("event_a", 0), ("event_d", 2), ("event_b", 1)):
        await bench.receive(event_id, payment="instant_payment_1", minute=minute)
    await bench.work()
    assert seen == ["event_a", "event_b", "event_c", "event_d"]


@pytest.mark.asyncio
async def test_a_failing_handler_holds_up_its_own_later_events_only(bench: Bench) -> None:
    """Its neighbour goes on and does not run twice; the failing one keeps to the order when it works again."""
    seen: list[str] = []
    broken = True

    @bench.router.posted
    async def fragile(event: InstantPaymentEvent) -> None:
        if broken:
            raise RuntimeError
        seen.append(f"fragile {event.id}")

    @bench.router.posted
    async def sound(event: InstantPaymentEvent) -> None:
        seen.append(f"sound {event.id}")

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_1", minute=2)
    await bench.receive("event_3", payment="instant_payment_2", minute=3)
    await bench.work()
    assert sorted(seen) == ["sound event_1", "sound event_2", "sound event_3"]
    broken = False
    bench.clock.move(0.5)
    assert await bench.work() == 0
    bench.clock.move(0.5)
    await bench.work()
    assert [line for line in seen if "fragile" in line and "3" not in line] == ["fragile event_1", "fragile event_2"]
    assert [await bench.state(f"event_{number}") for number in (1, 2, 3)] == ["done"] * 3
    assert len(seen) == 6


@pytest.mark.asyncio
async def test_after_the_last_attempt_the_error_is_kept_without_its_message(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Waits come from the schedule; then the event is a dead letter, is logged and observed, and holds nothing up."""
    attempts: list[tuple[str, int, float]] = []

    @bench.router.posted(retries=(1, 5))
    async def fails(event: InstantPaymentEvent, context: Context) -> None:
        attempts.append((event.id, context.attempt, bench.clock.now()))
        if event.id == "event_1":
            raise ValueError("Gertrude" + event.payment.debtor.name)

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_1", minute=2)
    start = bench.clock.now()
    for _ in range(8):
        await bench.work()
        bench.clock.move(1)
    assert attempts == [
        ("event_1", 1, start),
        ("event_1", 2, start + 1),
        ("event_1", 3, start + 6),
        ("event_2", 1, start + 6),
    ]
    kept = await bench.kept("event_1")
    (handling,) = kept.handler_runs.values()
    assert (kept.state, handling.state, handling.attempts) == ("dead", "dead", 3)
    assert handling.error is not None
    assert "in fails" in handling.error
    assert handling.error.endswith("builtins.ValueError")
    assert "GertrudeGertrude" not in handling.error + caplog.text
    assert "Gertrude Bell" not in handling.error + caplog.text
    assert "leadpay inbox show event_1" in caplog.text
    assert [one for one in bench.observations if isinstance(one, DeadLettered)] == [
        DeadLettered(handling.handler, "event_1", "instant_payment.posted", "instant_payment_1", 3)
    ]
    assert await bench.state("event_2") == "done"


@pytest.mark.asyncio
async def test_each_handler_keeps_to_its_own_schedule(bench: Bench) -> None:
    """Two that fail are tried again when each is due, not when the other is."""
    attempts: list[tuple[str, float]] = []
    start = bench.clock.now()

    @bench.router.posted(retries=(1, 1))
    async def often(event: InstantPaymentEvent) -> None:
        attempts.append(("often", bench.clock.now() - start))
        raise RuntimeError

    @bench.router.posted(retries=(2,))
    async def seldom(event: InstantPaymentEvent) -> None:
        attempts.append(("seldom", bench.clock.now() - start))
        raise RuntimeError

    await bench.receive("event_1", payment="instant_payment_1")
    for _ in range(4):
        await bench.worker(observer=None).run_due()
        bench.clock.move(1)
    assert attempts == [("often", 0), ("seldom", 0), ("often", 1), ("often", 2), ("seldom", 2)]
    assert await bench.state("event_1") == "dead"


@pytest.mark.asyncio
async def test_deferring_uses_up_no_attempt_and_discarding_ends_it(bench: Bench) -> None:
    """A handler asks for another attempt later, or gives a reason why there is nothing to do."""
    attempts: list[int] = []

    @bench.router.posted(retries=())
    async def waits(event: InstantPaymentEvent, context: Context) -> None:
        attempts.append(context.attempt)
        if len(attempts) < 4:
            raise Defer(30)
        raise Discard("not ours")

    await bench.receive("event_1", payment="instant_payment_1")
    for _ in range(4):
        await bench.work()
        bench.clock.move(30)
    (handling,) = (await bench.kept("event_1")).handler_runs.values()
    assert attempts == [1, 1, 1, 1]
    assert (handling.state, handling.attempts, handling.error) == ("discarded", 1, "not ours")
    assert await bench.state("event_1") == "discarded"


@pytest.mark.asyncio
async def test_an_event_that_is_deferred_for_days_is_named_each_day(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Deferring uses up no attempt, so nothing else would tell of it."""

    @bench.router.posted(name="waits")
    async def waits(event: InstantPaymentEvent) -> None:
        raise Defer(43_200)

    await bench.receive("event_1", payment="instant_payment_1")
    for _ in range(4):
        await bench.work()
        bench.clock.move(43_200)
    lines = [line for line in caplog.messages if "defers" in line]
    assert lines == [
        f"waits defers event_1 (instant_payment.posted) to {hours} hours after it was received" for hours in (24, 48)
    ]


@pytest.mark.asyncio
async def test_a_handler_that_hangs_is_a_failed_attempt(bench: Bench) -> None:
    """Its time limit cuts it off."""

    @bench.router.posted(timeout=0.01, retries=())
    async def hangs(event: InstantPaymentEvent) -> None:
        await bench.clock.sleep(1)

    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    (handling,) = (await bench.kept("event_1")).handler_runs.values()
    assert handling.error is not None
    assert handling.error.endswith("builtins.TimeoutError")


@pytest.mark.asyncio
async def test_stacked_decorators_run_a_handler_once(bench: Bench) -> None:
    """One function under two decorators is one handler; functions of one name need names."""
    seen: list[str] = []

    def make(name: str) -> Any:
        async def handler(event: Event) -> None:
            seen.append(name)

        return handler

    one = make("one")
    bench.router.posted(direction="incoming")(one)
    bench.router.on("*")(one)
    bench.router.posted(name="other")(make("other"))

    class Unhashable(list[str]):
        async def __call__(self, event: Event) -> None:
            self.append(event.id)

    listed = Unhashable()
    bench.router.on("*")(listed)
    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    assert seen == ["one", "other"]
    assert listed == ["event_1"]
    names = sorted(name.rpartition(".")[2] for name in (await bench.kept("event_1")).handler_runs)
    assert names == ["Unhashable", "handler", "other"]


@pytest.mark.asyncio
async def test_what_was_done_under_an_alias_is_done(bench: Bench) -> None:
    """A renamed handler runs for new events only."""
    seen: list[str] = []

    async def handler(event: Event) -> None:
        seen.append(event.id)

    async def beside(event: Event) -> None:
        """Have the runs of this event kept."""

    bench.router.posted(name="old")(handler)
    bench.router.posted(name="beside")(beside)
    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    stored = await bench.kept("event_1")
    renamed = WebhookRouter("renamed")
    renamed.posted(name="new", aliases=["old"])(handler)
    other = WebhookRouter("other")
    other.posted(name="other")(handler)
    states = {}
    for router in (renamed, other):
        (route,) = router.routes()
        run = _run_of(stored, route)
        states[run.handler] = run.state
    assert states == {"new": "done", "other": "waiting"}


@pytest.mark.asyncio
async def test_each_handler_is_told_whether_its_object_is_stale(bench: Bench) -> None:
    """A newer version of the payment that this handler is done with makes the older one stale, for it alone."""
    seen: list[tuple[str, str, bool]] = []

    @bench.router.posted
    async def every(event: InstantPaymentEvent, context: Context) -> None:
        seen.append(("every", event.id, context.is_stale))

    @bench.router.posted(where=lambda event: event.id != "event_1")
    async def some(event: InstantPaymentEvent, context: Context) -> None:
        seen.append(("some", event.id, context.is_stale))

    for event_id, minute, version in (("event_1", 5, 9), ("event_2", 1, 3), ("event_3", 2, 9), ("event_4", 3, 4)):
        await bench.receive(event_id, payment="instant_payment_1", minute=minute, version=version)
        if event_id != "event_3":
            await bench.work()
    assert [one[1:] for one in seen if one[0] == "every"] == [
        ("event_1", False),
        ("event_2", True),
        ("event_3", False),
        ("event_4", True),
    ]
    assert [one[1:] for one in seen if one[0] == "some"] == [("event_2", False), ("event_3", False), ("event_4", True)]


@pytest.mark.asyncio
async def test_an_event_without_a_handler_is_unhandled(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An event without a handler is not in the way, and the log has a handler to paste."""
    await bench.receive("event_1")
    await bench.receive("event_2", payment="instant_payment_1")
    await bench.work()
    assert [await bench.state("event_1"), await bench.state("event_2")] == ["unhandled", "unhandled"]
    assert caplog.text.count("paste this one") == 2
    assert caplog.text.count("is unhandled, and can be replayed") == 2


@pytest.mark.asyncio
async def test_unhandled_events_are_replayed_for_the_worker_that_has_the_handler(bench: Bench) -> None:
    """A worker with the wrong router closes nothing as done, and the right one handles the event once."""
    wrong, seen = Bench(bench.inbox), []
    for number in range(3):
        await bench.receive(f"event_{number}", payment=f"instant_payment_{number}")
    await wrong.work()
    assert (await bench.inbox.stats()).by_state == {"unhandled": 3}

    @bench.router.posted
    async def credit(event: InstantPaymentEvent) -> None:
        seen.append(event.id)

    assert await bench.inbox.discard("event_2", reason="a test", now=bench.clock.now())
    assert await bench.inbox.replay_all(state="unhandled", event_type="account.created", now=bench.clock.now()) == 0
    assert await bench.inbox.replay_all(state="unhandled", now=bench.clock.now()) == 2
    await bench.work()
    assert sorted(seen) == ["event_0", "event_1"]
    assert (await bench.inbox.stats()).by_state == {"done": 2, "discarded": 1}


@pytest.mark.asyncio
async def test_finished_events_are_replayed_for_a_handler_that_came_later(bench: Bench) -> None:
    """Only that handler runs, and only with the events that it has no run of."""
    seen: list[str] = []

    @bench.router.posted
    async def credit(event: InstantPaymentEvent) -> None:
        seen.append(f"credit {event.id}")

    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()

    @bench.router.posted
    async def audit(event: InstantPaymentEvent) -> None:
        seen.append(f"audit {event.id}")

    await bench.receive("event_2", payment="instant_payment_2")
    await bench.work()
    name = next(route.name for route in bench.router.routes() if route.name.endswith("audit"))
    assert await bench.inbox.replay_all(handler=name, now=bench.clock.now()) == 1
    await bench.work()
    assert seen == ["credit event_1", "credit event_2", "audit event_2", "audit event_1"]
    assert await bench.inbox.replay_all(handler=name, now=bench.clock.now()) == 0


@pytest.mark.asyncio
async def test_an_event_whose_handlers_were_all_removed_is_closed_by_its_finished_runs(bench: Bench) -> None:
    """A worker without handlers does not turn what was done into something unhandled."""

    @bench.router.posted
    async def credit(event: InstantPaymentEvent) -> None:
        """Succeed."""

    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    (name,) = (route.name for route in bench.router.routes())
    assert await bench.inbox.replay("event_1", handler=name, now=bench.clock.now())
    await bench.work()
    await bench.inbox.register("default", {"other:handler": ["*"]}, aliases={})
    assert await bench.inbox.replay("event_1", handler="other:handler", now=bench.clock.now())
    assert await bench.inbox.forget_handler("other:handler")
    assert await bench.inbox.forget_handler(name)
    await Bench(bench.inbox).work()
    kept = await bench.kept("event_1")
    assert (kept.state, kept.handler_runs[name].state) == ("done", "done")


@pytest.mark.asyncio
async def test_a_body_that_can_no_longer_be_read_is_unreadable(bench: Bench) -> None:
    """It is kept with the reason, and can be replayed once it can be read."""
    event, _ = event_of("event_1", payment="instant_payment_1")
    await bench.inbox.add(event, b"[]", received_at=RECEIVED)
    await bench.work()
    kept = await bench.kept("event_1")
    assert (kept.state, kept.reason) == ("unreadable", "must be an object, not an array @ $")
    assert not await bench.inbox.replay("event_1", now=bench.clock.now())


@pytest.mark.asyncio
async def test_attempts_that_killed_the_process_are_counted(bench: Bench) -> None:
    """An event that kills its worker ends as a dead letter, and the next one is handled."""
    seen: list[str] = []

    @bench.router.posted(retries=(1, 1))
    async def kills(event: InstantPaymentEvent, context: Context) -> None:
        seen.append(event.id)

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_1", minute=2)
    for lost in range(3):
        (claim,) = await bench.inbox.claim(5, now=bench.clock.now(), lease=10)
        assert claim.abandoned == lost
        bench.clock.move(10)
    await bench.work()
    assert seen == ["event_2"]
    (handling,) = (await bench.kept("event_1")).handler_runs.values()
    assert (handling.state, handling.attempts) == ("dead", 3)
    assert handling.error == "the process ended, or stalled, 3 times while handling this"


@pytest.mark.asyncio
async def test_one_lost_lease_makes_no_dead_letter(bench: Bench) -> None:
    """A process that was killed once is no proof against its handlers, however few retries they have."""
    attempts: list[int] = []

    @bench.router.posted(retries=())
    async def works(event: InstantPaymentEvent, context: Context) -> None:
        attempts.append(context.attempt)

    await bench.receive("event_1", payment="instant_payment_1")
    assert len(await bench.inbox.claim(5, now=bench.clock.now(), lease=10)) == 1
    bench.clock.move(10)
    await bench.work()
    assert attempts == [2]
    assert await bench.state("event_1") == "done"


@pytest.mark.asyncio
@pytest.mark.parametrize("is_taken", [True, False])
async def test_no_attempt_begins_after_the_lease_is_over(bench: Bench, is_taken: bool) -> None:
    """A worker whose event loop was blocked prolongs its lease first, and finds out whether it has lost it."""
    seen: list[str] = []

    @bench.router.posted
    async def note(event: InstantPaymentEvent) -> None:
        seen.append(event.id)

    await bench.receive("event_1", payment="instant_payment_1")
    worker = bench.worker(lease=10)
    (claim,) = await worker._claim(1)
    execution = ClaimExecution(claim, worker._config)
    bench.clock.move(10)
    if is_taken:
        assert len(await bench.inbox.claim(1, now=bench.clock.now(), lease=10)) == 1
        with pytest.raises(LeaseLostError):
            await execution.run()
    else:
        await execution.run()
    assert seen == ([] if is_taken else ["event_1"])


@pytest.mark.asyncio
async def test_a_schedule_that_got_shorter_still_leaves_one_attempt(bench: Bench) -> None:
    """More attempts than the schedule allows now is no reason to give up without trying."""

    @bench.router.posted(retries=())
    async def works(event: InstantPaymentEvent) -> None:
        """Succeed."""

    await bench.receive("event_1", payment="instant_payment_1")
    (claim,) = await bench.inbox.claim(1, now=bench.clock.now(), lease=10)
    (name,) = (route.name for route in bench.router.routes())
    waiting = HandlerRun(handler=name, state="waiting", attempts=5, due_at=bench.clock.now())
    await bench.inbox.record_result(claim.lease, "event_1", waiting, closes=None, now=bench.clock.now())
    await bench.inbox.release(claim.lease, due_at=bench.clock.now(), now=bench.clock.now())
    await bench.work()
    assert await bench.state("event_1") == "done"


@pytest.mark.asyncio
async def test_handlers_that_were_removed_are_not_waited_for(bench: Bench) -> None:
    """An event whose remaining handlers were taken out of the code is closed."""
    await bench.receive("event_1", payment="instant_payment_1")
    (claim,) = await bench.inbox.claim(1, now=bench.clock.now(), lease=10)
    gone = HandlerRun(handler="gone:handler", state="waiting", attempts=1, due_at=bench.clock.now() + 60)
    done = HandlerRun(handler="tests.inbox.test_execution:kept", state="done", attempts=1)
    for handling in (gone, done):
        await bench.inbox.record_result(claim.lease, "event_1", handling, closes=None, now=bench.clock.now())
    await bench.inbox.release(claim.lease, due_at=bench.clock.now(), now=bench.clock.now())
    bench.router.posted(kept)
    await bench.work()
    assert await bench.state("event_1") == "done"


async def kept(event: InstantPaymentEvent) -> None:
    """Be through already."""
    raise AssertionError


@pytest.mark.asyncio
async def test_a_transaction_cannot_be_used_after_the_handler(bench: Bench) -> None:
    """A statement after the handler has returned is an error."""
    leaked: list[Any] = []

    @bench.router.posted
    async def leaks(event: InstantPaymentEvent, context: Context) -> None:
        leaked.append(context.transaction)

    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    with pytest.raises(InboxError, match="over"):
        await leaked[0].execute("SELECT 1")


# A payment's five events: type, minute of creation, version of the object. Objects are the newest version when they
# were sent, so a late event can carry a newer one than an event that was created after it.
EVENTS = (
    ("event_1", "instant_payment.under_review", 1, 1),
    ("event_2", "instant_payment.posted", 2, 4),
    ("event_3", "instant_payment.counterparty_status_updated", 3, 3),
    ("event_4", "instant_payment.return_request_response_needed", 4, 5),
    ("event_5", "instant_payment.counterparty_status_updated", 5, 5),
)


class Projection:
    """What a partner might show of its payments."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.counted: Counter[str] = Counter()

    async def show(self, event: Event, context: Context) -> None:
        """Keep the newest version."""
        assert isinstance(event, InstantPaymentEvent)
        if not context.is_stale:
            self.shown[event.payment.id] = event.payment.updated_at.isoformat()

    async def count(self, event: Event) -> None:
        """Count each event."""
        self.counted[event.id] += 1


@pytest.mark.asyncio
async def test_all_120_orders_of_arrival_end_in_the_same_state(bench: Bench) -> None:
    """Whether the worker runs after each arrival, in between, or only at the end; each order is a payment's own."""
    projection = Projection()
    bench.router.on("instant_payment.*")(projection.show)
    bench.router.on("instant_payment.*")(projection.count)
    for number, order in enumerate(permutations(EVENTS)):
        for step, (event_id, event_type, minute, version) in enumerate(order):
            await bench.receive(
                f"{event_id}_{number}",
                payment=f"instant_payment_{number}",
                event_type=event_type,
                minute=minute,
                version=version,
            )
            if number % 3 == 0 or (number % 3 == 1 and step == number % 5):
                await bench.work()
    await bench.work()
    assert projection.shown == {f"instant_payment_{number}": "2024-03-01T10:05:00+00:00" for number in range(120)}
    assert projection.counted == {f"{one[0]}_{number}": 1 for one in EVENTS for number in range(120)}


@pytest.mark.asyncio
async def test_handlers_of_one_event_do_not_wait_for_each_other(bench: Bench) -> None:
    """While one hangs, the others go through all events of the payment, in their order."""
    gate, seen = asyncio.Event(), []

    @bench.router.posted
    async def hangs(event: InstantPaymentEvent) -> None:
        seen.append(f"hangs {event.id}")
        await gate.wait()

    @bench.router.posted
    async def sound(event: InstantPaymentEvent) -> None:
        seen.append(f"sound {event.id}")

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_1", minute=2)
    working = asyncio.create_task(bench.work())
    await until(lambda: len(seen) == 3)
    assert seen == ["hangs event_1", "sound event_1", "sound event_2"]
    gate.set()
    assert await working == 1
    assert seen[3:] == ["hangs event_2"]
    assert [await bench.state(f"event_{number}") for number in (1, 2)] == ["done", "done"]


@pytest.mark.asyncio
async def test_handlers_of_a_suspect_run_one_after_the_other(bench: Bench) -> None:
    """So that the one that kills the process is known, and no other is taken for it."""
    running, most = 0, 0

    async def handler(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for name in ("one", "two", "three"):
        bench.router.posted(name=name)(handler)
    for abandoned, expected in ((1, 1), (0, 3)):
        await bench.receive(f"event_{abandoned}", payment=f"instant_payment_{abandoned}")
        if abandoned:
            assert await bench.inbox.claim(1, now=bench.clock.now(), lease=1)
            bench.clock.move(1)
        most = 0
        await bench.work()
        assert most == expected


@pytest.mark.parametrize(("error", "ends"), [(LeaseLostError("lost"), "cancelled"), (InboxError("no disk"), "ended")])
@pytest.mark.asyncio
async def test_only_a_lost_lease_ends_the_other_handlers(shaky: Bench, error: Exception, ends: str) -> None:
    """A store that fails once may record the others."""
    flaky: Any = shaky.inbox
    gate, seen = asyncio.Event(), []

    @shaky.router.posted
    async def fails(event: InstantPaymentEvent) -> None:
        await asyncio.sleep(0)
        flaky.failing["record_result"] = error
        raise ValueError

    @shaky.router.posted
    async def sound(event: InstantPaymentEvent) -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        seen.append("ended")

    await shaky.receive("event_1", payment="instant_payment_1")
    working = asyncio.create_task(shaky.work())
    await until(lambda: "record_result" in flaky.calls)
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    await working
    assert seen == [ends]


@pytest.mark.asyncio
async def test_runs_side_by_side_end_together() -> None:
    """Each runs to its end; a cancellation ends all of them, and one that a run causes itself is an error."""

    async def cancel_oneself() -> None:
        task: Any = asyncio.current_task()
        task.cancel()
        await asyncio.sleep(0)

    ended: list[int] = []

    async def end() -> None:
        await asyncio.sleep(0.001)
        ended.append(1)

    with pytest.raises(asyncio.CancelledError):
        await side_by_side([cancel_oneself(), end()])
    assert ended == [1]
    whole = asyncio.create_task(side_by_side([asyncio.Event().wait(), asyncio.Event().wait()]))  # type: ignore[list-item]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.asyncio
async def test_a_handler_without_a_free_slot_comes_back_later(shaky: Bench) -> None:
    """The payment is free meanwhile, and no attempt is used up."""
    seen: list[int] = []

    @shaky.router.posted(name="mail")
    async def mail(event: InstantPaymentEvent, context: Context) -> None:
        seen.append(context.attempt)

    await shaky.receive("event_1", payment="instant_payment_1")
    worker = shaky.worker(concurrency=1)
    slot = await worker._bulkhead.take("mail")
    assert isinstance(slot, Slot)
    (claim,) = await worker._claim(1)
    await worker._execute(claim)
    assert seen == []
    worker._bulkhead.give_back(slot)
    assert await worker.run_due() == 0
    shaky.clock.move(HOLD_BACK_SECONDS)
    assert await worker.run_due() == 1
    assert seen == [1]


@pytest.mark.asyncio
async def test_a_commit_that_fails_is_a_failed_attempt(shaky: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """As where a statement of the handler has rolled its transaction back."""
    attempts: list[int] = []

    @shaky.router.posted(retries=(1,))
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        attempts.append(context.attempt)
        execute = context.transaction.execute
        await execute("CREATE TABLE IF NOT EXISTS credits (id TEXT PRIMARY KEY)")
        for _ in range(2 if context.attempt == 1 else 1):
            with suppress(sqlite3.Error):
                await execute("INSERT OR ROLLBACK INTO credits VALUES (?)", (event.id,))

    await shaky.receive("event_1", payment="instant_payment_1")
    await shaky.work()
    (run,) = (await shaky.kept("event_1")).handler_runs.values()
    assert (run.state, run.attempts) == ("waiting", 1)
    assert "not committed" in caplog.text
    shaky.clock.move(1)
    await shaky.work()
    assert attempts == [1, 2]
    assert await shaky.state("event_1") == "done"
