"""In PostgreSQL, who is in the way of others is got rid of, waited for, or passed by."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from leadpay.errors import InboxError
from leadpay.inbox import HandlerRun
from leadpay.inbox import postgres_queries as queries
from leadpay.inbox.postgres import PostgresInbox
from leadpay.storage.postgres.pool import borrowing
from tests.inbox.gates import until
from tests.inbox.story import NOW, RECEIVED, Bench

PAYMENT = "instant_payment_1"
QUIET = "300ms"
"""How long a client may be silent here: longer than a busy machine takes to claim."""


@pytest.mark.asyncio
@pytest.mark.parametrize("does", ["settle", "replay"])
async def test_a_client_that_falls_silent_with_a_payment_in_its_hands_loses_it(postgres_url: str, does: str) -> None:
    """A process is paused before its commit: the payment's next event is accepted and claimed all the same."""
    paused: Any = await psycopg.AsyncConnection.connect(postgres_url)
    async with PostgresInbox(postgres_url) as inbox:
        bench = Bench(inbox)
        await bench.receive("event_1", payment=PAYMENT)
        (claim,) = await inbox.claim(1, now=NOW, lease=1)
        done = HandlerRun(handler="a:b", state="done", attempts=1)
        if does == "settle":
            words: Any = {"lease": claim.lease, "event_id": "event_1", "handling": done, "closes": "done", "now": NOW}
            await queries.settle(paused, **words, quiet=QUIET)
        else:
            await paused.execute(queries.LOCK, {"id": "event_1", "quiet": QUIET})
        assert await inbox.claim(1, now=NOW + 1, lease=1) == []
        assert await asyncio.wait_for(bench.receive("event_2", payment=PAYMENT), 1)
        (claim,) = await inbox.claim(1, now=NOW + 1, lease=1)
        assert [one.event_id for one in claim.deliveries] == ["event_1", "event_2"]
    await paused.close()


@pytest.mark.asyncio
async def test_the_server_looks_after_who_has_a_handler_s_transaction(postgres_url: str) -> None:
    """A machine that lost its power is noticed within seconds, and not after hours; the session is left as it was."""
    watching = "SELECT DISTINCT source FROM pg_settings WHERE name LIKE 'tcp_keepalives%'"
    async with PostgresInbox(postgres_url, handler_connections=1) as inbox:
        await Bench(inbox).receive("event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=1)
        async with inbox.transaction(claim.lease) as transaction:
            assert await (await transaction.connection.execute(watching)).fetchall() == [("session",)]
            sessions = inbox._opened()[1]
        async with sessions.connection() as connection:
            assert await (await connection.execute(watching)).fetchall() == [("default",)]


@pytest.mark.asyncio
async def test_a_replay_waits_for_the_purge_that_has_the_body(postgres_url: str, admin: Any) -> None:
    """Nothing is brought back whose body has just gone."""
    async with PostgresInbox(postgres_url) as inbox:
        bench = Bench(inbox)
        await bench.receive("event_1")
        await inbox.discard("event_1", reason="a test", now=NOW)
        async with admin.transaction():
            assert await queries.purge(admin, before=RECEIVED + timedelta(days=1)) == 1
            waits = "SELECT FROM pg_locks WHERE NOT granted"
            replaying = asyncio.create_task(inbox.replay("event_1", now=NOW))
            async with asyncio.timeout(30):
                while await (await admin.execute(waits)).fetchone() is None:  # noqa: ASYNC110 - the server knows
                    await asyncio.sleep(0.001)
        assert not await replaying
        assert await bench.state("event_1") == "discarded"


class Crowded:
    """A pool with one connection, which takes it back when it is let."""

    def __init__(self) -> None:
        self.has_room = asyncio.Event()
        self.returned: list[str] = []

    async def getconn(self) -> str:
        """Give the one."""
        return "the connection"

    async def putconn(self, connection: str) -> None:
        """Take it back, which an interruption would prevent."""
        await self.has_room.wait()
        self.returned.append(connection)


@pytest.mark.asyncio
async def test_a_connection_is_given_back_although_who_had_it_is_stopped_in_that() -> None:
    """A pool doesn't shrink by those who run out of time while others wait for what they have."""
    pool = Crowded()

    async def borrow() -> None:
        async with borrowing(pool):
            pass

    borrower = asyncio.create_task(borrow())
    await asyncio.sleep(0)
    borrower.cancel()
    await asyncio.wait([borrower])
    assert borrower.cancelled()
    pool.has_room.set()
    await until(lambda: pool.returned == ["the connection"])


@pytest.mark.asyncio
async def test_who_is_in_others_way_tries_until_there_is_no_time_left(postgres_url: str) -> None:
    """Serialization failures come in rows where many write at once; the bank is told 503 for none of them."""
    fails = b"DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = 'serialization_failure'; END $$"
    attempts: list[int] = []

    async def stumble(connection: Any) -> int:
        attempts.append(1)
        if len(attempts) < 20:
            await connection.execute(fails)
        return len(attempts)

    async with PostgresInbox(postgres_url) as inbox:
        assert await inbox._do(stumble) == 20


@pytest.mark.asyncio
async def test_a_server_that_only_reads_is_no_server(postgres_url: str, admin: Any) -> None:
    """After a failover a name may still lead to the old one: no connection is made, since nothing could be kept."""
    await admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        with pytest.raises(InboxError, match="read-only"):
            await PostgresInbox(postgres_url).__aenter__()
    finally:
        await admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
