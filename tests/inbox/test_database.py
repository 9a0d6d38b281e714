"""The contract of every store: counting, listing, replaying, discarding, purging."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadpay.inbox import EventState, Note, StoredEvent
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context
from leadpay.webhooks.secrets import SecretUse
from tests.support.inbox import NOW, RECEIVED, Bench, event_of


async def listed(bench: Bench, **wanted: Any) -> list[str]:
    """List IDs."""
    return [one.event_id async for one in bench.inbox.events(**wanted)]


@pytest.mark.asyncio
async def test_stats_count_by_state_and_type(bench: Bench) -> None:
    """And know when the longest-waiting event was received."""
    empty = await bench.inbox.stats()
    assert (empty.by_state, empty.by_type, empty.oldest_waiting) == ({}, {}, None)
    for number in range(3):
        await bench.receive(f"event_{number}", payment=f"instant_payment_{number}")
        bench.clock.move(1)
    await bench.receive("event_3")
    await bench.inbox.discard("event_0", reason="a test", now=NOW)
    stats = await bench.inbox.stats()
    assert stats.by_state == {"waiting": 3, "discarded": 1}
    assert stats.by_type == {
        "instant_payment.posted": {"waiting": 2, "discarded": 1},
        "account.created": {"waiting": 1},
    }
    assert stats.oldest_waiting == RECEIVED + timedelta(seconds=1)


@pytest.mark.asyncio
async def test_events_are_listed_newest_receipt_first(bench: Bench) -> None:
    """In pages that the caller does not see, all of it or what was asked for, in either spelling of a type."""
    for number in range(205):
        event_type = "instant_payment.counterparty_status_updated" if number % 100 == 0 else None
        await bench.receive(f"event_{number}", payment=f"instant_payment_{number}", event_type=event_type)
    assert await listed(bench) == [f"event_{number}" for number in reversed(range(205))]
    assert await listed(bench, limit=150) == [f"event_{number}" for number in range(204, 54, -1)]
    assert await listed(bench, limit=0) == []
    assert await listed(bench, limit=2, before=3) == ["event_1", "event_0"]
    assert await listed(bench, ordering_key="instant_payment_7") == ["event_7"]
    old = "instant_payment.counterparty_status_update"
    assert await listed(bench, event_type=old, limit=2) == ["event_200", "event_100"]
    await bench.inbox.discard("event_100", reason="a test", now=NOW)
    assert await listed(bench, state="discarded", event_type=old) == ["event_100"]
    assert len(await listed(bench, state="waiting")) == 204


@pytest.mark.asyncio
async def test_the_revision_tells_whether_to_look_again(bench: Bench) -> None:
    """It differs after an event, a handler run, a discard and a replay, and is equal while nothing happens."""

    @bench.router.on("*", retries=[5.0])
    async def fail(event: Event) -> None:
        raise RuntimeError

    async def look() -> str:
        revision = await bench.inbox.revision()
        assert revision == await bench.inbox.revision()
        return revision

    seen = [await look()]
    await bench.receive("event_1")
    seen.append(await look())
    for _ in range(2):
        await bench.work()
        seen.append(await look())
        bench.clock.move(10)
    await bench.inbox.replay("event_1", now=bench.clock.now())
    seen.append(await look())
    await bench.inbox.discard("event_1", reason="a test", now=bench.clock.now())
    seen.append(await look())
    assert len(set(seen)) == len(seen) == 6


@pytest.mark.asyncio
async def test_what_people_do_is_kept(bench: Bench) -> None:
    """Who, when and why, for each event, in order; the reason is in no repr."""
    await bench.receive("event_1")
    await bench.receive("event_2")
    number = (await bench.kept("event_1")).number
    notes = [
        Note(at=RECEIVED, action="replayed", by="Ann", reason="a\0b \\ <b>"),
        Note(at=RECEIVED, action="discarded", by="Bob", reason="a test"),
    ]
    for note in notes:
        await bench.inbox.note(number, note)
    assert await bench.inbox.notes(number) == notes
    assert await bench.inbox.notes((await bench.kept("event_2")).number) == []
    assert "a test" not in repr(notes)


class Two:
    """A handler that fails the first time and one that never does."""

    def __init__(self) -> None:
        self.fixed_runs: list[tuple[str, int, datetime]] = []
        self.sound_runs: list[str] = []

    async def fixed(self, event: InstantPaymentEvent, context: Context) -> None:
        """Fail once."""
        self.fixed_runs.append((event.id, context.attempt, context.received_at))
        if len(self.fixed_runs) == 1:
            raise RuntimeError

    async def sound(self, event: InstantPaymentEvent) -> None:
        """Succeed."""
        self.sound_runs.append(event.id)


async def make_dead(bench: Bench) -> Two:
    """Bring an event to its end by a handler that gave up."""
    two = Two()
    bench.router.posted(retries=())(two.fixed)
    bench.router.posted(two.sound)
    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    assert await bench.state("event_1") == "dead"
    return two


@pytest.mark.asyncio
async def test_a_replay_runs_the_dead_handler_with_the_first_receipt_time(bench: Bench) -> None:
    """After a fix a dead letter is handled again, by the handler that gave up only, counting from one."""
    two = await make_dead(bench)
    bench.clock.move(3600)
    assert await bench.inbox.replay("event_1", now=bench.clock.now())
    assert await bench.state("event_1") == "waiting"
    await bench.work()
    assert two.fixed_runs == [("event_1", 1, RECEIVED)] * 2
    assert two.sound_runs == ["event_1"]
    assert await bench.state("event_1") == "done"
    assert not await bench.inbox.replay("event_1", now=bench.clock.now())
    assert not await bench.inbox.replay("event_2", now=bench.clock.now())


@pytest.mark.asyncio
async def test_a_replay_by_name_runs_that_handler_whatever_its_state(bench: Bench) -> None:
    """What was done is done again on request."""
    two = await make_dead(bench)
    name = next(name for name in (await bench.kept("event_1")).handler_runs if name.endswith("sound"))
    assert await bench.inbox.replay("event_1", handler=name, now=NOW)
    await bench.work()
    assert two.sound_runs == ["event_1", "event_1"]
    assert len(two.fixed_runs) == 1
    assert await bench.state("event_1") == "dead"


@pytest.mark.asyncio
@pytest.mark.parametrize("by_name", [True, False])
async def test_a_replay_while_a_neighbour_runs_is_not_lost(bench: Bench, by_name: bool) -> None:
    """The worker that has the event doesn't close it over a replay that was requested meanwhile."""
    runs: list[str] = []

    @bench.router.posted(retries=())
    async def first(event: InstantPaymentEvent) -> None:
        runs.append("first")
        if len(runs) == 1 and not by_name:
            raise RuntimeError

    @bench.router.posted
    async def second(event: InstantPaymentEvent) -> None:
        runs.append("second")
        while not (await bench.kept("event_1")).handler_runs:  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(0)
        (name,) = (await bench.kept("event_1")).handler_runs
        assert await bench.inbox.replay("event_1", handler=name if by_name else None, now=bench.clock.now())

    await bench.receive("event_1", payment="instant_payment_1")
    await bench.work()
    assert runs == ["first", "second", "first"]
    assert await bench.state("event_1") == "done"


@pytest.mark.asyncio
async def test_an_event_discarded_while_an_older_one_runs_is_not_handled(bench: Bench) -> None:
    """Also where a worker has both in its hands."""
    seen: list[str] = []

    @bench.router.posted
    async def handler(event: InstantPaymentEvent) -> None:
        seen.append(event.id)
        assert await bench.inbox.discard("event_2", reason="a test", now=bench.clock.now())

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_1", minute=2)
    await bench.work()
    assert seen == ["event_1"]
    assert [await bench.state("event_1"), await bench.state("event_2")] == ["done", "discarded"]


@pytest.mark.asyncio
async def test_a_discarded_event_holds_nothing_up_and_can_be_replayed(bench: Bench) -> None:
    """It says why; what waited behind it goes on; a replay takes it up where it was."""
    seen: list[str] = []
    broken = True

    @bench.router.posted
    async def handler(event: InstantPaymentEvent) -> None:
        if broken and event.id == "event_1":
            raise RuntimeError
        seen.append(event.id)

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_1", minute=2)
    await bench.work()
    assert seen == []
    assert await bench.inbox.discard("event_1", reason="a test", now=NOW)
    await bench.work()
    assert seen == ["event_2"]
    kept = await bench.kept("event_1")
    assert (kept.state, kept.reason) == ("discarded", "a test")
    assert not await bench.inbox.discard("event_1", reason="again", now=NOW)
    assert not await bench.inbox.discard("event_3", reason="unknown", now=NOW)
    broken = False
    bench.clock.move(60)
    assert await bench.inbox.replay("event_1", now=bench.clock.now())
    await bench.work()
    assert seen == ["event_2", "event_1"]
    assert (await bench.kept("event_1")).reason is None


@pytest.mark.asyncio
async def test_a_dead_letter_can_be_discarded(bench: Bench) -> None:
    """A dead letter that will not be replayed can be hidden."""
    await make_dead(bench)
    assert await bench.inbox.discard("event_1", reason="seen to by hand", now=NOW)
    assert await bench.state("event_1") == "discarded"


@pytest.mark.asyncio
async def test_a_purge_deletes_bodies_of_finished_events_and_keeps_ids(bench: Bench) -> None:
    """What waits or is dead keeps its body; what is empty cannot be replayed, and is still known."""

    @bench.router.on("*")
    async def handler(event: Event) -> None:
        """Succeed."""

    for number in range(150):
        await bench.receive(f"event_{number}")
    await bench.work()
    bench.clock.move(10)
    await bench.receive("event_later")
    await bench.work()
    await bench.receive("event_waiting")
    event, _ = event_of("event_dead")
    await bench.inbox.add(event, b"unreadable", received_at=RECEIVED)
    await bench.inbox.discard("event_waiting", reason="a test", now=NOW)
    cutoff = datetime.fromtimestamp(NOW + 5, UTC)
    assert await bench.inbox.purge(before=cutoff) == 150
    assert await bench.inbox.purge(before=cutoff) == 0
    assert await bodies(bench) == {"event_later", "event_waiting", "event_dead"}
    assert await states(bench) == {"done": 151, "discarded": 1, "waiting": 1}
    (name,) = (route.name for route in bench.router.routes())
    assert not await bench.inbox.replay("event_1", handler=name, now=NOW)
    assert not await bench.receive("event_1")


async def bodies(bench: Bench) -> set[str]:
    """Name the events that have their body."""
    return {one.event_id async for one in bench.inbox.events() if one.body is not None}


async def states(bench: Bench) -> dict[EventState, int]:
    """Count states one by one."""
    kept: list[StoredEvent] = [one async for one in bench.inbox.events()]
    return {state: sum(one.state == state for one in kept) for state in {one.state for one in kept}}


@pytest.mark.asyncio
async def test_the_watermark_only_goes_forward(bench: Bench) -> None:
    """It is kept to the microsecond."""
    assert await bench.inbox.watermark() is None
    for moment in (RECEIVED + timedelta(microseconds=1), RECEIVED, RECEIVED - timedelta(days=1)):
        await bench.inbox.set_watermark(moment)
        assert await bench.inbox.watermark() == RECEIVED + timedelta(microseconds=1)


@pytest.mark.asyncio
async def test_a_probe_changes_nothing(bench: Bench) -> None:
    """It writes, and everything is as before."""
    await bench.receive("event_1")
    before = await bench.inbox.get("event_1")
    await bench.inbox.probe()
    assert await bench.inbox.get("event_1") == before
    assert await bench.inbox.watermark() is None


@pytest.mark.asyncio
async def test_the_use_of_secrets_is_summed_up(bench: Bench) -> None:
    """The first time that one was seen stays, the latest verification counts, and counts add up."""
    assert await bench.inbox.secrets() == []

    def use(name: str, minute: int, last: int | None, verified: int) -> SecretUse:
        at = None if last is None else RECEIVED + timedelta(minutes=last)
        first = RECEIVED + timedelta(minutes=minute)
        return SecretUse(fingerprint=name, first_seen_at=first, last_verified_at=at, verified=verified)

    await bench.inbox.record_secrets([use("b", 1, None, 0), use("a", 1, 1, 2)])
    await bench.inbox.record_secrets([use("a", 2, None, 0), use("b", 2, None, 0)])
    await bench.inbox.record_secrets([use("a", 3, 0, 3), use("c", 3, 3, 1)])
    assert sorted(await bench.inbox.secrets(), key=lambda one: one.fingerprint) == [
        use("a", 1, 1, 5),
        use("b", 1, None, 0),
        use("c", 3, 3, 1),
    ]


@pytest.mark.asyncio
async def test_a_payment_can_be_erased(bench: Bench) -> None:
    """Bodies of all its events are gone; what waits is discarded, also under a handler's hands."""
    erased: list[int] = []

    @bench.router.posted
    async def handler(event: InstantPaymentEvent) -> None:
        if event.id == "event_1":
            erased.append(await bench.inbox.erase("instant_payment_1"))

    await bench.receive("event_0", payment="instant_payment_1")
    await bench.work()
    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_2", payment="instant_payment_2")
    await bench.work()
    assert erased == [2]
    assert await bench.inbox.erase("instant_payment_1") == 0
    assert await bodies(bench) == {"event_2"}
    kept = await bench.kept("event_1")
    assert (kept.state, kept.reason) == ("discarded", "erased")
    assert not await bench.receive("event_1", payment="instant_payment_1")
    assert await bench.inbox.claim(9, now=bench.clock.now(), lease=1) == []
