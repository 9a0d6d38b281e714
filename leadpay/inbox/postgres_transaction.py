"""One handler's transaction in PostgreSQL: its own statements and the mark that it is done are one commit."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any, Final, Protocol

from leadpay.errors import InboxError
from leadpay.inbox import EventState, HandlerRun, Lease
from leadpay.inbox import postgres_queries as queries
from leadpay.storage.postgres.pool import give_back, is_cancelled


class _Inbox(Protocol):
    answer_seconds: float

    async def record_result(
        self, lease: Lease, event_id: str, handling: HandlerRun | None, *, closes: EventState | None, now: float
    ) -> bool: ...

    def answering(self, seconds: float | None) -> AbstractAsyncContextManager[None]: ...

    def cutting(self, connection: Any) -> AbstractContextManager[None]: ...


class _UndoneError(Exception):
    """Internal: makes the library's blocks roll back."""


class PostgresTransaction:
    """One handler's transaction."""

    def __init__(self, inbox: _Inbox, pool: Any, lease: Lease) -> None:
        self._inbox = inbox
        self._lease = lease
        self.connection = PostgresConnection(inbox, pool)

    async def commit(self, event_id: str, handling: HandlerRun, *, closes: EventState | None, now: float) -> bool:
        """Record the handling in the same transaction and commit; without statements it is a mere settling."""
        if not self.connection.has_begun:
            return await self._inbox.record_result(self._lease, event_id, handling, closes=closes, now=now)
        async with self._inbox.answering(self._inbox.answer_seconds), self.connection.committing() as connection:
            # From here on the subject's row is locked: nobody gets a newer fence before this is committed.
            return await queries.settle(
                connection, lease=self._lease, event_id=event_id, handling=handling, closes=closes, now=now
            )


class PostgresConnection:
    """``context.transaction``: a psycopg connection of the handler's own, from its first statement on.

    Statements raise what psycopg raises. Whatever ends the transaction is refused, or undoes the handler's success.
    """

    def __init__(self, inbox: _Inbox, pool: Any) -> None:
        self._inbox = inbox
        self._pool = pool
        self._beginning = asyncio.Lock()
        self._ended = False
        self._connection: Any = None
        self._blocks: list[Any] = []

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Execute one statement.

        Args:
            query: the statement, with ``%s`` or ``%(name)s`` for parameters.
            params: their values.
            options: ``prepare`` and ``binary``, as of psycopg's ``AsyncConnection.execute``.

        Returns:
            A psycopg ``AsyncCursor``.

        Raises:
            InboxError: it would begin or end a transaction, which is not the handler's to do; or the handler is over,
                or no connection was to be had.
        """
        _check(query)
        connection = await self._begun()
        return await connection.execute(query, params, **options)

    async def executemany(self, query: Any, params_seq: Iterable[Any]) -> None:
        """Execute one statement for many rows of parameters; see :meth:`execute`."""
        _check(query)
        async with self.cursor() as cursor:
            await cursor.executemany(query, params_seq)

    @asynccontextmanager
    async def cursor(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Give a cursor of psycopg, for COPY, streams and row factories: ``async with ...cursor() as cursor``."""
        async with (await self._begun()).cursor(*args, **kwargs) as cursor:
            yield cursor

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Set a savepoint, to which an exception rolls back: ``async with context.transaction.transaction()``."""
        async with (await self._begun()).transaction():
            yield

    @property
    def has_begun(self) -> bool:
        """For the inbox: whether there was a statement."""
        return self._connection is not None

    @asynccontextmanager
    async def committing(self) -> AsyncIterator[Any]:
        """For the inbox: give the connection once more, and then commit."""
        with self._inbox.cutting(self._connection):
            # A savepoint that isn't there any more shows that a statement ended the transaction behind our back.
            await self._blocks.pop().__aexit__(None, None, None)
            yield self._connection
            await self._blocks.pop().__aexit__(None, None, None)

    async def end(self) -> None:
        """For the inbox: roll back what was not committed, and give the connection back."""
        self._ended = True
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            with self._inbox.cutting(connection):
                while self._blocks:
                    await self._blocks.pop().__aexit__(_UndoneError, _UndoneError(), None)
        except BaseException:
            await connection.close()
            raise
        finally:
            await give_back(self._pool, connection)

    async def _begun(self) -> Any:
        if self._ended:
            raise InboxError("context.transaction cannot be used once the handler is over")
        async with self._beginning:
            if self._connection is None:
                async with self._inbox.answering(self._inbox.answer_seconds):
                    await self._begin()
        return self._connection

    async def _begin(self) -> None:
        """Take a connection that answers; those that were cut while nobody used them are thrown away."""
        while True:
            connection = await self._pool.getconn()
            outer = connection.transaction()
            try:
                with self._inbox.cutting(connection):
                    await outer.__aenter__()
                    inner = connection.transaction("leadpay_handler")
                    await inner.__aenter__()
                    await connection.execute(queries.WATCH)
            except BaseException as error:
                was_cut = connection.closed and isinstance(error, Exception) and not is_cancelled()
                await connection.close()
                await give_back(self._pool, connection)
                if not was_cut:
                    raise
            else:
                self._connection, self._blocks = connection, [outer, inner]
                return


def _check(query: Any) -> None:
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
