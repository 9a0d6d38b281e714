"""An outbox in one SQLite file."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

from leadpay.errors import InboxError, OutboxError
from leadpay.outbox.queries import spelled
from leadpay.outbox.store import Plan, T
from leadpay.outbox.watchers import Watchers
from leadpay.storage import Dialect
from leadpay.storage.sqlite.connection import SqliteFile
from leadpay.storage.sqlite.connection_thread import ConnectionThread
from leadpay.storage.sqlite.migrations import upgrade

BUSY_SECONDS: Final = 5.0
"""How long to wait for another process's transaction before it counts as a failure."""


class SqliteOutboxStore:
    """A SQLite file for an outbox; several processes may open it at once.

    Args:
        path: the file, made if it isn't there, readable by its owner only; or ``":memory:"`` for tests.
        busy_seconds: how long to wait for another process's transaction.
        migrate: whether to make the file, and to bring its schema up to date; False for a look that changes nothing.
        prepare: what to do with each new connection, such as pragmas or functions of your own.
    """

    dialect: Dialect = "sqlite"
    has_own_clock = False

    def __init__(
        self,
        path: str | Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        migrate: bool = True,
        prepare: Callable[[sqlite3.Connection], object] | None = None,
    ) -> None:
        self.path = str(path)
        file = SqliteFile(
            self.path,
            busy_seconds=busy_seconds,
            upgrade=partial(upgrade, package="leadpay.outbox", migrate=migrate),
            prepare=prepare,
            create=migrate,
        )
        self._thread = ConnectionThread(file.connect, check=file.check, reopen=not file.is_memory)
        self._watchers = Watchers()

    def __repr__(self) -> str:
        return f"SqliteOutboxStore({self.path!r})"

    async def run(self, plan: Callable[[], Plan[T]], *, writes: bool = True) -> T:
        """Do an operation; those that wait at the same time share one commit."""
        try:
            return await self._thread.run(lambda connection: _drive(connection, plan()), writes=writes)
        except InboxError as error:
            raise OutboxError(str(error).replace("inbox", "outbox")) from error

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when this process queued something."""
        await self._watchers.wait_for_work(seconds)

    def watch(self, number: int) -> AbstractAsyncContextManager[Callable[[float], Any]]:
        """Give a coroutine function that waits so many seconds, or less if this process changed the instruction."""
        return self._watchers.watch(number)

    def changed(self, numbers: Sequence[int], *, has_work: bool = False) -> None:
        """Tell this process's waiters; another process's poll."""
        self._watchers.changed(numbers, has_work=has_work)

    async def open(self) -> None:
        """Open the file; create or upgrade the schema."""
        try:
            await self._thread.start()
        except InboxError as error:
            raise OutboxError(str(error)) from error

    async def close(self) -> None:
        """Close the file, after the operations that were begun."""
        await self._thread.stop()


def _drive(connection: sqlite3.Connection, plan: Plan[T]) -> T:
    """Execute the statements of a plan."""
    try:
        statement = next(plan)
        while True:
            rows = connection.execute(spelled(statement.sql, "sqlite"), dict(statement.parameters)).fetchall()
            statement = plan.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
