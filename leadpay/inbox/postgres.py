"""Many receivers and workers on many machines: an inbox in PostgreSQL."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from datetime import datetime
from functools import partial
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from leadpay.clock import Clock, SystemClock
from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox import Claim, EventState, HandlerRun, Lease, Stats, StoredEvent, pages
from leadpay.inbox import postgres_queries as queries
from leadpay.inbox.postgres_transaction import PostgresTransaction
from leadpay.models import Event
from leadpay.storage.postgres.batching import InsertBatcher, Row
from leadpay.storage.postgres.migrations import upgrade
from leadpay.storage.postgres.pool import borrowing, is_cancelled
from leadpay.webhooks.dispatcher import Dispatcher

T = TypeVar("T")

ANSWER_SECONDS: Final = 10.0
"""How long the database may take over one operation: less than the bank waits for the answer to its webhook."""

CONNECT_SECONDS: Final = 5.0
"""How long to wait for a connection, new or free."""

OWN_CONNECTIONS: Final = 4
"""How many connections accept, claim and settle; each statement is short, and many additions share one."""

HANDLER_CONNECTIONS: Final = 16
"""How many handlers may use ``context.transaction`` at once; apart, so that handlers never keep events out."""

LISTEN_AGAIN_SECONDS: Final = 5.0
"""How long to leave the connection for hints alone after it was lost; meanwhile polling goes on."""

_GIVE_UP_SECONDS: Final = 1.0
"""How long a pool tries by itself; after that it tries when it is asked, instead of less and less often."""

_TRY_AGAIN: Final = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock: nothing happened, and the next attempt finds it over."""


class PostgresInbox:
    """An inbox in a PostgreSQL database (14 or later; tried on 14 to 18), for any number of receivers and workers.

    It keeps nothing in a session, so that it works behind PgBouncer in transaction mode; only hints need a session.

    Args:
        dsn: a URL or a connection string of libpq; its tables are found, and made, by the connection's search path.
            Only servers that write are connected to, unless it says something else by ``target_session_attrs``.
        connections: how many connections accept, claim and settle.
        handler_connections: how many handlers may use ``context.transaction`` at once.
        answer_seconds: how long the database may take over one operation.
        connect_seconds: how long to wait for a connection.
        listen: where a worker listens for hints that something came: a DSN that goes to the server and not to a
            pooler, or True for the same; False to poll only.
        clock: what waits before a lost connection for hints is replaced.

    Raises:
        ConfigurationError: the DSN cannot be read; on entering, a newer version of leadpay has upgraded the schema, or
            the database isn't in UTF-8.
        InboxError: from any operation: the database is gone, locked, full or too slow, or the inbox closed. Nothing is
            kept then, or nobody knows, and asking again is safe.
    """

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = OWN_CONNECTIONS,
        handler_connections: int = HANDLER_CONNECTIONS,
        answer_seconds: float = ANSWER_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        listen: bool | str = True,
        clock: Clock | None = None,
    ) -> None:
        self._dsn = _completed(dsn, connect_seconds)
        self._listen_dsn = _completed(dsn if listen is True else listen, connect_seconds) if listen else None
        self.answer_seconds = answer_seconds
        self._clock = clock or SystemClock()
        self._tries = connections + 1
        self._open_pool = partial(_pool, self._dsn, connect_seconds)
        self._sizes = (connections, handler_connections)
        self._pools: tuple[AsyncConnectionPool[Any], AsyncConnectionPool[Any]] | None = None
        self._gather = InsertBatcher(
            self._keep, is_refusal=lambda error: isinstance(error.__context__, psycopg.DataError)
        )
        self._hint = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        known = conninfo_to_dict(self._dsn)
        return f"PostgresInbox({known.get('host', '')!s}:{known.get('port', '')!s}/{known.get('dbname', '')!s})"

    # Receiving.

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk; see :class:`leadpay.inbox.Inbox`."""
        self._opened()
        new = await self._gather.add(queries.row(event, body, received_at))
        self._hint.set()
        return new

    async def _keep(self, rows: Sequence[Row]) -> set[str]:
        return await self._do(partial(queries.add, rows=rows))

    # Working.

    async def claim(self, limit: int, *, now: float, lease: float) -> list[Claim]:
        """Lease up to so many subjects for so many seconds."""
        return await self._do(partial(queries.claim, limit=limit, now=now, seconds=lease))

    def transaction(self, lease: Lease) -> AbstractAsyncContextManager[PostgresTransaction]:
        """Give a transaction for one handler, that begins with its first statement."""
        return self._transaction(lease)

    @asynccontextmanager
    async def _transaction(self, lease: Lease) -> AsyncIterator[PostgresTransaction]:
        transaction = PostgresTransaction(self, self._opened()[1], lease)
        try:
            yield transaction
        finally:
            await transaction.connection.end()

    async def record_result(
        self, lease: Lease, event_id: str, handling: HandlerRun | None, *, closes: EventState | None, now: float
    ) -> bool:
        """Record how a handler ended, and prolong the lease."""
        return await self._do(
            partial(queries.settle, lease=lease, event_id=event_id, handling=handling, closes=closes, now=now)
        )

    async def release(self, lease: Lease, *, due_at: float | None) -> None:
        """Let a subject go."""
        if await self._do(partial(queries.release, lease=lease, due_at=due_at)):
            self._hint.set()

    def worker(self, dispatcher: Dispatcher, *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is here while the context lasts."""
        from leadpay.inbox.worker import Worker  # noqa: PLC0415 - receivers that don't work needn't load it

        return Worker(self, dispatcher, client=client)

    async def wait_for_work(self, seconds: float) -> None:
        """Come back after so many seconds, or earlier when something was added, by this process or another."""
        if self._listening is None and self._listen_dsn is not None:
            self._listening = asyncio.create_task(self._listen(self._listen_dsn))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hint.wait()
        self._hint.clear()

    async def _listen(self, dsn: str) -> None:
        while True:
            with suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
                    await connection.execute("LISTEN leadpay_inbox")
                    self._hint.set()  # Something may have come before.
                    async for _ in connection.notifies():
                        self._hint.set()
            await self._clock.sleep(LISTEN_AGAIN_SECONDS)

    # By hand.

    async def stats(self) -> Stats:
        """Count what is here."""
        return await self._do(queries.stats)

    def events(
        self, *, state: EventState | None = None, event_type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Go through what is kept, newest receipt first, a page at a time."""
        read = partial(self._read, pages.wanted(state, event_type))
        return pages.walk(read, limit=limit)

    async def get(self, event_id: str) -> StoredEvent | None:
        """Look one event up."""
        page = await self._read({"id": event_id}, pages.LAST, 1)
        return page[0][1] if page else None

    async def _read(self, wanted: Mapping[str, str | None], before: int, size: int) -> list[tuple[int, StoredEvent]]:
        return await self._do(partial(queries.page, wanted=wanted, before=before, limit=size))

    async def replay(self, event_id: str, *, handler: str | None = None, now: float) -> bool:
        """Have an event handled again."""
        found = await self._do(partial(queries.replay, event_id=event_id, handler=handler, now=now))
        self._hint.set()
        return found

    async def discard(self, event_id: str, *, reason: str, now: float) -> bool:
        """Throw a waiting or dead event away, keeping its row."""
        return await self._do(partial(queries.discard, event_id=event_id, reason=reason, now=now))

    async def purge(self, *, before: datetime) -> int:
        """Drop the bodies of what is through and was received before a time."""
        return await pages.empty(lambda: self._do(partial(queries.purge, before=before)))

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        return await self._do(queries.watermark)

    async def set_watermark(self, time: datetime) -> None:
        """Remember it; it never goes back."""
        await self._do(partial(queries.set_watermark, time=time))

    # The connections.

    async def __aenter__(self) -> Self:
        """Connect; create or upgrade the schema."""
        # However long an upgrade takes: stopped halfway, it would begin anew each time.
        async with self.answering(None):
            async with await self._connected() as connection:
                await upgrade(connection)
            self._pools = (await self._open_pool(self._sizes[0], 1), await self._open_pool(self._sizes[1], 0))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect, after what has been begun."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None
        await self._gather.finish()
        pools, self._pools = self._pools, None
        for pool in pools or ():
            await pool.close()

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        try:
            return await psycopg.AsyncConnection.connect(self._dsn, **_SESSIONLESS)
        except psycopg.OperationalError as error:
            # What libpq says of a connection names the server and the user, and no row was seen yet.
            raise InboxError(f"no connection to PostgreSQL: {' '.join(str(error).split())}") from None

    def _opened(self) -> tuple[AsyncConnectionPool[Any], AsyncConnectionPool[Any]]:
        if self._pools is None:
            raise InboxError("the inbox is not open: use 'async with'")
        return self._pools

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something that may be done twice: a connection that was cut meanwhile is replaced by the next."""
        pool = self._opened()[0]
        async with self.answering(self.answer_seconds):
            left = self._tries
            while left:
                async with borrowing(pool) as connection:
                    try:
                        with self.cutting(connection):
                            return await work(connection)
                    except psycopg.OperationalError as error:
                        if is_cancelled() or not (connection.closed or error.sqlstate in _TRY_AGAIN):
                            raise
                        # What was only in somebody's way has all the time that there is.
                        left -= connection.closed
            raise InboxError("every connection to PostgreSQL was lost")

    def cutting(self, connection: Any) -> AbstractContextManager[None]:
        """Hang up on a server that doesn't even answer that it has stopped."""
        return _cut_after(connection, 1.5 * self.answer_seconds)

    @asynccontextmanager
    async def answering(self, seconds: float | None) -> AsyncIterator[None]:
        """ClaimExecution what psycopg raises, and silence for so many seconds, into an InboxError."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise InboxError(f"PostgreSQL gave no answer within {seconds} seconds") from None
        except psycopg.Error as error:
            # Only its kind, and nothing in the chain: PostgreSQL's own messages quote rows.
            code = "" if error.sqlstate is None else f" ({error.sqlstate})"
            raise InboxError(f"PostgreSQL failed: {type(error).__name__}{code}") from None


_SESSIONLESS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None}


async def _pool(dsn: str, seconds: float, size: int, least: int) -> AsyncConnectionPool[Any]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        dsn,
        kwargs=_SESSIONLESS,
        min_size=least,
        max_size=size,
        timeout=seconds,
        reconnect_timeout=_GIVE_UP_SECONDS,
        open=False,
    )
    await pool.open()
    return pool


_OURS: Final[dict[str, Any]] = {
    "application_name": "leadpay",
    "client_encoding": "utf8",
    # A server that only reads is none to stay with: after a failover its name may still be the one that is found.
    "target_session_attrs": "read-write",
    # A network that swallows everything is noticed within seconds instead of hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def _completed(dsn: str, connect_seconds: float) -> str:
    """Read a DSN, and add what it leaves to us."""
    try:
        known = conninfo_to_dict(dsn)
        # A port is easily made of a password with a colon and an at sign in it.
        readable = all(port.isdecimal() for port in str(known.get("port") or 0).split(",") if port)
    except psycopg.Error:
        readable = False
    if not readable:
        # Not quoted: it may hold a password.
        raise ConfigurationError("the inbox's URL cannot be read: postgresql://user:password@host:port/database")
    known = conninfo_to_dict(dsn)
    # libpq takes no shorter time than two seconds.
    ours = {**_OURS, "connect_timeout": max(2, round(connect_seconds))}
    return make_conninfo(dsn, **{name: value for name, value in ours.items() if name not in known})


@contextmanager
def _cut_after(connection: Any, seconds: float) -> Iterator[None]:
    """Hang up after so many seconds: psycopg waits without end for the answer to its cancelling."""
    timer = asyncio.get_running_loop().call_later(seconds, _cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Any) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
