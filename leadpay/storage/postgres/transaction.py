"""A handler's transaction in PostgreSQL: its own statements and the mark that it is done are one commit."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from leadpay.errors import InboxError
from leadpay.storage.postgres.database import PostgresDatabase, T, Work
from leadpay.storage.postgres.pool import is_cancelled, return_connection

if TYPE_CHECKING:
    from psycopg import AsyncCursor, AsyncTransaction
    from psycopg.abc import Params, Query, QueryNoTemplate

    from leadpay.storage.postgres.pool import Connection

_WATCH_CLIENT: Final = """
SELECT set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', '2', true),
    set_config('tcp_keepalives_count', '3', true)"""
"""A client whose machine lost its power is noticed after 5 + 3 * 2 seconds, and not after two hours."""


class _RollBackError(Exception):
    """Internal: makes psycopg's transaction blocks roll back."""


class PostgresConnection:
    """``context.transaction``: a psycopg connection of the handler's own, from its first statement on.

    Statements raise what psycopg raises. What ends the transaction is refused, or makes the handler's attempt fail.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._beginning = asyncio.Lock()
        self._executing = asyncio.Lock()
        self._open = 0
        self._ended = False
        self._connection: Connection | None = None
        self._blocks: list[AbstractAsyncContextManager[AsyncTransaction]] = []

    @property
    def is_begun(self) -> bool:
        """For the inbox: whether a statement has begun the transaction."""
        return self._connection is not None

    async def execute(
        self, query: "QueryNoTemplate", params: "Params | None" = None, **options: Any
    ) -> "AsyncCursor[tuple[Any, ...]]":
        """Execute one statement.

        Args:
            query: the statement, with ``%s`` or ``%(name)s`` for parameters.
            params: their values.
            options: ``prepare`` and ``binary``, as of psycopg's ``AsyncConnection.execute``.

        Returns:
            A psycopg ``AsyncCursor``.

        Raises:
            InboxError: it would begin or end a transaction, which the inbox does; or the handler has returned, or there
                was no connection in time.
        """
        _check(query)
        connection = await self._begun()
        async with self._executing:
            self._raise_if_ended()
            return await connection.execute(query, params, **options)

    async def executemany(self, query: "Query", params_seq: "Iterable[Params]") -> None:
        """Execute one statement for many rows of parameters; see :meth:`execute`."""
        _check(query)
        async with self.cursor() as cursor:
            await cursor.executemany(query, params_seq)

    @asynccontextmanager
    async def cursor(self, *args: Any, **kwargs: Any) -> "AsyncIterator[AsyncCursor[Any]]":
        """Give a cursor of psycopg, for COPY, streams and row factories: ``async with ...cursor() as cursor``."""
        with self._opening():
            async with (await self._begun()).cursor(*args, **kwargs) as cursor:
                yield cursor

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Set a savepoint, to which an exception rolls back: ``async with context.transaction.transaction()``."""
        with self._opening():
            async with (await self._begun()).transaction():
                yield

    async def commit(self, work: "Work[T]") -> T:
        """For the inbox: do this in the same transaction and commit; without a statement it is a transaction alone."""
        # A task that the handler has left behind would write after the commit: its statement that is under way is part
        # of the transaction, a later one is refused, and what stays open makes the attempt fail.
        self._ended = True
        if self._connection is None:
            return await self._database.run(work)
        if self._open:
            raise InboxError("the handler left a cursor or savepoint of context.transaction open")
        database = self._database
        async with database.limited(database.response_seconds), self._executing:
            with database.disconnecting(self._connection):
                # If the savepoint is gone, a statement has ended the transaction that was begun.
                await self._blocks.pop().__aexit__(None, None, None)
                result = await work(self._connection)
                await self._blocks.pop().__aexit__(None, None, None)
        return result

    async def end(self) -> None:
        """For the inbox: roll back what was not committed, and give the connection back."""
        self._ended = True
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            with self._database.disconnecting(connection):
                while self._blocks:
                    await self._blocks.pop().__aexit__(_RollBackError, _RollBackError(), None)
        except BaseException:
            await connection.close()
            raise
        finally:
            await return_connection(self._pool, connection)

    def _raise_if_ended(self) -> None:
        if self._ended:
            raise InboxError("context.transaction cannot be used once the handler is over")

    @contextmanager
    def _opening(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _begun(self) -> "Connection":
        self._raise_if_ended()
        async with self._beginning:
            if self._connection is None:
                async with self._database.limited(self._database.response_seconds):
                    self._connection = await self._begin()
        return self._connection

    async def _begin(self) -> "Connection":
        """Take a connection that responds; those that were lost while they were idle are thrown away."""
        self._pool = self._database.handler_pool
        while True:
            connection = await self._pool.getconn()
            outer = connection.transaction()
            try:
                with self._database.disconnecting(connection):
                    await outer.__aenter__()
                    inner = connection.transaction("leadpay_handler")
                    await inner.__aenter__()
                    await connection.execute(_WATCH_CLIENT)
            except BaseException as error:
                was_lost = connection.closed and isinstance(error, Exception) and not is_cancelled()
                await connection.close()
                await return_connection(self._pool, connection)
                if not was_lost:
                    raise
            else:
                self._blocks = [outer, inner]
                return connection


def _check(query: "Query") -> None:
    text = query.decode(errors="replace") if isinstance(query, bytes) else query
    if isinstance(text, str) and _CONTROL.match(text):
        raise InboxError(
            "context.transaction begins, commits and rolls back by itself: raise to roll back, and use "
            "context.transaction.transaction() for savepoints"
        )


_CONTROL: Final = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
    r"(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE | re.DOTALL,
)
