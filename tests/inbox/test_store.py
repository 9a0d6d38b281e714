"""The contract of every store: adding, claiming, recording results, transactions."""

import asyncio
from typing import Any

import attrs
import pytest
import pytest_asyncio

from leadpay.clock import utc_datetime
from leadpay.inbox import Claim, EventState, HandlerRun, Inbox, LeaseLostError
from leadpay.inbox.store import RunFinishedError
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.context import Context
from tests.support.inbox import NOW, RECEIVED, Bench, event_of
from tests.support.postgres import open_manual


@pytest.mark.asyncio
async def test_an_event_is_stored_as_it_came(inbox: Inbox) -> None:
    """Bytes, times and names come back; the second time it is known."""
    event, body = event_of("event_1", payment="instant_payment_1")
    assert await inbox.add(event, body, received_at=RECEIVED)
    assert not await inbox.add(event, body, received_at=RECEIVED)
    kept = await inbox.get("event_1")
    assert kept is not None
    assert (kept.event_id, kept.ordering_key, kept.type) == ("event_1", "instant_payment_1", "instant_payment.posted")
    assert (kept.body, kept.received_at, kept.created_at) == (body, RECEIVED, event.created_at)
    assert (kept.version, kept.state, kept.handler_runs, kept.reason) == (event.object.updated_at, "waiting", {}, None)
    assert "Gertrude" not in repr(kept)
    assert await inbox.get("event_2") is None


@pytest.mark.asyncio
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2384185791015625, 0.7152557373046875])
async def test_an_event_is_due_when_it_comes(inbox: Inbox, fraction: float) -> None:
    """Also by a clock that stands still between two microseconds."""
    now = NOW + fraction * 1e-6
    event, body = event_of("event_1")
    await inbox.add(event, body, received_at=utc_datetime(now))
    assert len(await inbox.claim(1, now=now, lease=60)) == 1


PAYMENT = "instant_payment_1"


async def claim_one(inbox: Inbox, now: float = NOW, lease: float = 10) -> Claim:
    """Claim the only thing that is due."""
    (claim,) = await inbox.claim(5, now=now, lease=lease)
    return claim


def handled(state: Any = "done", **kwargs: Any) -> HandlerRun:
    """Say how a handler ended."""
    return HandlerRun(**{"handler": "a:b", "state": state, "attempts": 1, **kwargs})


@pytest.mark.asyncio
async def test_a_claim_has_all_waiting_events_and_is_exclusive(bench: Bench) -> None:
    """One subject at a time for one worker, as many subjects as were asked for."""
    for number in range(3):
        await bench.receive(f"event_{number}", payment=PAYMENT, minute=3 - number)
    await bench.receive("event_other")
    first = await bench.inbox.claim(1, now=NOW, lease=10)
    rest = await bench.inbox.claim(5, now=NOW, lease=10)
    claims = {claim.lease.ordering_key: claim for claim in first + rest}
    assert len(first) == len(rest) == 1
    assert [one.event_id for one in claims[PAYMENT].events] == ["event_2", "event_1", "event_0"]
    assert [one.event_id for one in claims["event_other"].events] == ["event_other"]
    lease = claims[PAYMENT].lease
    assert (lease.fencing_token > 0, lease.until, lease.seconds) == (True, NOW + 10, 10)
    assert not claims[PAYMENT].newer
    assert await bench.inbox.claim(5, now=NOW + 9, lease=10) == []


@pytest.mark.asyncio
async def test_nothing_is_claimed_before_it_is_due(bench: Bench) -> None:
    """Nothing is claimed before it is due."""
    await bench.receive("event_1", payment=PAYMENT)
    assert await bench.inbox.claim(5, now=NOW - 1, lease=10) == []
    claim = await claim_one(bench.inbox)
    await bench.inbox.release(claim.lease, due_at=NOW + 5, now=NOW)
    assert await bench.inbox.claim(5, now=NOW + 4, lease=10) == []
    assert (await claim_one(bench.inbox, NOW + 5)).abandoned == 0


@pytest.mark.asyncio
async def test_a_paused_worker_finds_a_newer_fencing_token_and_writes_nothing(bench: Bench) -> None:
    """Recording, committing and releasing with an old lease leave everything as it is."""
    await bench.receive("event_1", payment=PAYMENT)
    paused = (await claim_one(bench.inbox)).lease
    current = await claim_one(bench.inbox, NOW + 10)
    assert (current.abandoned, current.lease.fencing_token) == (1, 2)
    with pytest.raises(LeaseLostError):
        await bench.inbox.record_result(paused, "event_1", handled(), closes="done", now=NOW + 11)
    with pytest.raises(LeaseLostError):
        await bench.inbox.record_result(paused, "", None, closes=None, now=NOW + 11)
    async with bench.inbox.transaction(paused) as transaction:
        with pytest.raises(LeaseLostError):
            await transaction.commit("event_1", handled(), closes="done", now=NOW + 11)
    await bench.inbox.release(paused, due_at=NOW, now=NOW)
    kept = await bench.kept("event_1")
    assert (kept.state, kept.handler_runs) == ("waiting", {})
    assert await bench.inbox.claim(5, now=NOW + 19, lease=10) == []


@pytest.mark.asyncio
async def test_an_expired_lease_that_was_not_taken_over_still_holds(bench: Bench) -> None:
    """It ran out, but there is no newer fencing token: what was done is kept, and the lease goes on."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    await bench.inbox.record_result(lease, "event_1", handled("waiting", due_at=NOW), closes=None, now=NOW + 15)
    assert await bench.inbox.claim(5, now=NOW + 24, lease=10) == []
    assert (await claim_one(bench.inbox, NOW + 25)).abandoned == 1


@pytest.mark.asyncio
async def test_a_heartbeat_does_not_reset_the_count_of_abandoned_leases(bench: Bench) -> None:
    """A process that prolongs its lease and then dies has still died."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    lost = (await claim_one(bench.inbox, NOW + 10)).lease
    assert lost.fencing_token == lease.fencing_token + 1
    await bench.inbox.record_result(lost, "", None, closes=None, now=NOW + 15)
    assert await bench.inbox.claim(5, now=NOW + 24, lease=10) == []
    claim = await claim_one(bench.inbox, NOW + 25)
    assert claim.abandoned == 2
    await bench.inbox.record_result(claim.lease, "event_1", handled("waiting", due_at=NOW), closes=None, now=NOW + 25)
    assert (await claim_one(bench.inbox, NOW + 35)).abandoned == 1


@pytest.mark.asyncio
async def test_a_released_lease_is_over(bench: Bench) -> None:
    """After the release nothing more can be recorded; what still waits is due at once, whatever the worker says."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    await bench.inbox.release(lease, due_at=None, now=NOW)
    with pytest.raises(LeaseLostError):
        await bench.inbox.record_result(lease, "event_1", handled(), closes="done", now=NOW)
    assert (await claim_one(bench.inbox)).abandoned == 0


@pytest.mark.asyncio
async def test_new_work_during_a_lease_is_due_at_the_release(bench: Bench) -> None:
    """A subject that was woken while it was leased is not put off."""
    await bench.receive("event_1", payment=PAYMENT)
    claim = await claim_one(bench.inbox)
    await bench.inbox.record_result(claim.lease, "event_1", handled(), closes="done", now=NOW)
    await bench.receive("event_2", payment=PAYMENT)
    assert await bench.inbox.claim(5, now=NOW, lease=10) == []
    await bench.inbox.release(claim.lease, due_at=None, now=NOW)
    again = await claim_one(bench.inbox)
    assert [one.event_id for one in again.events] == ["event_2"]


@pytest.mark.asyncio
@pytest.mark.parametrize("writes", [True, False])
async def test_an_event_that_comes_during_a_claim_keeps_its_place_in_the_order(bench: Bench, writes: bool) -> None:
    """An event that is older than those that wait goes first, although the worker had claimed without it."""
    seen: list[str] = []

    @bench.router.posted
    async def note(event: InstantPaymentEvent, context: Context) -> None:
        if not seen:
            await bench.receive("event_2", payment="instant_payment_1", minute=2)
        if writes:
            await context.transaction.execute("SELECT 1")
        seen.append(event.id)

    await bench.receive("event_1", payment="instant_payment_1", minute=1)
    await bench.receive("event_3", payment="instant_payment_1", minute=3)
    await bench.work()
    assert seen == ["event_1", "event_2", "event_3"]


@pytest.mark.asyncio
async def test_a_duplicate_makes_a_waiting_run_due(bench: Bench) -> None:
    """A second copy of an event that waits for its next attempt makes it due now, and is no new event."""
    await bench.receive("event_1", payment=PAYMENT)
    claim = await claim_one(bench.inbox)
    waiting = handled("waiting", due_at=NOW + 600)
    await bench.inbox.record_result(claim.lease, "event_1", waiting, closes=None, now=NOW)
    await bench.inbox.release(claim.lease, due_at=NOW + 600, now=NOW)
    assert await bench.inbox.claim(5, now=NOW + 5, lease=10) == []
    bench.clock.move(5)
    assert not await bench.receive("event_1", payment=PAYMENT)
    again = await claim_one(bench.inbox, NOW + 5)
    assert again.events[0].handler_runs == {"a:b": attrs.evolve(waiting, due_at=NOW + 5)}
    assert again.events[0].received_at.timestamp() == NOW


@pytest.mark.asyncio
async def test_a_duplicate_of_a_finished_event_changes_nothing(bench: Bench) -> None:
    """Done and dead events stay so; a purge does not forget their IDs."""
    ends: tuple[tuple[str, EventState], ...] = (("event_1", "done"), ("event_2", "dead"))
    for event_id, closes in ends:
        await bench.receive(event_id)
        claim = await claim_one(bench.inbox)
        await bench.inbox.record_result(claim.lease, event_id, handled(closes), closes=closes, now=NOW)
        await bench.inbox.release(claim.lease, due_at=None, now=NOW)
        assert not await bench.receive(event_id)
        assert await bench.inbox.claim(5, now=NOW + 99, lease=10) == []
        assert await bench.state(event_id) == closes


@pytest.mark.asyncio
async def test_a_result_that_changes_nothing_is_an_error(bench: Bench) -> None:
    """A run or an event that is finished already was finished by another worker, so nothing of the attempt is kept."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    await bench.inbox.record_result(lease, "event_1", handled(), closes=None, now=NOW)
    with pytest.raises(RunFinishedError):
        await bench.inbox.record_result(lease, "event_1", handled("dead", error="late"), closes="done", now=NOW)
    await bench.inbox.record_result(lease, "event_1", None, closes="done", now=NOW)
    with pytest.raises(RunFinishedError):
        await bench.inbox.record_result(lease, "event_1", None, closes="dead", now=NOW)
    async with bench.inbox.transaction(lease) as transaction:
        await transaction.connection.execute("CREATE TABLE written (x INTEGER)")
        with pytest.raises(RunFinishedError):
            await transaction.commit("event_1", handled(attempts=2), closes=None, now=NOW)
    kept = await bench.kept("event_1")
    assert (kept.state, kept.handler_runs) == ("done", {"a:b": handled()})
    with pytest.raises(Exception, match="written"):
        async with bench.inbox.transaction(lease) as transaction:
            await transaction.connection.execute("SELECT * FROM written")


@pytest.mark.asyncio
async def test_a_claim_has_what_is_through_and_newer(bench: Bench) -> None:
    """Of this payment, with the runs, and only what is newer than something that waits."""
    await bench.receive("event_1", payment=PAYMENT, version=7)
    await bench.receive("event_2", payment=PAYMENT, version=9, minute=1)
    await bench.receive("event_other", payment="instant_payment_2", version=30)
    for claim in await bench.inbox.claim(5, now=NOW, lease=10):
        for stored in claim.events:
            state: Any = "dead" if stored.event_id == "event_1" else "done"
            await bench.inbox.record_result(claim.lease, stored.event_id, handled(state), closes=state, now=NOW)
        await bench.inbox.release(claim.lease, due_at=None, now=NOW)
    await bench.receive("event_3", payment=PAYMENT, version=8, minute=2)
    claim = await claim_one(bench.inbox)
    assert [(one.event_id, one.state, dict(one.handler_runs)) for one in claim.newer] == [
        ("event_2", "done", {"a:b": handled()})
    ]
    await bench.inbox.release(claim.lease, due_at=NOW, now=NOW)
    await bench.receive("event_4", payment=PAYMENT, version=1, minute=3)
    claim = await claim_one(bench.inbox)
    assert sorted((one.event_id, one.state) for one in claim.newer) == [("event_1", "dead"), ("event_2", "done")]


@pytest.mark.asyncio
async def test_a_key_without_a_waiting_event_is_never_claimed(bench: Bench) -> None:
    """A discarded event is not claimed; a later one for the same payment is."""
    await bench.receive("event_1", payment=PAYMENT)
    await bench.inbox.discard("event_1", reason="a test", now=NOW)
    assert await bench.inbox.claim(5, now=NOW, lease=10) == []
    await bench.receive("event_2", payment=PAYMENT)
    assert (await claim_one(bench.inbox)).abandoned == 0


@pytest.mark.asyncio
async def test_concurrent_claims_never_share_a_key(bench: Bench) -> None:
    """However many ask at once, each subject goes to one of them."""
    for number in range(20):
        await bench.receive(f"event_{number}")
    found = await asyncio.gather(*(bench.inbox.claim(3, now=NOW, lease=10) for _ in range(8)))
    subjects = [claim.lease.ordering_key for claims in found for claim in claims]
    assert sorted(subjects) == sorted({f"event_{number}" for number in range(20)})


@pytest.mark.asyncio
async def test_two_openings_of_one_store_share_it(shared_url: str) -> None:
    """What one accepts the other claims, and fences hold between them."""
    async with open_manual(shared_url) as one, open_manual(shared_url) as other:
        await Bench(one).receive("event_1", payment=PAYMENT)
        assert not await Bench(other).receive("event_1", payment=PAYMENT)
        paused = (await claim_one(other)).lease
        current = (await claim_one(one, NOW + 10)).lease
        with pytest.raises(LeaseLostError):
            await other.record_result(paused, "event_1", handled(), closes="done", now=NOW)
        await one.record_result(current, "event_1", handled(), closes="done", now=NOW)
        assert (await Bench(other).kept("event_1")).state == "done"


@pytest.mark.asyncio
async def test_waiting_ends_when_an_event_comes_or_the_time_is_over(bench: Bench) -> None:
    """A hint is enough; without one the time limit is."""
    waiting = asyncio.create_task(bench.inbox.wait_for_work(30))
    await asyncio.sleep(0)
    await bench.receive("event_1")
    await asyncio.wait_for(waiting, 30)
    await bench.inbox.wait_for_work(0.001)


INSERT = "INSERT INTO ledger_lines (event_id) VALUES ('{}')"


@pytest_asyncio.fixture
async def ledger(bench: Bench) -> Bench:
    """Make a table of our own, in a handler's transaction."""
    await in_transaction(bench.inbox, "CREATE TABLE ledger_lines (event_id TEXT)")
    return bench


async def in_transaction(inbox: Inbox, sql: str) -> list[Any]:
    """Execute one statement as a handler would, on an event made up for it, and give its rows."""
    event_id = f"event_for_{abs(hash(sql))}"
    bench = Bench(inbox)
    await bench.receive(event_id)
    (claim,) = [one for one in await inbox.claim(9, now=NOW, lease=1) if one.lease.ordering_key == event_id]
    async with inbox.transaction(claim.lease) as transaction:
        cursor = await transaction.connection.execute(sql)
        rows = cursor if isinstance(cursor, list) else [] if cursor.description is None else await cursor.fetchall()
        done = HandlerRun(handler="made:up", state="done", attempts=1)
        await transaction.commit(event_id, done, closes="done", now=NOW)
    await inbox.release(claim.lease, due_at=None, now=NOW)
    return rows


async def lines(bench: Bench) -> list[str]:
    """Read what handlers wrote."""
    rows = await in_transaction(bench.inbox, f"SELECT event_id FROM ledger_lines WHERE {bench.clock.now()} > 0")  # noqa: S608 - a number
    return [row[0] for row in rows]


@pytest.mark.asyncio
async def test_a_handler_s_writes_are_committed_with_its_result(ledger: Bench) -> None:
    """It succeeded, and so did its writes."""

    @ledger.router.posted
    async def book(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(INSERT.format(event.id))

    await ledger.receive("event_1", payment=PAYMENT)
    await ledger.work()
    assert await ledger.state("event_1") == "done"
    assert await lines(ledger) == ["event_1"]


@pytest.mark.asyncio
async def test_a_handler_that_fails_leaves_nothing(ledger: Bench) -> None:
    """What it wrote before it raised is gone, and its next attempt writes it once."""
    attempts: list[int] = []

    @ledger.router.posted
    async def book(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(INSERT.format(event.id))
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise RuntimeError

    await ledger.receive("event_1", payment=PAYMENT)
    for _ in range(4):
        await ledger.work()
        ledger.clock.move(2)
    assert attempts == [1, 2, 3]
    assert await lines(ledger) == ["event_1"]


@pytest.mark.asyncio
async def test_a_worker_that_lost_its_lease_commits_nothing(ledger: Bench) -> None:
    """Another worker has the payment: neither the mark nor the writes are kept."""
    await ledger.receive("event_1", payment=PAYMENT)
    (paused,) = await ledger.inbox.claim(1, now=NOW, lease=10)
    (current,) = await ledger.inbox.claim(1, now=NOW + 10, lease=10)
    done = HandlerRun(handler="a:b", state="done", attempts=1)
    async with ledger.inbox.transaction(paused.lease) as transaction:
        await transaction.connection.execute(INSERT.format("paused"))
        with pytest.raises(LeaseLostError):
            await transaction.commit("event_1", done, closes="done", now=NOW + 10)
    async with ledger.inbox.transaction(current.lease) as transaction:
        await transaction.connection.execute(INSERT.format("current"))
        await transaction.commit("event_1", done, closes="done", now=NOW + 10)
    await ledger.inbox.release(current.lease, due_at=None, now=NOW)
    assert await lines(ledger) == ["current"]
    assert await ledger.state("event_1") == "done"


@pytest.mark.asyncio
async def test_a_transaction_that_is_not_committed_leaves_nothing(ledger: Bench) -> None:
    """Leaving it is rolling it back."""
    await ledger.receive("event_1", payment=PAYMENT)
    (claim,) = await ledger.inbox.claim(1, now=NOW, lease=10)
    async with ledger.inbox.transaction(claim.lease) as transaction:
        await transaction.connection.execute(INSERT.format("event_1"))
    await ledger.inbox.release(claim.lease, due_at=None, now=NOW)
    assert await lines(ledger) == []


@pytest.mark.asyncio
async def test_a_handler_that_times_out_leaves_nothing(ledger: Bench) -> None:
    """Its time was over in the middle of its writes."""

    @ledger.router.posted(timeout=0.05, retries=())
    async def hangs(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(INSERT.format(event.id))
        await asyncio.Event().wait()

    await ledger.receive("event_1", payment=PAYMENT)
    await ledger.work()
    assert await ledger.state("event_1") == "dead"
    assert await lines(ledger) == []


@pytest.mark.asyncio
async def test_handlers_of_many_payments_have_transactions_of_their_own(ledger: Bench) -> None:
    """Each handler has its own, whether the store runs them at once or one after the other."""

    @ledger.router.posted
    async def book(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(INSERT.format(event.id))
        await asyncio.sleep(0)
        if event.id == "event_3":
            raise RuntimeError
        await context.transaction.execute(INSERT.format(event.id))

    for number in range(8):
        await ledger.receive(f"event_{number}", payment=f"instant_payment_{number}")
    await ledger.work()
    expected = [f"event_{number}" for number in range(8) if number != 3]
    assert sorted(await lines(ledger)) == sorted(expected * 2)


@pytest.mark.asyncio
async def test_a_claim_is_read_again_under_the_same_lease(bench: Bench) -> None:
    """With what came meanwhile; the lease is prolonged, and new work is new no more."""
    await bench.receive("event_1", payment=PAYMENT)
    claim = await claim_one(bench.inbox)
    await bench.receive("event_2", payment=PAYMENT, minute=1)
    again = await bench.inbox.refresh(claim.lease, now=NOW + 5)
    assert again is not None
    assert [one.event_id for one in again.events] == ["event_1", "event_2"]
    assert (again.lease.until, again.lease.fencing_token) == (NOW + 15, claim.lease.fencing_token)
    assert not await bench.inbox.record_result(again.lease, "event_1", None, closes="done", now=NOW)
    assert not await bench.inbox.record_result(again.lease, "event_2", None, closes="done", now=NOW)
    assert await bench.inbox.refresh(again.lease, now=NOW) is None
    with pytest.raises(LeaseLostError):
        await bench.inbox.refresh(claim.lease, now=NOW)


@pytest.mark.asyncio
async def test_a_completion_is_statements_for_any_connection(bench: Bench) -> None:
    """In the order in which they are sent; the result is the same as by the store's own connection."""
    await bench.receive("event_1", payment=PAYMENT)
    claim = await claim_one(bench.inbox)
    async with bench.inbox.transaction(claim.lease) as transaction:
        steps = bench.inbox.completion(claim.lease, "event_1", handled(), closes="done", now=NOW, releases=True)
        sent = []
        step: Any = next(steps)
        while step is not None:
            cursor = await transaction.connection.execute(*step)
            sent.append(step[0].split()[0])
            try:
                step = steps.send(cursor if isinstance(cursor, list) else await cursor.fetchall())
            except StopIteration as end:
                sent.append(str(end.value))
                step = None
        assert sent == ["SELECT", "INSERT", "DELETE", "DELETE", "False"]
    assert await bench.state("event_1") == "waiting"
