"""What is PostgreSQL's own: connections that are cut, servers that hang, locks, pools, upgrades."""

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox import HandlerRun, open_inbox
from leadpay.inbox.postgres import LISTEN_AGAIN_SECONDS, PostgresInbox
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.inbox.gates import until
from tests.inbox.story import NOW, RECEIVED, Bench, HandClock, event_of
from tests.support.postgres import backends, cut, impatient


async def add(inbox: PostgresInbox, event_id: str) -> bool:
    """Accept an event."""
    event, body = event_of(event_id)
    return await inbox.add(event, body, received_at=RECEIVED)


def test_a_password_is_shown_nowhere() -> None:
    """Neither in a repr nor in what is said of a URL that cannot be read."""
    assert repr(PostgresInbox("postgresql://me:hush@db:99/lead")) == "PostgresInbox(db:99/lead)"
    for wrong in ("postgresql://me:hush@db:hush@/lead", "hush", "postgresql://me:hu:sh@db:hush/lead"):
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            PostgresInbox(wrong)
        assert "hush" not in str(caught.value)


def test_what_is_missing_is_named() -> None:
    """Without psycopg, or without its pool, it says what to install."""
    for missing in ("psycopg", "psycopg_pool"):
        code = (
            f"import sys; sys.modules[{missing!r}] = None; from leadpay import open_inbox; open_inbox('postgres://x/y')"
        )
        ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603 - our own
        assert "ConfigurationError: PostgreSQL needs: pip install 'leadpay[postgres]'" in ran.stderr


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_told_with_its_place_and_no_password() -> None:
    """Entering fails; so does using it without having entered."""
    inbox = open_inbox("postgresql://me:hush@127.0.0.1:1/lead")
    with pytest.raises(InboxError, match=r"no connection to PostgreSQL: .*port 1 failed") as caught:
        await inbox.__aenter__()
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(InboxError, match="not open"):
        await inbox.stats()


@pytest.mark.asyncio
async def test_a_newer_schema_is_left_alone(postgres_url: str, admin: Any) -> None:
    """An older program doesn't write what it doesn't understand."""
    async with PostgresInbox(postgres_url) as inbox:
        assert (await inbox.stats()).by_state == {}
    await admin.execute("INSERT INTO leadpay_schema VALUES (99)")
    with pytest.raises(ConfigurationError, match="schema 99"):
        await PostgresInbox(postgres_url).__aenter__()


@pytest.mark.asyncio
async def test_many_that_open_it_at_once_make_the_schema_once(postgres_url: str) -> None:
    """One applies the files, the others wait for it."""
    inboxes = [PostgresInbox(postgres_url, connections=1) for _ in range(4)]
    await asyncio.gather(*(inbox.__aenter__() for inbox in inboxes))
    assert [await add(inbox, "event_1") for inbox in inboxes] == [True, False, False, False]
    for inbox in inboxes:
        await inbox.__aexit__()


@pytest.mark.asyncio
async def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: str, admin: Any) -> None:
    """RecordedTelemetry at the start, and not by an event that cannot be kept."""
    await admin.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        with pytest.raises(ConfigurationError, match="UTF-8"):
            await PostgresInbox(postgres_server.replace("/postgres?", "/ascii?")).__aenter__()
    finally:
        await admin.execute("DROP DATABASE ascii WITH (FORCE)")


@pytest.mark.asyncio
async def test_connections_that_were_cut_are_replaced_without_a_word(postgres_url: str, admin: Any) -> None:
    """After a restart nobody is told 503: neither who accepts nor a handler's transaction."""
    async with PostgresInbox(postgres_url) as inbox:
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
async def test_a_database_that_cuts_every_connection_is_a_failure(postgres_url: str) -> None:
    """It is tried as often as there are connections, and then told."""

    async def die(connection: Any) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async with PostgresInbox(postgres_url) as inbox:
        with pytest.raises(InboxError, match="was lost"):
            await inbox._do(die)
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_commit_that_is_cut_off_leaves_nothing_or_all(postgres_url: str, admin: Any) -> None:
    """The server goes before the commit: no mark, no effect, an attempt that is repeated."""
    attempts: list[int] = []
    await admin.execute("CREATE TABLE ledger_lines (event_id text)")
    async with PostgresInbox(postgres_url) as inbox:
        bench = Bench(inbox)

        @bench.router.on("*")
        async def book(event: Any, context: Any) -> None:
            await context.transaction.execute("INSERT INTO ledger_lines VALUES (%s)", (event.id,))
            attempts.append(context.attempt)
            if context.attempt == 1:
                await cut(admin)

        await add(inbox, "event_1")
        await bench.work()
        assert await bench.state("event_1") == "waiting"
        bench.clock.move(2)
        await bench.work()
        assert await bench.state("event_1") == "done"
    rows = await (await admin.execute("SELECT * FROM ledger_lines")).fetchall()
    assert (attempts, rows) == ([1, 2], [("event_1",)])


@pytest.mark.asyncio
async def test_a_locked_table_fails_quickly_and_recovers(postgres_url: str, admin: Any) -> None:
    """The bank is told 503 while somebody holds the table, and 200 afterwards; nobody is left waiting in the server."""
    router = WebhookRouter("empty")
    _, body = event_of("event_1")
    headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
    async with PostgresInbox(postgres_url) as inbox:
        receiver = WebhookReceiver(router, secrets=["whsec"], inbox=inbox, work=False, clock=HandClock())
        async with admin.transaction():
            await admin.execute("LOCK TABLE leadpay_subjects")
            with impatient(inbox):
                assert await receiver.receive(body=body, headers=headers) == 503
                with pytest.raises(InboxError, match=r"no answer within 0.1 seconds"):
                    await add(inbox, "event_2")
            waiting = await admin.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            assert await waiting.fetchone() == (0,)
        assert await receiver.receive(body=body, headers=headers) == 200


@pytest.mark.asyncio
async def test_the_server_s_own_limits_are_failures_like_others(postgres_url: str, admin: Any) -> None:
    """Its statement timeout is told by its code, and not tried again."""
    async with PostgresInbox(f"{postgres_url}%20-cstatement_timeout%3D50") as inbox:
        async with admin.transaction():
            await admin.execute("LOCK TABLE leadpay_subjects")
            with pytest.raises(InboxError, match=r"QueryCanceled \(57014\)"):
                await inbox.claim(1, now=NOW, lease=1)
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_closing_waits_for_what_has_been_asked_for(postgres_url: str) -> None:
    """An addition that is under way is committed; a receiver works with it from its beginning to its end."""
    handled = asyncio.Event()
    router = WebhookRouter("one")

    @router.on("*")
    async def handler(event: Any) -> None:
        handled.set()

    inbox = PostgresInbox(postgres_url)
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
async def test_a_server_that_hangs_is_hung_up_on(postgres_url: str, admin: Any) -> None:
    """It doesn't even answer to a cancelling; the next connection may."""
    async with PostgresInbox(postgres_url, connections=1) as inbox:
        await add(inbox, "event_1")
        (pid,) = await backends(admin)
        os.kill(pid, signal.SIGSTOP)
        with impatient(inbox), pytest.raises(InboxError):
            await add(inbox, "event_2")
        os.kill(pid, signal.SIGCONT)
        assert not await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_handlers_that_use_up_their_connections_keep_no_event_out(postgres_url: str) -> None:
    """Who gets none is tried again later; accepting and settling have connections of their own."""
    holders: list[str] = []
    failures: list[Exception] = []
    async with PostgresInbox(postgres_url, handler_connections=1) as inbox:
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
async def test_one_event_that_the_database_refuses_spoils_no_other(postgres_url: str, admin: Any) -> None:
    """What came together and shares a commit is kept without it."""
    async with PostgresInbox(postgres_url) as inbox:
        await admin.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'secret row' USING ERRCODE = 'data_exception'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON leadpay_events FOR EACH ROW WHEN (NEW.id = 'event_3')
                EXECUTE FUNCTION refuse()"""
        )
        adds = [asyncio.create_task(add(inbox, f"event_{number % 5}")) for number in range(10)]
        adds[8].cancel()
        adds[9].cancel()
        results = await asyncio.gather(*adds, return_exceptions=True)
        assert [result for result in results if isinstance(result, bool)] == [True] * 4 + [False] * 3
        refused, *cancelled = (results[number] for number in (3, 8, 9))
        assert [type(result) for result in cancelled] == [asyncio.CancelledError] * 2
        assert isinstance(refused, InboxError)
        assert str(refused) == "PostgreSQL failed: DataException (22000)"
        assert "secret row" not in "".join(traceback.format_exception(refused))
        assert (await inbox.stats()).by_state == {"waiting": 4}


@pytest.mark.asyncio
async def test_strict_isolation_is_no_obstacle(postgres_url: str) -> None:
    """Where a database is serializable by default, what is in somebody's way is tried again."""
    strict = f"{postgres_url}%20-cdefault_transaction_isolation%3Dserializable"
    async with PostgresInbox(strict) as one, PostgresInbox(strict) as other:
        event, body = event_of("event_1", payment="instant_payment_1")
        results = await asyncio.gather(
            *(inbox.add(event, body, received_at=RECEIVED) for _ in range(20) for inbox in (one, other))
        )
        assert sum(results) == 1


@pytest.mark.asyncio
async def test_a_hint_comes_from_another_process_and_again_after_a_cut(postgres_url: str, admin: Any) -> None:
    """Waiting ends early although nothing was added here."""
    clock = HandClock()
    async with PostgresInbox(postgres_url, clock=clock) as hears, PostgresInbox(postgres_url, listen=False) as tells:
        await hears.wait_for_work(5)  # It listens now, and says that something may have come before.
        for event_id in ("event_1", "event_2"):
            waiting = asyncio.create_task(hears.wait_for_work(30))
            await asyncio.sleep(0)
            await add(tells, event_id)
            await asyncio.wait_for(waiting, 30)
            if event_id == "event_1":
                await cut(admin)
                await until(lambda: clock.sleepers)
                clock.move(LISTEN_AGAIN_SECONDS)
                await hears.wait_for_work(5)
        await tells.wait_for_work(0.001)


@pytest.mark.asyncio
@pytest.mark.parametrize("event_id", ["nul\0and\\0back\\", "ü" * 300 + "x" * 50_000, "Ω\N{PILE OF POO}" * 90, "'; --"])
async def test_every_authentic_event_can_be_kept(postgres_url: str, event_id: str) -> None:
    """Whatever its ID and times: it is found, handled once, and known when it comes again."""
    seen: list[str] = []
    async with PostgresInbox(postgres_url) as inbox:
        bench = Bench(inbox)

        @bench.router.on("*")
        async def handler(event: Any) -> None:
            seen.append(event.id)
            if len(seen) == 1:
                raise ValueError

        event, body = event_of(event_id, payment="payment\0" + event_id, event_type="instant_payment.posted\0" * 99)
        assert await inbox.add(event, body, received_at=RECEIVED)
        assert not await inbox.add(event, body, received_at=RECEIVED)
        await bench.work()
        bench.clock.move(2)
        await bench.work()
        assert seen == [event_id] * 2
        (kept,) = [one async for one in inbox.events()]
        assert await inbox.get(kept.event_id) == await inbox.get(event_id) == kept
        assert kept.state == "done"
        assert len(event_id) > 500 or kept.event_id == event_id
        assert not await inbox.discard(kept.event_id, reason="nul\0, \udc80", now=NOW)


@pytest.mark.asyncio
async def test_reasons_errors_and_times_of_any_kind_can_be_kept(postgres_url: str) -> None:
    """NUL comes back; half a character does not; a time for ever away is far away."""
    async with PostgresInbox(postgres_url) as inbox:
        await add(inbox, "event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=1e300)
        odd = HandlerRun(handler="a\0:\\0", state="waiting", attempts=2**40, due_at=1e300, error="nul\0 and \udc80")
        await inbox.record_result(claim.lease, "event_1", odd, closes=None, now=NOW)
        kept = (await Bench(inbox).kept("event_1")).handlings["a\0:\\0"]
        assert (kept.attempts, kept.error) == (2**40, "nul\0 and ?")
        assert kept.due_at is not None
        assert kept.due_at > 2e11
        assert await inbox.discard("event_1", reason="nul\0", now=NOW)
        assert (await Bench(inbox).kept("event_1")).reason == "nul\0"
