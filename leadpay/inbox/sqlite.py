"""An inbox in one SQLite file."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Self, cast

from leadpay.inbox import sqlite_queries as queries
from leadpay.inbox.database import DatabaseInbox, Result, T
from leadpay.models import Event
from leadpay.storage.sqlite.connection import SqliteFile
from leadpay.storage.sqlite.connection_thread import ConnectionThread, Work
from leadpay.storage.sqlite.migrations import upgrade
from leadpay.storage.sqlite.transaction import SqliteConnection

BUSY_SECONDS: Final = 5.0
"""How long to wait for another process's transaction before it counts as a failure."""


class SqliteInbox(DatabaseInbox[sqlite3.Connection]):
    """An inbox in one file, for one machine; several processes may open it at once.

    Args:
        path: the file, made if it isn't there, readable by its owner only; or ``":memory:"`` for tests.
        busy_seconds: how long to wait for another process's transaction.
        prepare: what to do with each new connection, such as pragmas or functions of your own.

    Raises:
        ConfigurationError: on entering: a newer version of leadpay has upgraded the file.
        InboxError: from any operation: the disk is full, the file is locked or gone, the inbox is closed. Nothing is
            kept then. The next operation connects again by itself: to a new file, if the old one is gone.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        prepare: Callable[[sqlite3.Connection], object] | None = None,
    ) -> None:
        super().__init__(queries)
        self.path = str(path)
        file = SqliteFile(
            self.path, busy_seconds=busy_seconds, upgrade=partial(upgrade, package="leadpay.inbox"), prepare=prepare
        )
        self._thread = ConnectionThread(file.connect, check=file.check, reopen=not file.is_memory)

    def __repr__(self) -> str:
        return f"SqliteInbox({self.path!r})"

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk; see :class:`leadpay.inbox.store.Inbox`."""
        new = await self._thread.run(partial(queries.add, event=event, body=body, received_at=received_at))
        self._hint.set()
        return new

    async def _run(self, query: Callable[[sqlite3.Connection], Result[T]], *, writes: bool = True) -> T:
        return await self._thread.run(cast("Work[T]", query), writes=writes)

    @asynccontextmanager
    async def _handler_connection(self) -> AsyncIterator[SqliteConnection]:
        connection = SqliteConnection(self._thread)
        try:
            yield connection
        finally:
            connection.end()

    async def __aenter__(self) -> Self:
        """Open the file; create or upgrade the schema."""
        await self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the file, after the operations that were begun."""
        await self._thread.stop()
