"""A handler's transaction in SQLite."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import InboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context
from tests.support.inbox import Bench

CONTROL = ["BEGIN", "commit", "END", " \n-- so\n/* and so */ ROLLBACK TO x", "SAVEPOINT x", "RELEASE x"]


@pytest.mark.asyncio
async def test_a_handler_cannot_end_its_transaction() -> None:
    """Statements that would begin or end it are refused, and so is its success if one did it all the same."""
    refused: list[str] = []

    async def controls(event: InstantPaymentEvent, context: Context) -> None:
        for sql in CONTROL:
            with pytest.raises(InboxError, match="by itself"):
                await context.transaction.execute(sql)
            refused.append(sql)
        await context.transaction.execute("CREATE TABLE numbers (number INTEGER UNIQUE ON CONFLICT ROLLBACK)")
        await context.transaction.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
        assert await context.transaction.execute("SELECT number FROM numbers") == [(1,), (2,)]
        with pytest.raises(sqlite3.IntegrityError):
            await context.transaction.execute("INSERT INTO numbers VALUES (:number)", {"number": 2})

    async with SqliteInbox(":memory:") as inbox:
        bench = Bench(inbox)
        bench.router.posted(retries=())(controls)
        await bench.receive("event_1", payment="instant_payment_1")
        await bench.work()
        assert refused == CONTROL
        (handling,) = (await bench.kept("event_1")).handler_runs.values()
        assert handling.state == "dead"
        assert "InboxError" in str(handling.error)


@pytest.mark.asyncio
async def test_a_transaction_on_a_locked_file_fails_and_is_tried_again(path: Path) -> None:
    """The handler gets the library's error, its attempt is counted, and the next one works."""

    async def books(event: Event, context: Context) -> None:
        if context.attempt == 1:
            other.execute("BEGIN IMMEDIATE")
        try:
            await context.transaction.execute("CREATE TABLE numbers (number INTEGER)")
            await context.transaction.execute("SELECT 1")
        finally:
            if context.attempt == 1:
                other.execute("ROLLBACK")

    async with SqliteInbox(path, busy_seconds=0.01) as inbox:
        other = sqlite3.connect(path, isolation_level=None)
        bench = Bench(inbox)
        bench.router.on("*")(books)
        await bench.receive("event_1")
        await bench.work()
        (handling,) = (await bench.kept("event_1")).handler_runs.values()
        assert str(handling.error).endswith("sqlite3.OperationalError")
        bench.clock.move(1)
        await bench.work()
        assert await bench.state("event_1") == "done"
        other.close()


@pytest.mark.asyncio
async def test_a_commit_that_fails_is_a_failed_attempt(path: Path) -> None:
    """Deferred constraints speak at the commit: nothing is kept, and the handler is tried again."""

    async def books(event: Event, context: Context) -> None:
        run = context.transaction.execute
        await run("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        await run("CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
        await run("INSERT INTO children VALUES (1)")
        if context.attempt == 2:
            await run("INSERT INTO parents VALUES (1)")

    prepare = lambda connection: connection.execute("PRAGMA foreign_keys = ON")  # noqa: E731 - a line
    async with SqliteInbox(path, prepare=prepare) as inbox:
        bench = Bench(inbox)
        bench.router.on("*")(books)
        await bench.receive("event_1")
        await bench.work()
        (handling,) = (await bench.kept("event_1")).handler_runs.values()
        assert (handling.state, handling.attempts) == ("waiting", 1)
        bench.clock.move(1)
        await bench.work()
        assert await bench.state("event_1") == "done"


ROLLING_BACK = {
    "INSERT OR ROLLBACK": "INSERT OR ROLLBACK INTO seen VALUES (1)",
    "ON CONFLICT ROLLBACK": "INSERT INTO strict VALUES (1)",
    "RAISE(ROLLBACK)": "INSERT INTO guarded VALUES (1)",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("sql", ROLLING_BACK.values(), ids=ROLLING_BACK)
async def test_after_a_statement_that_rolls_back_the_handler_writes_nothing(path: Path, sql: str) -> None:
    """SQLite would execute the next statement in autocommit, once for each attempt."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            """
            CREATE TABLE seen (x PRIMARY KEY); INSERT INTO seen VALUES (1);
            CREATE TABLE strict (x UNIQUE ON CONFLICT ROLLBACK); INSERT INTO strict VALUES (1);
            CREATE TABLE guarded (x);
            CREATE TRIGGER guard BEFORE INSERT ON guarded BEGIN SELECT RAISE(ROLLBACK, 'no'); END;
            CREATE TABLE credits (event TEXT)"""
        )

        async def credit(event: Event, context: Context) -> None:
            with suppress(sqlite3.IntegrityError):
                await context.transaction.execute(sql)
            await context.transaction.execute("INSERT INTO credits VALUES (?)", (event.id,))

        async with SqliteInbox(path) as inbox:
            bench = Bench(inbox)
            bench.router.on("*", retries=(1, 1))(credit)
            await bench.receive("event_1")
            for _ in range(4):
                await bench.work()
                bench.clock.move(1)
            assert await bench.state("event_1") == "dead"
        assert database.execute("SELECT count(*) FROM credits").fetchone() == (0,)


@pytest.mark.asyncio
async def test_a_rolled_back_transaction_is_not_committed(path: Path) -> None:
    """Also if the handler executes nothing more."""

    async def credit(event: Event, context: Context) -> None:
        await context.transaction.execute("CREATE TABLE seen (x UNIQUE)")
        await context.transaction.execute("INSERT INTO seen VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError):
            await context.transaction.execute("INSERT OR ROLLBACK INTO seen VALUES (1)")

    async with SqliteInbox(path) as inbox:
        bench = Bench(inbox)
        bench.router.on("*", retries=())(credit)
        await bench.receive("event_1")
        await bench.work()
        assert await bench.state("event_1") == "dead"


@pytest.mark.asyncio
async def test_a_task_left_behind_writes_nothing_after_the_commit(path: Path) -> None:
    """Its statement is refused from the moment when the handler returns."""
    left: list[asyncio.Task[Any]] = []
    returned = asyncio.Event()

    async def write_later(context: Context) -> None:
        await returned.wait()
        await context.transaction.execute("INSERT INTO credits VALUES (1)")

    async def credit(event: Event, context: Context) -> None:
        await context.transaction.execute("CREATE TABLE credits (x)")
        left.append(asyncio.create_task(write_later(context)))
        returned.set()

    async with SqliteInbox(path) as inbox:
        bench = Bench(inbox)
        bench.router.on("*", retries=())(credit)
        await bench.receive("event_1")
        await bench.work()
        assert await bench.state("event_1") == "done"
        with pytest.raises(InboxError, match="over"):
            await left[0]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM credits").fetchall() == []


@pytest.mark.asyncio
async def test_the_inbox_is_refused_while_the_handler_holds_its_connection() -> None:
    """The handler would wait for itself: it gets an error at once, and before its first statement a result."""
    seen: list[Any] = []

    async def asks(event: Event, context: Context) -> None:
        seen.append((await inbox.stats()).by_state)
        await context.transaction.execute("SELECT 1")
        with pytest.raises(InboxError, match="before the first statement"):
            await inbox.stats()

    async with SqliteInbox(":memory:") as inbox:
        bench = Bench(inbox)
        bench.router.on("*", retries=())(asks)
        await bench.receive("event_1")
        await bench.work()
        assert await bench.state("event_1") == "done"
        assert seen == [{"waiting": 1}]
