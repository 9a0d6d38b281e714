"""Connections of a pool: each one that is taken goes back, even if its user is cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]
    Pool: TypeAlias = "CachingPool"


Rollback: TypeAlias = psycopg.Rollback
"""Raised with a transaction, it rolls that back and goes no further."""


class CachingPool(AsyncConnectionPool["Connection"]):
    """Hands a connection that comes back to the next user without a detour, unless others wait for one."""

    def __init__(self, dsn: str, **options: Any) -> None:
        super().__init__(dsn, **options)
        self._idle: list[Connection] = []
        self._queued = 0
        self._returned_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def getconn(self, timeout: float | None = None) -> "Connection":  # noqa: ASYNC109 - the parent's name
        """Take a connection."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            await super().putconn(connection)
        self._queued += 1
        try:
            return await super().getconn(timeout)
        finally:
            self._queued -= 1

    def keep(self, connection: "Connection") -> bool:
        """Take a connection back at once, if no other user waits for one and nothing is under way on it."""
        if self._queued or self.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            return False
        self._idle.append(connection)
        self._returned_at[connection] = asyncio.get_running_loop().time()
        return True

    def idle_seconds(self, connection: "Connection") -> float:
        """Tell how long ago a connection came back, in seconds; a new one has been used just now."""
        now = asyncio.get_running_loop().time()
        return now - self._returned_at.get(connection, now)

    async def close(self, timeout: float = 5) -> None:  # noqa: ASYNC109 - the parent's name
        """Close all connections."""
        while self._idle:
            await super().putconn(self._idle.pop())
        await super().close(timeout)


@asynccontextmanager
async def borrowing(pool: "Pool") -> "AsyncIterator[Connection]":
    """Take a connection from a pool for a while."""
    connection = await pool.getconn()
    try:
        yield connection
    finally:
        await return_connection(pool, connection)


async def return_connection(pool: "Pool", connection: "Connection") -> None:
    """Return a connection, uninterrupted: a pool whose putconn is cancelled has one connection fewer from then on."""
    if not pool.keep(connection):
        await asyncio.shield(pool.putconn(connection))


def is_cancelled() -> bool:
    """Whether this task was cancelled or timed out: some versions of psycopg raise another error then."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def in_transaction(connection: "Connection") -> bool:
    """Whether a transaction has been begun on a connection, and has not failed."""
    return connection.info.transaction_status == TransactionStatus.INTRANS
