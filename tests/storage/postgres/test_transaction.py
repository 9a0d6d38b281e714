"""A handler's transaction in PostgreSQL."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from leadpay.errors import InboxError
from leadpay.models import Event
from leadpay.webhooks.context import Context
from tests.support.inbox import NOW, Bench, add
from tests.support.postgres import backends, cut, impatient, manual_inbox

INSERT = "INSERT INTO ledger_lines (event_id) VALUES (%s)"


@pytest_asyncio.fixture
async def bench(postgres_url: str, admin: Any) -> AsyncIterator[Bench]:
    """Give a bench with a table of our own."""
    await admin.execute("CREATE TABLE ledger_lines (event_id text)")
    async with manual_inbox(postgres_url) as inbox:
        yield Bench(inbox)


async def run(bench: Bench, admin: Any, work: Callable[[Any], Awaitable[object]]) -> tuple[str, list[str], Any]:
    """Let a handler do something with its transaction; gives the event's state, the ledger, and what was raised."""
    raised: list[BaseException | None] = []

    @bench.router.on("*", retries=())
    async def handler(event: Event, context: Context) -> None:
        try:
            await work(context.transaction)
        except Exception as error:
            raised.append(error)
            raise

    await bench.receive("event_1")
    await bench.work()
    rows = await (await admin.execute("SELECT event_id FROM ledger_lines ORDER BY event_id")).fetchall()
    return await bench.state("event_1"), [row[0] for row in rows], raised[0] if raised else None


@pytest.mark.asyncio
async def test_cursors_many_rows_and_savepoints_are_part_of_it(bench: Bench, admin: Any) -> None:
    """What a savepoint undid is undone, and the rest is committed."""

    async def work(transaction: Any) -> None:
        await transaction.executemany(INSERT, [("a",), ("b",)])
        with suppress(ZeroDivisionError):
            async with transaction.transaction():
                await transaction.execute(INSERT, ("undone",))
                raise ZeroDivisionError
        async with transaction.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            await cursor.execute("SELECT count(*) AS lines FROM ledger_lines")
            assert await cursor.fetchone() == {"lines": 2}
            async with cursor.copy("COPY ledger_lines FROM STDIN") as copy:
                await copy.write_row(("c",))

    assert await run(bench, admin, work) == ("done", ["a", "b", "c"], None)


@pytest.mark.asyncio
@pytest.mark.parametrize("statement", ["COMMIT", " /* now */ rollback", "-- x\nBEGIN", b"savepoint a"])
async def test_statements_that_end_the_transaction_are_refused(bench: Bench, admin: Any, statement: Any) -> None:
    """Before they reach the database."""

    async def work(transaction: Any) -> None:
        await transaction.execute(INSERT, ("a",))
        await transaction.execute(statement)

    state, lines, raised = await run(bench, admin, work)
    assert (state, lines) == ("dead", [])
    assert isinstance(raised, InboxError)


@pytest.mark.asyncio
async def test_a_commit_by_the_cursor_s_connection_is_refused(bench: Bench, admin: Any) -> None:
    """The connection that a cursor knows is within a block."""

    async def work(transaction: Any) -> None:
        async with transaction.cursor() as cursor:
            await cursor.execute(INSERT, ("a",))
            await cursor.connection.commit()

    state, lines, raised = await run(bench, admin, work)
    assert (state, lines) == ("dead", [])
    assert isinstance(raised, psycopg.ProgrammingError)


@pytest.mark.asyncio
async def test_a_transaction_that_a_cursor_ended_is_a_failed_attempt(bench: Bench, admin: Any) -> None:
    """By a cursor, which cannot be watched: the missing savepoint shows it."""

    async def work(transaction: Any) -> None:
        async with transaction.cursor() as cursor:
            await cursor.execute("ROLLBACK")
            await cursor.execute("BEGIN")
            await cursor.execute(INSERT, ("a",))

    assert await run(bench, admin, work) == ("dead", [], None)
    (failed,) = (await bench.kept("event_1")).handler_runs.values()
    assert "InboxError" in str(failed.error)


@pytest.mark.asyncio
async def test_a_swallowed_sql_error_is_a_failed_attempt(bench: Bench, admin: Any) -> None:
    """PostgreSQL undoes a transaction in which a statement failed, so it cannot be marked as done."""

    async def work(transaction: Any) -> None:
        await transaction.execute(INSERT, ("a",))
        with pytest.raises(psycopg.errors.UndefinedTable):
            await transaction.execute("SELECT * FROM nowhere")

    assert await run(bench, admin, work) == ("dead", [], None)


@pytest.mark.asyncio
async def test_a_deferred_constraint_undoes_the_result_too(bench: Bench, admin: Any) -> None:
    """Deferred until the last moment, and still one commit."""
    await admin.execute("ALTER TABLE ledger_lines ADD UNIQUE (event_id) DEFERRABLE INITIALLY DEFERRED")

    async def work(transaction: Any) -> None:
        await transaction.executemany(INSERT, [("a",), ("a",)])

    assert await run(bench, admin, work) == ("dead", [], None)


@pytest.mark.asyncio
async def test_statements_side_by_side_are_one_transaction(bench: Bench, admin: Any) -> None:
    """A handler that gathers gets one connection, not two."""

    async def work(transaction: Any) -> None:
        await asyncio.gather(*(transaction.execute(INSERT, (letter,)) for letter in "ab"))

    assert await run(bench, admin, work) == ("done", ["a", "b"], None)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_server_that_hangs_at_the_rollback_is_disconnected(
    postgres_url: str, admin: Any, is_cancelled: bool
) -> None:
    """Rolling back ends, whether the worker is stopped meanwhile or not; the connection is not used again."""
    async with manual_inbox(postgres_url, handler_connections=1) as inbox:
        await Bench(inbox).receive("event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=10)
        before = set(await backends(admin))

        async def handle() -> None:
            async with inbox.transaction(claim.lease) as transaction:
                await transaction.connection.execute("SELECT 1")
                (pid,) = set(await backends(admin)) - before
                os.kill(pid, signal.SIGSTOP)
                stopped.set_result(pid)
                patience.enter_context(impatient(inbox))

        patience = ExitStack()
        stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        handling = asyncio.create_task(handle())
        hung = await stopped
        with patience:
            patience.callback(os.kill, hung, signal.SIGCONT)
            if is_cancelled:
                handling.cancel()
            await asyncio.wait_for(asyncio.gather(handling, return_exceptions=True), 30)
        async with inbox.transaction(claim.lease) as transaction:
            await transaction.connection.execute("SELECT 1")
            assert hung not in set(await backends(admin)) - before


@pytest.mark.asyncio
async def test_a_beginning_that_takes_too_long_fails(postgres_url: str, admin: Any) -> None:
    """The connection that a handler would have got hangs; the handler is told, and the next one gets another."""
    async with manual_inbox(postgres_url, handler_connections=1) as inbox:
        await Bench(inbox).receive("event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=10)
        before = set(await backends(admin))
        async with inbox.transaction(claim.lease) as transaction:
            await transaction.connection.execute("SELECT 1")
            (pid,) = set(await backends(admin)) - before
        os.kill(pid, signal.SIGSTOP)
        try:
            async with inbox.transaction(claim.lease) as transaction:
                inbox.database.fresh_seconds = 0.0
                with impatient(inbox), pytest.raises(InboxError):
                    await transaction.connection.execute("SELECT 1")
        finally:
            os.kill(pid, signal.SIGCONT)
        async with inbox.transaction(claim.lease) as transaction:
            await transaction.connection.execute("SELECT 1")


@pytest.mark.asyncio
async def test_a_commit_whose_connection_is_lost_leaves_nothing_or_all(postgres_url: str, admin: Any) -> None:
    """The server goes before the commit: no mark, no effect, an attempt that is repeated."""
    attempts: list[int] = []
    await admin.execute("CREATE TABLE ledger_lines (event_id text)")
    async with manual_inbox(postgres_url) as inbox:
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
@pytest.mark.parametrize("is_own", [True, False])
async def test_the_server_notices_a_dead_client_within_seconds(postgres_url: str, is_own: bool) -> None:
    """A machine that lost its power is noticed within seconds; a pooler's session is left as it was."""
    watching = "SELECT DISTINCT source FROM pg_settings WHERE name LIKE 'tcp_keepalives%'"
    async with manual_inbox(postgres_url, handler_connections=1) as inbox:
        await Bench(inbox).receive("event_1")
        (claim,) = await inbox.claim(1, now=NOW, lease=1)
        sessions = inbox.database.handler_pool
        async with sessions.connection() as connection:
            if not is_own:
                connection.prepare_threshold = None
                await connection.execute("DISCARD ALL")
        async with inbox.transaction(claim.lease) as transaction:
            assert await (await transaction.connection.execute(watching)).fetchall() == [("session",)]
        async with sessions.connection() as connection:
            left = "session" if is_own else "default"
            assert await (await connection.execute(watching)).fetchall() == [(left,)]


@pytest.mark.asyncio
async def test_a_worker_that_is_paused_before_its_commit_blocks_no_claim(bench: Bench, admin: Any) -> None:
    """The holder of the newer fencing token does not wait, and a worker that comes back undoes nothing."""
    await bench.receive("event_1", payment="instant_payment_1")
    (paused,) = await bench.inbox.claim(1, now=NOW, lease=1)
    async with bench.inbox.transaction(paused.lease) as transaction:
        await transaction.connection.execute(INSERT, ("paused",))
        (current,) = await bench.inbox.claim(1, now=NOW + 1, lease=1)
        await bench.receive("event_2", payment="instant_payment_1")
    assert current.lease.fencing_token > paused.lease.fencing_token
    assert await (await admin.execute("SELECT * FROM ledger_lines")).fetchall() == []


@pytest.mark.asyncio
async def test_a_task_left_behind_writes_nothing_after_the_commit(bench: Bench, admin: Any) -> None:
    """Its statement is refused from the moment when the handler returns."""
    left: list[asyncio.Task[Any]] = []
    returned = asyncio.Event()

    async def write_later(transaction: Any) -> None:
        await returned.wait()
        await transaction.execute(INSERT, ("late",))

    async def work(transaction: Any) -> None:
        await transaction.execute(INSERT, ("a",))
        left.append(asyncio.create_task(write_later(transaction)))
        returned.set()

    assert await run(bench, admin, work) == ("done", ["a"], None)
    with pytest.raises(InboxError, match="over"):
        await left[0]


@pytest.mark.asyncio
async def test_a_statement_that_waits_behind_another_is_refused_once_the_handler_returns(
    bench: Bench, admin: Any
) -> None:
    """It would be executed after the commit, in autocommit."""
    left: list[asyncio.Task[Any]] = []

    async def work(transaction: Any) -> None:
        await transaction.execute(INSERT, ("a",))
        left.extend(asyncio.create_task(transaction.execute(INSERT, (name,))) for name in "bc")
        await asyncio.sleep(0)

    state, lines, _ = await run(bench, admin, work)
    assert (state, lines) == ("done", ["a", "b"])
    results = await asyncio.gather(*left, return_exceptions=True)
    assert isinstance(results[1], InboxError)


@pytest.mark.asyncio
async def test_a_cursor_left_open_is_a_failed_attempt(bench: Bench, admin: Any) -> None:
    """A task that has it could write after the commit."""
    left: list[asyncio.Task[Any]] = []
    entered, end = asyncio.Event(), asyncio.Event()

    async def hold(transaction: Any) -> None:
        async with transaction.cursor():
            entered.set()
            await end.wait()

    async def work(transaction: Any) -> None:
        await transaction.execute(INSERT, ("a",))
        left.append(asyncio.create_task(hold(transaction)))
        await entered.wait()

    assert await run(bench, admin, work) == ("dead", [], None)
    end.set()
    await left[0]
