"""A handler's transaction in PostgreSQL: its own statements and the mark that it is done are one commit."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic

import attrs
import psycopg
from psycopg.pq import TransactionStatus

from leadpay.errors import InboxError
from leadpay.storage.postgres.database import PostgresDatabase, T, Work, is_own_session
from leadpay.storage.postgres.pool import in_transaction, is_cancelled, return_connection

if TYPE_CHECKING:
    from psycopg import AsyncCursor, AsyncTransaction
    from psycopg.abc import Params, Query, QueryNoTemplate

    from leadpay.storage.postgres.pool import Connection

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"

_WATCH_CLIENT: Final = """
SELECT set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', '2', true),
    set_config('tcp_keepalives_count', '3', true)"""
"""For a session that is not our own; see ``database.py``."""

_GUARD: Final = "leadpay_handler"
"""A savepoint that is gone if a statement that cannot be watched has ended the transaction that was begun.

Within its block, psycopg refuses a cursor's ``connection.commit()``.
"""


class _RollBackError(Exception):
    """Internal: makes psycopg's transaction blocks roll back."""


@attrs.frozen
class FinalStatement(Generic[T]):
    """The last statement of a transaction, which fails with a division by zero if nothing is to be kept.

    So it can be sent together with the commit.
    """

    sql: str
    parameters: Mapping[str, Any]
    result: Callable[[tuple[Any, ...]], T]
    """Makes the result from its row."""
    failed: "Callable[[Connection], Awaitable[T]]"
    """Is called after the rollback, and raises what went wrong."""

    async def execute(self, connection: "Connection") -> T | None:
        """Execute it alone, as a transaction of its own; None if it failed on purpose."""
        cursor = connection.cursor()
        try:
            await cursor.execute(self.sql.encode(), self.parameters, prepare=is_own_session(connection))
        except psycopg.errors.DivisionByZero:
            return None
        return self.result(*await cursor.fetchall())

    async def commit(self, connection: "Connection") -> T:
        """Execute it and commit, in one flush."""
        cursor = connection.cursor()
        try:
            async with connection.pipeline():
                await cursor.execute(self.sql.encode(), self.parameters, prepare=is_own_session(connection))
                await connection.execute("COMMIT")
        except psycopg.errors.DivisionByZero:
            if cursor.description is not None:  # the commit failed, by a trigger of the user's
                raise
            await connection.rollback()
            return await self.failed(connection)
        return self.result(*await cursor.fetchall())


class PostgresConnection:
    """``context.transaction``: a psycopg connection of the handler's own, from its first statement on.

    Statements raise what psycopg raises. What ends the transaction is refused, or makes the handler's attempt fail.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._executing = asyncio.Lock()
        self._open = 0
        self._ended = False
        self._block: AbstractAsyncContextManager[AsyncTransaction] | None = None
        self._connection: Connection | None = None

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
        self._raise_if_ended()
        async with self._executing:
            self._raise_if_ended()
            if params is None and _may_be_several(query):
                return await (await self._guard()).execute(query, params, **options)
            if self._connection is None:
                return await self._begin(lambda connection: connection.execute(query, params, **options))
            return await self._connection.execute(query, params, **options)

    async def executemany(self, query: "Query", params_seq: "Iterable[Params]") -> None:
        """Execute one statement for many rows of parameters; see :meth:`execute`."""
        _check(query)
        async with self.cursor() as cursor:
            await cursor.executemany(query, params_seq)

    @asynccontextmanager
    async def cursor(self, *args: Any, **kwargs: Any) -> "AsyncIterator[AsyncCursor[Any]]":
        """Give a cursor of psycopg, for COPY, streams and row factories: ``async with ...cursor() as cursor``."""
        with self._opening():
            self._raise_if_ended()
            async with self._executing:
                connection = await self._guard()
            async with connection.cursor(*args, **kwargs) as cursor:
                yield cursor

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Set a savepoint, to which an exception rolls back: ``async with context.transaction.transaction()``."""
        with self._opening():
            self._raise_if_ended()
            async with self._executing:
                connection = await self._begun()
            async with connection.transaction():
                yield

    async def commit(self, work: "Work[T]") -> T:
        """For the inbox: do this in the same transaction and commit; without a statement it is a transaction alone.

        If ``work`` has a ``final`` statement, that is sent together with the commit instead. It fails on purpose if
        nothing is to be kept.
        """
        # A task that the handler has left behind would write after the commit: its statement that is under way is part
        # of the transaction, a later one is refused, and what stays open makes the attempt fail.
        self._ended = True
        if self._connection is None:
            return await self._database.run(work)
        if self._open:
            raise InboxError("the handler left a cursor or savepoint of context.transaction open")
        database = self._database
        async with database.limited(database.response_seconds), self._executing:
            connection = self._connection
            with database.disconnecting(connection):
                if self._block is not None:
                    # If the savepoint is gone, a statement has ended the transaction that was begun.
                    block, self._block = self._block, None
                    await block.__aexit__(None, None, None)
                if not in_transaction(connection):
                    raise InboxError("a statement of the handler failed, or ended the transaction of the inbox")
                final: FinalStatement[T] | None = getattr(work, "final", None)
                if final is not None:
                    return await final.commit(connection)
                result = await work(connection)
                await connection.execute("COMMIT")
        return result

    async def end(self) -> None:
        """For the inbox: roll back what was not committed, and give the connection back."""
        self._ended = True
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE and not connection.closed:
                with self._database.disconnecting(connection):
                    if self._block is not None:
                        await self._block.__aexit__(_RollBackError, _RollBackError(), None)
                    await connection.rollback()
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

    async def _guard(self) -> "Connection":
        """Set the savepoint by which a commit shows that nothing ended the transaction."""
        connection = await self._begun()
        if self._block is None:
            block = connection.transaction(_GUARD)
            await block.__aenter__()
            self._block = block
        return connection

    async def _begun(self) -> "Connection":
        if self._connection is None:
            await self._begin(_nothing)
        assert self._connection is not None  # noqa: S101 - for the type checker
        return self._connection

    async def _begin(self, first: "Callable[[Connection], Awaitable[T]]") -> T:
        """Begin on a connection that responds, and execute the first statement in the same flush.

        Connections that were lost while they were idle are thrown away.
        """
        database = self._database
        self._pool = database.handler_pool
        while True:
            async with database.limited(database.response_seconds):
                connection = await self._live_connection()
            try:
                async with connection.pipeline():
                    await connection.execute(_BEGIN)
                    if not is_own_session(connection):
                        await connection.execute(_WATCH_CLIENT)
                    result = await first(connection)
            except BaseException as error:
                if connection.closed and isinstance(error, Exception) and not is_cancelled():
                    await return_connection(self._pool, connection)
                    continue
                self._connection = connection
                raise
            self._connection = connection
            return result

    async def _live_connection(self) -> "Connection":
        """Take a connection; one that was idle for a while is asked for a response first."""
        while True:
            connection = await self._pool.getconn()
            if self._pool.idle_seconds(connection) < self._database.fresh_seconds:
                return connection
            try:
                with self._database.disconnecting(connection):
                    await connection.execute("SELECT 1")
            except BaseException as error:
                was_lost = connection.closed and isinstance(error, Exception) and not is_cancelled()
                await connection.close()
                await return_connection(self._pool, connection)
                if not was_lost:
                    raise
            else:
                return connection


async def _nothing(_: Any) -> None:
    """Begin without a statement."""


def _may_be_several(query: "Query") -> bool:
    """Whether a text without parameters may hold several statements, of which one may end the transaction."""
    text = query.decode(errors="replace") if isinstance(query, bytes) else query
    return not isinstance(text, str) or ";" in text.rstrip().removesuffix(";")


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
