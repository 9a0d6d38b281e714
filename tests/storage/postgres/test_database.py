"""Connections to PostgreSQL: lost, hanging, refused, in conflict."""

import asyncio
import os
import signal
import traceback
from typing import Any

import pytest

from leadpay.errors import InboxError
from leadpay.inbox import HandlerRun, Lease, open_inbox
from leadpay.models import Event
from leadpay.webhooks.context import Context
from tests.support.inbox import NOW, RECEIVED, Bench, add, event_of
from tests.support.postgres import backends, impatient, manual_inbox


@pytest.mark.asyncio
async def test_a_missing_server_is_named_without_the_password() -> None:
    """Entering fails; so does using it without having entered."""
    inbox = open_inbox("postgresql://me:hush@127.0.0.1:1/lead")
    with pytest.raises(InboxError, match=r"no connection to PostgreSQL: .*port 1 failed") as caught:
        await inbox.__aenter__()
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(InboxError, match="not open"):
        await inbox.stats()


@pytest.mark.asyncio
async def test_a_database_that_cuts_every_connection_is_a_failure(postgres_url: str) -> None:
    """It is tried as often as there are connections, and then told."""

    async def die(connection: Any) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async with manual_inbox(postgres_url) as inbox:
        with pytest.raises(InboxError, match="was lost"):
            await inbox.database.run(die)
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_the_server_s_statement_timeout_is_an_inbox_error(postgres_url: str, admin: Any) -> None:
    """Its statement timeout is told by its code, and not tried again."""
    async with manual_inbox(f"{postgres_url}%20-cstatement_timeout%3D50") as inbox:
        async with admin.transaction():
            await admin.execute("LOCK TABLE leadpay_ordering_keys")
            with pytest.raises(InboxError, match=r"QueryCanceled \(57014\)"):
                await inbox.claim(1, now=NOW, lease=1)
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_server_that_hangs_is_disconnected(postgres_url: str, admin: Any) -> None:
    """It doesn't even respond to a cancellation; the next connection may."""
    async with manual_inbox(postgres_url, connections=1) as inbox:
        await add(inbox, "event_1")
        (pid,) = await backends(admin)
        os.kill(pid, signal.SIGSTOP)
        with impatient(inbox), pytest.raises(InboxError):
            await add(inbox, "event_2")
        os.kill(pid, signal.SIGCONT)
        assert not await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_serialization_failures_are_retried(postgres_url: str) -> None:
    """Where a database is serializable by default, a serialization failure is tried again."""
    strict = f"{postgres_url}%20-cdefault_transaction_isolation%3Dserializable"
    async with manual_inbox(strict) as one, manual_inbox(strict) as other:
        event, body = event_of("event_1", payment="instant_payment_1")
        results = await asyncio.gather(
            *(inbox.add(event, body, received_at=RECEIVED) for _ in range(20) for inbox in (one, other))
        )
        assert sum(results) == 1


@pytest.mark.asyncio
async def test_serialization_failures_are_retried_until_the_time_is_over(postgres_url: str) -> None:
    """Serialization failures come in rows where many write at once; the bank is told 503 for none of them."""
    fails = b"DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = 'serialization_failure'; END $$"
    attempts: list[int] = []

    async def stumble(connection: Any) -> int:
        attempts.append(1)
        if len(attempts) < 20:
            await connection.execute(fails)
        return len(attempts)

    async with manual_inbox(postgres_url) as inbox:
        assert await inbox.database.run(stumble) == 20


@pytest.mark.asyncio
async def test_a_read_only_server_is_not_connected_to(postgres_url: str, admin: Any) -> None:
    """After a failover a name may still lead to the old one: no connection is made, since nothing could be kept."""
    await admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        with pytest.raises(InboxError, match="read-only"):
            await manual_inbox(postgres_url).__aenter__()
    finally:
        await admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")


@pytest.mark.asyncio
async def test_handlers_commit_also_where_transactions_are_serializable_by_default(
    postgres_url: str, admin: Any
) -> None:
    """A lease that is prolonged while the handler runs is no conflict."""
    await admin.execute("CREATE TABLE ledger_lines (event_id text)")
    async with manual_inbox(f"{postgres_url}%20-cdefault_transaction_isolation%3Dserializable") as inbox:
        bench = Bench(inbox)

        @bench.router.on("*", retries=())
        async def book(event: Event, context: Context) -> None:
            await context.transaction.execute("INSERT INTO ledger_lines VALUES (%s)", (event.id,))
            leased = "SELECT ordering_key, fencing_token, revision FROM leadpay_ordering_keys"
            ordering_key, token, revision = await (await admin.execute(leased)).fetchone()
            lease = Lease(ordering_key=ordering_key, fencing_token=token, until=0, seconds=60, revision=revision)
            await inbox.record_result(lease, "", None, closes=None, now=bench.clock.now())

        await bench.receive("event_1")
        await bench.work()
        assert await bench.state("event_1") == "done"


@pytest.mark.asyncio
async def test_events_and_results_are_on_disk_whatever_the_default(postgres_url: str, admin: Any) -> None:
    """With ``synchronous_commit = off`` a crash of the server would lose events that got a 200."""
    async with manual_inbox(f"{postgres_url}%20-csynchronous_commit%3Doff") as inbox:
        # Deferred triggers run at the commit.
        await admin.execute(
            """
            CREATE TABLE commits (setting text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER note AFTER INSERT ON leadpay_events DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION note();
            CREATE CONSTRAINT TRIGGER note AFTER INSERT ON leadpay_handler_runs DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION note()"""
        )
        await add(inbox, "event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=60)
        done = HandlerRun(handler="a:b", state="done", attempts=1)
        await inbox.record_result(claim.lease, "event_1", done, closes="done", now=NOW)
    rows = await (await admin.execute("SELECT setting FROM commits")).fetchall()
    assert rows == [("on",), ("on",)]
