"""Two pools of connections to one database, with a time limit for all that is done by them."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

import psycopg

from leadpay.errors import InboxError
from leadpay.storage import SchemaFile
from leadpay.storage.postgres.dsn import complete_dsn
from leadpay.storage.postgres.migrations import missing, upgrade
from leadpay.storage.postgres.pool import CachingPool, borrowing, is_cancelled

if TYPE_CHECKING:
    from leadpay.storage.postgres.pool import Connection, Pool

T = TypeVar("T")

Work: TypeAlias = "Callable[[Connection], Awaitable[T]]"
"""What is done with a connection; it may be done twice."""

RESPONSE_SECONDS: Final = 10.0
"""How long the database may take over one operation: less than the bank waits for the response to its webhook."""

CONNECT_SECONDS: Final = 5.0
"""How long to wait for a connection, new or free."""

STORE_CONNECTIONS: Final = 4
"""How many connections accept, claim and record results; each statement is short, and many inserts share one."""

HANDLER_CONNECTIONS: Final = 16
"""How many handlers may use ``context.transaction`` at once; a pool apart, so that handlers never keep events out."""

FRESH_SECONDS: Final = 1.0
"""How long after its last use a connection is taken to respond; after a longer time it is tried first."""

_RECONNECT_SECONDS: Final = 1.0
"""How long a pool tries to connect by itself; after that it tries when it is asked, instead of less and less often."""

_RETRIED_STATES: Final = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock: nothing happened, and the next attempt may work."""

_SESSIONLESS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None}
"""A pooler may give every statement another session."""


class PostgresDatabase:
    """The connections to one database.

    Args:
        dsn: a URL or a connection string of libpq.
        package: where the numbered schema files are.
        connections: how many connections the store itself has.
        handler_connections: how many connections handlers' transactions have.
        response_seconds: how long the database may take over one operation.
        connect_seconds: how long to wait for a connection.
        migrate: whether to bring the schema up to date; else it must be.
    """

    def __init__(
        self,
        dsn: str,
        *,
        package: str,
        connections: int,
        handler_connections: int,
        response_seconds: float,
        connect_seconds: float,
        migrate: bool = True,
    ) -> None:
        self._migrate = migrate
        self.fresh_seconds = FRESH_SECONDS
        self.dsn = complete_dsn(dsn, connect_seconds=connect_seconds)
        self.response_seconds = response_seconds
        self._connect_seconds = connect_seconds
        self._package = package
        self._sizes = (connections, handler_connections)
        self._pools: tuple[Pool, Pool] | None = None

    @property
    def handler_pool(self) -> "Pool":
        """The connections of handlers' transactions."""
        return self._opened()[1]

    def raise_if_closed(self) -> None:
        """Raise an InboxError unless the database is open."""
        self._opened()

    async def run(self, work: "Work[T]") -> T:
        """Do something that may be done twice: a connection that is lost meanwhile is replaced by another.

        Raises:
            InboxError: PostgreSQL failed or took too long; nothing was kept, or it is not known.
        """
        pool = self._opened()[0]
        async with self.limited(self.response_seconds):
            left = self._sizes[0] + 1
            while left:
                async with borrowing(pool) as connection:
                    try:
                        with self.disconnecting(connection):
                            return await work(connection)
                    except psycopg.OperationalError as error:
                        if is_cancelled() or not (connection.closed or error.sqlstate in _RETRIED_STATES):
                            raise
                        # A conflict with another transaction is tried again until the time is over.
                        left -= connection.closed
            raise InboxError("every connection to PostgreSQL was lost")

    @asynccontextmanager
    async def limited(self, seconds: float | None) -> AsyncIterator[None]:
        """Turn what psycopg raises, and no response within so many seconds, into an InboxError."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise InboxError(f"PostgreSQL did not respond within {seconds} seconds") from None
        except psycopg.Error as error:
            # Only its class and code, and no cause: PostgreSQL's own messages quote rows.
            code = "" if error.sqlstate is None else f" ({error.sqlstate})"
            raise InboxError(f"PostgreSQL failed: {type(error).__name__}{code}") from None

    def disconnecting(self, connection: "Connection") -> AbstractContextManager[None]:
        """Close the socket of a server that doesn't respond even to a cancel request."""
        return _disconnect_after(connection, 1.5 * self.response_seconds)

    async def __aenter__(self) -> Self:
        """Connect; create or upgrade the schema."""
        # Without a time limit: an upgrade that is stopped halfway would begin anew each time.
        async with self.limited(None):
            async with await self._connect() as connection:
                await upgrade(connection, self._package, migrate=self._migrate)
            self._pools = (
                await self._open_pool(self._sizes[0], 1, _configure_store),
                await self._open_pool(self._sizes[1], 0, _configure_handlers),
            )
        return self

    async def missing_files(self) -> Sequence[SchemaFile]:
        """Tell which schema files the database has not seen."""
        async with self.limited(self.response_seconds), await self._connect() as connection:
            return await missing(connection, self._package)

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        pools, self._pools = self._pools, None
        for pool in pools or ():
            await pool.close()

    async def _connect(self) -> "Connection":
        try:
            return await psycopg.AsyncConnection.connect(self.dsn, **_SESSIONLESS)
        except psycopg.OperationalError as error:
            # libpq's message names the server and the user, and no row has been read yet.
            raise InboxError(f"no connection to PostgreSQL: {' '.join(str(error).split())}") from None

    async def _open_pool(self, size: int, least: int, configure: "Callable[[Connection], Awaitable[None]]") -> "Pool":
        pool: Pool = CachingPool(
            self.dsn,
            kwargs=_SESSIONLESS,
            min_size=least,
            max_size=size,
            timeout=self._connect_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            configure=configure,
            open=False,
        )
        await pool.open()
        return pool

    def _opened(self) -> "tuple[Pool, Pool]":
        if self._pools is None:
            raise InboxError("the inbox is not open: use 'async with'")
        return self._pools


_SESSION: Final = """
SELECT set_config('synchronous_commit', 'on', false), set_config('standard_conforming_strings', 'on', false),
    set_config('default_transaction_isolation', 'read committed', false), set_config('jit', 'off', false),
    set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false)"""
"""What a session of our own has, whatever the database's defaults: commits are on disk, a string is what it says, and
fencing has the isolation that it needs: by a stricter one, a handler's commit would fail as soon as the worker has
prolonged the lease. Compiling a claim takes longer than executing it. A client whose machine lost its power is noticed
after 5 + 3 * 2 seconds, and not after two hours."""

_NO_SCANS: Final = "SELECT set_config('enable_seqscan', 'off', false)"
"""A plan that was made while a table was empty is used when it is full, until the server's next ANALYZE."""


async def _configure_store(connection: "Connection") -> None:
    if await _configure(connection, prepare_threshold=0):
        await connection.execute(_NO_SCANS)


async def _configure_handlers(connection: "Connection") -> None:
    await _configure(connection, prepare_threshold=_PREPARED_AFTER)


_PREPARED_AFTER: Final = 5
"""After how many times a handler's statement is prepared: psycopg's own default."""


async def _configure(connection: "Connection", *, prepare_threshold: int) -> bool:
    """Prepare statements and set what the session needs, unless a pooler gives every statement another session.

    A pooler tells its clients another process ID than that of the server's process.
    """
    await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    if row != (connection.info.backend_pid,):
        return False
    connection.prepare_threshold = prepare_threshold
    await connection.execute(_SESSION)
    return True


def is_own_session(connection: "Connection") -> bool:
    """Whether no pooler is in between."""
    return connection.prepare_threshold is not None


@contextmanager
def _disconnect_after(connection: "Connection", seconds: float) -> Iterator[None]:
    """Disconnect after so many seconds: psycopg waits without end for the response to its cancel request."""
    timer = asyncio.get_running_loop().call_later(seconds, _disconnect, connection)
    try:
        yield
    finally:
        timer.cancel()


def _disconnect(connection: "Connection") -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
