"""An inbox in one SQLite file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Self, cast

from leadpay.inbox import sqlite_queries as queries
from leadpay.inbox.database import DatabaseInbox, NewEvent, Result, T
from leadpay.storage import Dialect
from leadpay.storage.sqlite.connection import MEMORY, SqliteFile, shrink
from leadpay.storage.sqlite.connection_thread import BUSY_SECONDS, ConnectionThread
from leadpay.storage.sqlite.fair_lock import FairLock
from leadpay.storage.sqlite.migrations import missing, upgrade
from leadpay.storage.sqlite.session import STATEMENT_SECONDS, TRANSACTION_SECONDS, Work
from leadpay.storage.sqlite.transaction import SqliteConnection


class SqliteInbox(DatabaseInbox[sqlite3.Connection]):
    """An inbox in one file, for one machine; several processes may open it at once.

    Args:
        path: the file, made if it isn't there, readable by its owner only; or ``":memory:"`` for tests.
        busy_seconds: how long to wait for another transaction.
        statement_seconds: how long one statement of ``context.transaction`` may run.
        transaction_seconds: how long ``context.transaction`` may be open.
        prepare: what to do with each new connection, such as pragmas or functions of your own.
        migrate: whether to make the file, and to bring its schema up to date; False for a look that changes nothing.

    Raises:
        ConfigurationError: on entering: the file's schema is too new, or it may not be changed and is too old.
        InboxError: from any operation: the disk is full, the file is locked or gone, the inbox is closed. Nothing is
            kept then. The next operation connects again by itself: to a new file, if the old one is gone.
    """

    dialect: Dialect = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
        transaction_seconds: float = TRANSACTION_SECONDS,
        prepare: Callable[[sqlite3.Connection], object] | None = None,
        migrate: bool = True,
    ) -> None:
        super().__init__(queries)
        self.path = str(path)
        file = SqliteFile(
            self.path,
            busy_seconds=busy_seconds,
            upgrade=partial(upgrade, package="leadpay.inbox", migrate=migrate),
            prepare=prepare,
            create=migrate,
        )
        open_thread = partial(
            ConnectionThread,
            file.connect,
            check=file.check,
            reopen=not file.is_memory,
            turns=FairLock(),
            busy_seconds=busy_seconds,
            statement_seconds=statement_seconds,
            transaction_seconds=transaction_seconds,
        )
        self._thread = open_thread()
        # Events are accepted on a connection of their own, so that they wait for no slow read and no queue.
        self._accepting = self._thread if file.is_memory else open_thread()

    def __repr__(self) -> str:
        return f"SqliteInbox({self.path!r})"

    async def _add(self, new: NewEvent) -> bool:
        return await self._accepting.run(partial(queries.add, new=new))

    async def _run(self, query: Callable[[sqlite3.Connection], Result[T]], *, writes: bool = True) -> T:
        return await self._thread.run(cast("Work[T]", query), writes=writes)

    @asynccontextmanager
    async def _handler_connection(self, handler: str = "") -> AsyncIterator[SqliteConnection]:
        connection = SqliteConnection(self._thread, handler)
        try:
            yield connection
        finally:
            connection.end()

    async def _shrink(self) -> None:
        if self.path != MEMORY:
            await asyncio.to_thread(shrink, self.path)

    async def missing_migrations(self) -> list[str]:
        """Give the SQL of each schema file that the file has not seen; nothing is applied."""
        with closing(sqlite3.connect(self.path)) as connection:
            return [file.sql for file in missing(connection, "leadpay.inbox")]

    async def __aenter__(self) -> Self:
        """Open the file; create or upgrade the schema."""
        await self._thread.start()
        if self._accepting is not self._thread:
            await self._accepting.start()
        self.was_opened = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the file, after the operations that were begun."""
        await self._accepting.stop()
        await self._thread.stop()
