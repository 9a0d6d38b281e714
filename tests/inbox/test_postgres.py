"""An inbox in PostgreSQL: lost connections, locks, odd texts."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any, cast

import psycopg
import pytest

from leadpay.errors import InboxError
from leadpay.inbox import Claim, HandlerRun
from leadpay.inbox import postgres_queries as queries
from leadpay.inbox.postgres import PostgresInbox
from leadpay.inbox.postgres_queries import PostgresQueries
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.support.gates import until
from tests.support.inbox import NOW, RECEIVED, Bench, HandClock, add, event_of
from tests.support.postgres import cut, impatient, manual_inbox


@pytest.mark.asyncio
async def test_lost_connections_are_replaced_without_an_error(postgres_url: str, admin: Any) -> None:
    """After a restart of the server neither a receiver nor a handler's transaction fails."""
    async with manual_inbox(postgres_url) as inbox:
        bench = Bench(inbox)

        @bench.router.on("*")
        async def book(event: Any, context: Any) -> None:
            await context.transaction.execute("SELECT 1")

        for event_id in ("event_1", "event_2"):
            assert await add(inbox, event_id)
            assert await bench.work() == 1
            await cut(admin)
        assert (await inbox.stats()).by_state == {"done": 2}


@pytest.mark.asyncio
async def test_a_locked_table_fails_quickly_and_recovers(postgres_url: str, admin: Any) -> None:
    """A webhook gets 503 while the table is locked, and 200 afterwards; no statement is left waiting in the server."""
    router = WebhookRouter("empty")
    _, body = event_of("event_1")
    headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
    async with manual_inbox(postgres_url) as inbox:
        receiver = WebhookReceiver(router, secrets=["whsec"], inbox=inbox, work=False, clock=HandClock())
        async with admin.transaction():
            await admin.execute("LOCK TABLE leadpay_ordering_keys")
            with impatient(inbox):
                assert await receiver.receive(body=body, headers=headers) == 503
                with pytest.raises(InboxError, match=r"did not respond within 0.1 seconds"):
                    await add(inbox, "event_2")
            waiting = await admin.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            assert await waiting.fetchone() == (0,)
        assert await receiver.receive(body=body, headers=headers) == 200


@pytest.mark.asyncio
async def test_closing_waits_for_the_operations_that_were_begun(postgres_url: str) -> None:
    """An addition that is under way is committed; a receiver works with it from its beginning to its end."""
    handled = asyncio.Event()
    router = WebhookRouter("one")

    @router.on("*")
    async def handler(event: Any) -> None:
        handled.set()

    inbox = manual_inbox(postgres_url)
    async with inbox, WebhookReceiver(router, secrets=["whsec"], inbox=inbox):
        adding = asyncio.create_task(add(inbox, "event_1"))
        await asyncio.wait_for(handled.wait(), 30)
        last = asyncio.create_task(add(inbox, "event_2"))
        gone = asyncio.create_task(add(inbox, "event_3"))
        await asyncio.sleep(0)
        gone.cancel()
    assert await adding
    assert await last
    async with inbox:
        assert sum((await inbox.stats()).by_state.values()) == 3


@pytest.mark.asyncio
async def test_handlers_without_a_free_connection_keep_no_event_out(postgres_url: str) -> None:
    """A handler that gets none is tried again later; accepting and recording have connections of their own."""
    holders: list[str] = []
    failures: list[Exception] = []
    async with manual_inbox(postgres_url, handler_connections=1) as inbox:
        bench = Bench(inbox)

        @bench.router.on("*")
        async def greedy(event: Any, context: Any) -> None:
            holders.append(event.id)
            if len(holders) == 1:
                await context.transaction.execute("SELECT 1")
                await add(inbox, "event_3")
                holders.append("both")
                await until(lambda: failures)
            elif not failures:
                await until(lambda: "both" in holders)
                try:
                    with impatient(inbox):
                        await context.transaction.execute("SELECT 1")
                except InboxError as error:
                    failures.append(error)
                    raise

        for event_id in ("event_1", "event_2"):
            await add(inbox, event_id)
        await bench.work()
        assert len(failures) == 1
        bench.clock.move(2)
        await bench.work()
        assert (await inbox.stats()).by_state == {"done": 3}


@pytest.mark.asyncio
@pytest.mark.parametrize("event_id", ["nul\0and\\0back\\", "ü" * 300 + "x" * 50_000, "Ω\N{PILE OF POO}" * 90, "'; --"])
async def test_authentic_bytes_can_be_stored_under_any_id(postgres_url: str, event_id: str) -> None:
    """Whatever the ID: it is found, and known when it comes again."""
    async with manual_inbox(postgres_url) as inbox:
        problems = ["nul\0 @ $.id", "\udc80"]
        assert await inbox.add_unreadable(event_id, b"\0", problems, received_at=RECEIVED)
        assert not await inbox.add_unreadable(event_id, b"\0", problems, received_at=RECEIVED)
        (kept,) = [one async for one in inbox.events(state="unreadable")]
        assert await inbox.get(kept.event_id) == await inbox.get(event_id) == kept
        assert (kept.body, kept.reason) == (b"\0", "nul\0 @ $.id\n?")
        assert len(event_id) > 500 or kept.event_id == event_id
        assert await inbox.discard(event_id, reason="nul\0, \udc80", now=NOW)
        assert not await inbox.discard(kept.event_id, reason="again", now=NOW)


@pytest.mark.asyncio
async def test_any_reason_error_and_time_can_be_stored(postgres_url: str) -> None:
    """NUL comes back; half a character does not; a time for ever away is far away."""
    async with manual_inbox(postgres_url) as inbox:
        await add(inbox, "event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=1e300)
        odd = HandlerRun(handler="a\0:\\0", state="waiting", attempts=2**40, due_at=1e300, error="nul\0 and \udc80")
        await inbox.record_result(claim.lease, "event_1", odd, closes=None, now=NOW)
        kept = (await Bench(inbox).kept("event_1")).handler_runs["a\0:\\0"]
        assert (kept.attempts, kept.error) == (2**40, "nul\0 and ?")
        assert kept.due_at is not None
        assert kept.due_at > 2e11
        assert await inbox.discard("event_1", reason="nul\0", now=NOW)
        assert (await Bench(inbox).kept("event_1")).reason == "nul\0"


PAYMENT = "instant_payment_1"


IDLE_LIMIT = "300ms"
"""How long a client may be silent here: longer than a busy machine takes to claim."""


@pytest.mark.asyncio
@pytest.mark.parametrize("does", ["record_result", "replay"])
async def test_a_paused_client_that_holds_a_lock_is_disconnected(postgres_url: str, does: str) -> None:
    """A process is paused before its commit: the payment's next event is accepted and claimed all the same."""
    paused: Any = await psycopg.AsyncConnection.connect(postgres_url)
    async with manual_inbox(postgres_url) as inbox:
        bench = Bench(inbox)
        await bench.receive("event_1", payment=PAYMENT)
        (claim,) = await inbox.claim(1, now=NOW, lease=1)
        done = HandlerRun(handler="a:b", state="done", attempts=1)
        await paused.execute("SELECT 1")
        if does == "record_result":
            given: Any = {"lease": claim.lease, "event_id": "event_1", "run": done, "closes": "done", "now": NOW}
            await PostgresQueries().record_result(paused, **given, idle_limit=IDLE_LIMIT)
        else:
            bump = {"consumer": 1, "ordering_key": PAYMENT, "now": None, "idle_limit": IDLE_LIMIT}
            await paused.execute(queries.BUMP, bump)
        assert await inbox.claim(1, now=NOW + 1, lease=1) == []
        assert await asyncio.wait_for(bench.receive("event_2", payment=PAYMENT), 1)
        (claim,) = await inbox.claim(1, now=NOW + 1, lease=1)
        assert [one.event_id for one in claim.events] == ["event_1", "event_2"]
    await paused.close()


@pytest.mark.asyncio
async def test_a_replay_waits_for_a_purge_of_the_same_event(postgres_url: str, admin: Any) -> None:
    """Nothing is brought back whose body has just gone."""
    async with manual_inbox(postgres_url) as inbox:
        bench = Bench(inbox)
        await bench.receive("event_1")
        await inbox.discard("event_1", reason="a test", now=NOW)
        async with admin.transaction():
            assert await PostgresQueries().purge(admin, before=RECEIVED + timedelta(days=1)) == 1
            waits = "SELECT FROM pg_locks WHERE NOT granted"
            replaying = asyncio.create_task(inbox.replay("event_1", now=NOW))
            async with asyncio.timeout(30):
                while await (await admin.execute(waits)).fetchone() is None:  # noqa: ASYNC110 - the server knows
                    await asyncio.sleep(0.001)
        assert not await replaying
        assert await bench.state("event_1") == "discarded"


@pytest.mark.asyncio
async def test_a_claim_reads_events_by_a_snapshot_newer_than_its_lock(postgres_url: str, admin: Any) -> None:
    """An event that another worker finishes while a claim is under way is not handled again."""
    async with manual_inbox(postgres_url) as late, manual_inbox(postgres_url) as punctual:
        bench = Bench(punctual)
        await bench.receive("event_1", payment=PAYMENT)
        await bench.receive("event_2", payment=PAYMENT, minute=1)
        # The late claim's statement, with a snapshot of its own, stops before it locks the key.
        await admin.execute(
            "CREATE FUNCTION gate() RETURNS boolean LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(7); SELECT true'"
        )
        slow = queries.CLAIM.replace("due_at <=", "gate() AND due_at <=", 1)
        async with admin.transaction():
            await admin.execute("SELECT pg_advisory_xact_lock(7)")
            paused = PostgresQueries(database_clock=False)
            claiming = asyncio.create_task(late.database.run(partial(_claim_by, paused, slow)))
            async with asyncio.timeout(30):
                while await (await admin.execute("SELECT FROM pg_locks WHERE NOT granted")).fetchone() is None:  # noqa: ASYNC110 - the server knows
                    await asyncio.sleep(0.001)
            (claim,) = await punctual.claim(1, now=NOW, lease=1)
            done = HandlerRun(handler="a:b", state="done", attempts=1)
            await punctual.record_result(claim.lease, "event_1", done, closes="done", now=NOW)
            await punctual.release(claim.lease, due_at=NOW, now=NOW)
        (claim,) = await claiming
        assert [one.event_id for one in claim.events] == ["event_2"]


async def _claim_by(given: PostgresQueries, sql: str, connection: Any) -> list[Claim]:
    """Claim, with another statement for the lease."""

    class Replacing:
        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        async def execute(self, query: str, params: Any) -> Any:
            return await connection.execute(sql if query == queries.CLAIM else query, params)

    return await given.claim(cast("Any", Replacing()), consumer=1, has=(), limit=1, now=NOW, seconds=1)


@pytest.mark.asyncio
async def test_leases_and_due_times_go_by_the_database_s_clock(postgres_url: str) -> None:
    """A worker whose clock is five minutes ahead takes no lease over, and one that is behind waits no longer."""
    async with PostgresInbox(postgres_url) as inbox:
        now = {"ahead": NOW + 300, "behind": NOW - 300}
        event, body = event_of("event_1", payment=PAYMENT)
        await inbox.add(event, body, received_at=RECEIVED + timedelta(days=9_000))
        (claim,) = await inbox.claim(1, now=now["behind"], lease=60)
        assert await inbox.claim(1, now=now["ahead"], lease=60) == []
        waiting = HandlerRun(handler="a:b", state="waiting", attempts=1, due_at=now["behind"] + 60)
        await inbox.record_result(claim.lease, "event_1", waiting, closes=None, now=now["behind"])
        await inbox.release(claim.lease, due_at=now["behind"] + 0.05, now=now["behind"])
        claims: list[Claim] = []
        async with asyncio.timeout(30):
            while not claims:
                claims = await inbox.claim(1, now=now["ahead"], lease=60)
                await asyncio.sleep(0.01)
        (run,) = claims[0].events[0].handler_runs.values()
        assert run.due_at == pytest.approx(now["ahead"] + 60, abs=30)
