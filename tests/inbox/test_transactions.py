"""What every store promises about ``context.transaction``: the handler's writes and the mark "done" are one commit."""

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from leadpay.inbox import HandlerRun, Inbox, LeaseLostError
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.context import Context
from tests.inbox.story import NOW, Bench

PAYMENT = "instant_payment_1"
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
    (claim,) = [one for one in await inbox.claim(9, now=NOW, lease=1) if one.lease.subject == event_id]
    async with inbox.transaction(claim.lease) as transaction:
        cursor = await transaction.connection.execute(sql)
        rows = cursor if isinstance(cursor, list) else [] if cursor.description is None else await cursor.fetchall()
        done = HandlerRun(handler="made:up", state="done", attempts=1)
        await transaction.commit(event_id, done, closes="done", now=NOW)
    await inbox.release(claim.lease, due_at=None)
    return rows


async def lines(bench: Bench) -> list[str]:
    """Read what handlers wrote."""
    rows = await in_transaction(bench.inbox, f"SELECT event_id FROM ledger_lines WHERE {bench.clock.now()} > 0")  # noqa: S608 - a number
    return [row[0] for row in rows]


@pytest.mark.asyncio
async def test_a_handler_s_writes_are_there_when_it_is_done(ledger: Bench) -> None:
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
async def test_who_lost_the_lease_commits_nothing(ledger: Bench) -> None:
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
    await ledger.inbox.release(current.lease, due_at=None)
    assert await lines(ledger) == ["current"]
    assert await ledger.state("event_1") == "done"


@pytest.mark.asyncio
async def test_a_transaction_that_is_not_committed_leaves_nothing(ledger: Bench) -> None:
    """Leaving it is rolling it back."""
    await ledger.receive("event_1", payment=PAYMENT)
    (claim,) = await ledger.inbox.claim(1, now=NOW, lease=10)
    async with ledger.inbox.transaction(claim.lease) as transaction:
        await transaction.connection.execute(INSERT.format("event_1"))
    await ledger.inbox.release(claim.lease, due_at=None)
    assert await lines(ledger) == []


@pytest.mark.asyncio
async def test_a_handler_that_is_cut_off_leaves_nothing(ledger: Bench) -> None:
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
async def test_transactions_of_many_payments_side_by_side(ledger: Bench) -> None:
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
