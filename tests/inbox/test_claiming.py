"""What every store promises about claims: leases, fences, wakes and releases."""

import asyncio
from typing import Any

import attrs
import pytest

from leadpay.inbox import Claim, EventState, HandlerRun, Inbox, LeaseLostError, open_inbox
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.context import Context
from tests.inbox.story import NOW, Bench

PAYMENT = "instant_payment_1"


async def claim_one(inbox: Inbox, now: float = NOW, lease: float = 10) -> Claim:
    """Claim the only thing that is due."""
    (claim,) = await inbox.claim(5, now=now, lease=lease)
    return claim


def handled(state: Any = "done", **kwargs: Any) -> HandlerRun:
    """Say how a handler ended."""
    return HandlerRun(**{"handler": "a:b", "state": state, "attempts": 1, **kwargs})


@pytest.mark.asyncio
async def test_a_claim_has_all_that_waits_and_nobody_else_gets_it(bench: Bench) -> None:
    """One subject at a time for one worker, as many subjects as were asked for."""
    for number in range(3):
        await bench.receive(f"event_{number}", payment=PAYMENT, minute=3 - number)
    await bench.receive("event_other")
    first = await bench.inbox.claim(1, now=NOW, lease=10)
    rest = await bench.inbox.claim(5, now=NOW, lease=10)
    claims = {claim.lease.subject: claim for claim in first + rest}
    assert len(first) == len(rest) == 1
    assert [one.event_id for one in claims[PAYMENT].deliveries] == ["event_2", "event_1", "event_0"]
    assert [one.event_id for one in claims["event_other"].deliveries] == ["event_other"]
    lease = claims[PAYMENT].lease
    assert (lease.fence, lease.until, lease.seconds) == (1, NOW + 10, 10)
    assert claims[PAYMENT].newest == {}
    assert await bench.inbox.claim(5, now=NOW + 9, lease=10) == []


@pytest.mark.asyncio
async def test_what_was_received_later_is_not_due_earlier(bench: Bench) -> None:
    """Nothing is claimed before it is due."""
    await bench.receive("event_1", payment=PAYMENT)
    assert await bench.inbox.claim(5, now=NOW - 1, lease=10) == []
    claim = await claim_one(bench.inbox)
    await bench.inbox.release(claim.lease, due_at=NOW + 5)
    assert await bench.inbox.claim(5, now=NOW + 4, lease=10) == []
    assert (await claim_one(bench.inbox, NOW + 5)).lost == 0


@pytest.mark.asyncio
async def test_who_was_paused_finds_a_newer_fence_and_writes_nothing(bench: Bench) -> None:
    """Settling, committing and releasing with an old lease leave everything as it is."""
    await bench.receive("event_1", payment=PAYMENT)
    paused = (await claim_one(bench.inbox)).lease
    current = await claim_one(bench.inbox, NOW + 10)
    assert (current.lost, current.lease.fence) == (1, 2)
    with pytest.raises(LeaseLostError):
        await bench.inbox.record_result(paused, "event_1", handled(), closes="done", now=NOW + 11)
    with pytest.raises(LeaseLostError):
        await bench.inbox.record_result(paused, "", None, closes=None, now=NOW + 11)
    async with bench.inbox.transaction(paused) as transaction:
        with pytest.raises(LeaseLostError):
            await transaction.commit("event_1", handled(), closes="done", now=NOW + 11)
    await bench.inbox.release(paused, due_at=NOW)
    kept = await bench.kept("event_1")
    assert (kept.state, kept.handlings) == ("waiting", {})
    assert await bench.inbox.claim(5, now=NOW + 19, lease=10) == []


@pytest.mark.asyncio
async def test_a_lease_that_nobody_took_over_still_holds(bench: Bench) -> None:
    """It ran out, but there is no newer fence: what was done is kept, and the lease goes on from there."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    await bench.inbox.record_result(lease, "event_1", handled("waiting", due_at=NOW), closes=None, now=NOW + 15)
    assert await bench.inbox.claim(5, now=NOW + 24, lease=10) == []
    assert (await claim_one(bench.inbox, NOW + 25)).lost == 1


@pytest.mark.asyncio
async def test_prolonging_is_no_word(bench: Bench) -> None:
    """A process that prolongs its lease and then dies has still died."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    lost = (await claim_one(bench.inbox, NOW + 10)).lease
    assert lost.fence == lease.fence + 1
    await bench.inbox.record_result(lost, "", None, closes=None, now=NOW + 15)
    assert await bench.inbox.claim(5, now=NOW + 24, lease=10) == []
    claim = await claim_one(bench.inbox, NOW + 25)
    assert claim.lost == 2
    await bench.inbox.record_result(claim.lease, "event_1", handled("waiting", due_at=NOW), closes=None, now=NOW + 25)
    assert (await claim_one(bench.inbox, NOW + 35)).lost == 1


@pytest.mark.asyncio
async def test_a_released_lease_is_over(bench: Bench) -> None:
    """After letting go there is nothing more to settle."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    await bench.inbox.release(lease, due_at=None)
    with pytest.raises(LeaseLostError):
        await bench.inbox.record_result(lease, "event_1", handled(), closes="done", now=NOW)
    assert await bench.inbox.claim(5, now=NOW + 99, lease=10) == []


@pytest.mark.asyncio
async def test_what_came_meanwhile_is_due_at_once(bench: Bench) -> None:
    """A subject that was woken while it was leased is not put off."""
    await bench.receive("event_1", payment=PAYMENT)
    claim = await claim_one(bench.inbox)
    await bench.inbox.record_result(claim.lease, "event_1", handled(), closes="done", now=NOW)
    await bench.receive("event_2", payment=PAYMENT)
    assert await bench.inbox.claim(5, now=NOW, lease=10) == []
    await bench.inbox.release(claim.lease, due_at=None)
    again = await claim_one(bench.inbox)
    assert [one.event_id for one in again.deliveries] == ["event_2"]


@pytest.mark.asyncio
@pytest.mark.parametrize("writes", [True, False])
async def test_what_comes_during_a_turn_has_its_place_in_the_order(bench: Bench, writes: bool) -> None:
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
async def test_a_duplicate_wakes_up_what_waits(bench: Bench) -> None:
    """A second copy of an event that waits for its next attempt makes it due now, and is no new event."""
    await bench.receive("event_1", payment=PAYMENT)
    claim = await claim_one(bench.inbox)
    waiting = handled("waiting", due_at=NOW + 600)
    await bench.inbox.record_result(claim.lease, "event_1", waiting, closes=None, now=NOW)
    await bench.inbox.release(claim.lease, due_at=NOW + 600)
    assert await bench.inbox.claim(5, now=NOW + 5, lease=10) == []
    bench.clock.move(5)
    assert not await bench.receive("event_1", payment=PAYMENT)
    again = await claim_one(bench.inbox, NOW + 5)
    assert again.deliveries[0].handlings == {"a:b": attrs.evolve(waiting, due_at=NOW + 5)}
    assert again.deliveries[0].received_at.timestamp() == NOW


@pytest.mark.asyncio
async def test_a_duplicate_of_what_is_through_changes_nothing(bench: Bench) -> None:
    """Done and dead events stay so; a purge does not forget their IDs."""
    ends: tuple[tuple[str, EventState], ...] = (("event_1", "done"), ("event_2", "dead"))
    for event_id, closes in ends:
        await bench.receive(event_id)
        claim = await claim_one(bench.inbox)
        await bench.inbox.record_result(claim.lease, event_id, handled(closes), closes=closes, now=NOW)
        await bench.inbox.release(claim.lease, due_at=None)
        assert not await bench.receive(event_id)
        assert await bench.inbox.claim(5, now=NOW + 99, lease=10) == []
        assert await bench.state(event_id) == closes


@pytest.mark.asyncio
async def test_what_is_through_is_left_as_it_is(bench: Bench) -> None:
    """A handling that isn't waiting any more, and an event that isn't, are not changed by settling."""
    await bench.receive("event_1", payment=PAYMENT)
    lease = (await claim_one(bench.inbox)).lease
    await bench.inbox.record_result(lease, "event_1", handled(), closes=None, now=NOW)
    await bench.inbox.record_result(lease, "event_1", handled("dead", error="late"), closes="done", now=NOW)
    await bench.inbox.record_result(lease, "event_1", None, closes="dead", now=NOW)
    kept = await bench.kept("event_1")
    assert (kept.state, kept.handlings) == ("done", {"a:b": handled()})


@pytest.mark.asyncio
async def test_a_claim_knows_each_handler_s_newest_version(bench: Bench) -> None:
    """Of this payment, and of what it is done with only."""
    await bench.receive("event_1", payment=PAYMENT, version=7)
    await bench.receive("event_2", payment=PAYMENT, version=9, minute=1)
    await bench.receive("event_other", payment="instant_payment_2", version=30)
    for claim in await bench.inbox.claim(5, now=NOW, lease=10):
        for delivery in claim.deliveries:
            state = "dead" if delivery.event_id == "event_2" else "done"
            await bench.inbox.record_result(claim.lease, delivery.event_id, handled(state), closes=None, now=NOW)
        await bench.inbox.release(claim.lease, due_at=NOW if claim.lease.subject == PAYMENT else None)
    claim = await claim_one(bench.inbox)
    assert claim.newest == {"a:b": claim.deliveries[0].version}


@pytest.mark.asyncio
async def test_a_subject_without_a_waiting_event_is_never_claimed(bench: Bench) -> None:
    """What was discarded is nobody's work; what comes for the same payment later is."""
    await bench.receive("event_1", payment=PAYMENT)
    await bench.inbox.discard("event_1", reason="a test", now=NOW)
    assert await bench.inbox.claim(5, now=NOW, lease=10) == []
    await bench.receive("event_2", payment=PAYMENT)
    assert (await claim_one(bench.inbox)).lost == 0


@pytest.mark.asyncio
async def test_claimants_side_by_side_never_share(bench: Bench) -> None:
    """However many ask at once, each subject goes to one of them."""
    for number in range(20):
        await bench.receive(f"event_{number}")
    found = await asyncio.gather(*(bench.inbox.claim(3, now=NOW, lease=10) for _ in range(8)))
    subjects = [claim.lease.subject for claims in found for claim in claims]
    assert sorted(subjects) == sorted({f"event_{number}" for number in range(20)})


@pytest.mark.asyncio
async def test_two_openings_of_one_store_share_it(shared_url: str) -> None:
    """What one accepts the other claims, and fences hold between them."""
    async with open_inbox(shared_url) as one, open_inbox(shared_url) as other:
        await Bench(one).receive("event_1", payment=PAYMENT)
        assert not await Bench(other).receive("event_1", payment=PAYMENT)
        paused = (await claim_one(other)).lease
        current = (await claim_one(one, NOW + 10)).lease
        with pytest.raises(LeaseLostError):
            await other.record_result(paused, "event_1", handled(), closes="done", now=NOW)
        await one.record_result(current, "event_1", handled(), closes="done", now=NOW)
        assert (await Bench(other).kept("event_1")).state == "done"


@pytest.mark.asyncio
async def test_waiting_ends_when_something_comes_or_the_time_is_over(bench: Bench) -> None:
    """A hint is enough; without one the time limit is."""
    waiting = asyncio.create_task(bench.inbox.wait_for_work(30))
    await asyncio.sleep(0)
    await bench.receive("event_1")
    await asyncio.wait_for(waiting, 30)
    await bench.inbox.wait_for_work(0.001)
