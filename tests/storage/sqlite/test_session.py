"""A handler's transaction is limited in time, and owners take turns."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from leadpay.errors import InboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.storage.sqlite.session import ExclusiveSession, SessionQueue
from leadpay.storage.sqlite.transaction import SqliteConnection
from tests.support.inbox import add

ENDLESS: Final = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT count(*) FROM numbers"""


@pytest.mark.asyncio
async def test_a_slow_statement_is_interrupted(path: Path) -> None:
    """The error says why, the transaction goes on if the statement only read, and webhooks are stored meanwhile."""
    async with SqliteInbox(path, statement_seconds=0.05) as inbox, inbox.begin() as transaction:
        await transaction.execute("CREATE TABLE numbers (n)")
        with pytest.raises(InboxError, match=r"ran for 0\.05 seconds, and was interrupted"):
            await transaction.execute(ENDLESS)
        await transaction.execute("INSERT INTO numbers VALUES (1)")
    async with SqliteInbox(path) as inbox, inbox.begin() as transaction:
        assert await transaction.execute("SELECT n FROM numbers") == [(1,)]


@pytest.mark.asyncio
async def test_a_slow_write_rolls_the_transaction_back(path: Path) -> None:
    """As SQLite does with a statement that is interrupted while it writes; nothing of it is kept."""
    async with SqliteInbox(path, statement_seconds=0.05) as inbox:
        connection = SqliteConnection(inbox._thread)
        await connection.execute("CREATE TABLE numbers (n)")
        with pytest.raises(InboxError, match="interrupted"):
            await connection.execute(f"INSERT INTO numbers {ENDLESS}")
        with pytest.raises(InboxError, match="rolled its transaction back"):
            await connection.execute("SELECT 1")
        connection.end()
        async with inbox.begin() as transaction:
            assert await transaction.execute("SELECT name FROM sqlite_schema WHERE name = 'numbers'") == []


@pytest.mark.asyncio
async def test_a_transaction_that_stays_open_is_rolled_back(path: Path) -> None:
    """The next statement says why; others write meanwhile; ending it is no error."""
    async with SqliteInbox(path, transaction_seconds=0.05) as inbox:

        async def hold() -> None:
            connection = SqliteConnection(inbox._thread)
            await connection.execute("CREATE TABLE numbers (n)")
            is_open.set()
            await added.wait()
            try:
                await connection.execute("INSERT INTO numbers VALUES (1)")
            finally:
                connection.end()

        is_open, added = asyncio.Event(), asyncio.Event()
        holding = asyncio.create_task(hold())
        await is_open.wait()
        assert await add(inbox, "event_1")
        added.set()
        with pytest.raises(InboxError, match=r"was open for 0\.05 seconds, and was rolled back"):
            await holding
        async with inbox.begin() as transaction:
            assert await transaction.execute("SELECT name FROM sqlite_schema WHERE name = 'numbers'") == []


@pytest.mark.asyncio
async def test_a_cancelled_handler_ends_its_statement(path: Path) -> None:
    """Its time limit is over, and the file is free at once."""
    async with SqliteInbox(path, statement_seconds=600, transaction_seconds=600) as inbox:
        connection = SqliteConnection(inbox._thread)
        running = asyncio.create_task(connection.execute(ENDLESS))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        connection.end()
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_handler_that_ended_while_it_waited_begins_no_transaction(path: Path) -> None:
    """A statement that it has left behind fails."""
    async with SqliteInbox(path) as inbox:
        first, second = SqliteConnection(inbox._thread), SqliteConnection(inbox._thread)
        await first.execute("CREATE TABLE numbers (n)")
        left = asyncio.create_task(second.execute("DROP TABLE numbers"))
        await asyncio.sleep(0)
        second.end()
        first.end()
        with pytest.raises(InboxError, match="has ended"):
            await left


@pytest.mark.asyncio
async def test_errors_of_sqlite_pass_through(path: Path) -> None:
    """Those that are no interruptions are the handler's."""
    async with SqliteInbox(path) as inbox:
        connection = SqliteConnection(inbox._thread)
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await connection.execute("SELECT * FROM absent")
        connection.end()


@pytest.mark.asyncio
async def test_a_webhook_waits_for_one_transaction_at_most(path: Path) -> None:
    """Two handlers whose transactions stay open come before it, and it comes between them."""
    order: list[str] = []
    async with SqliteInbox(path, transaction_seconds=0.1) as inbox:

        async def hold(name: str) -> None:
            connection = SqliteConnection(inbox._thread, name)
            try:
                await connection.execute("SELECT 1")
                order.append(name)
                await asyncio.sleep(0.2)
            finally:
                connection.end()

        async def accept() -> None:
            await asyncio.sleep(0.02)
            await add(inbox, "event_1")
            order.append("event")

        await asyncio.gather(hold("one"), hold("two"), accept())
    assert order == ["one", "event", "two"]


def test_owners_take_turns() -> None:
    """Each owner's oldest session, one owner after the other."""
    queue = SessionQueue()
    assert not queue
    thread: Any = None
    for owner in ("slow", "slow", "slow", "credit", "book", "credit"):
        queue.add(ExclusiveSession(thread, owner, statement_seconds=1, transaction_seconds=1))
    order = []
    while queue:
        order.append(queue.next().owner)
    assert order == ["slow", "credit", "book", "slow", "credit", "slow"]


@pytest.mark.asyncio
async def test_a_webhook_does_not_wait_for_ever(path: Path) -> None:
    """It fails, and the bank sends it again."""
    async with SqliteInbox(path, busy_seconds=0.05) as inbox:
        connection = SqliteConnection(inbox._thread)
        holding = asyncio.create_task(connection.execute("SELECT 1"))
        await asyncio.wait([holding])
        with pytest.raises(InboxError, match="locked"):
            await add(inbox, "event_1")
        connection.end()
        assert await add(inbox, "event_1")
