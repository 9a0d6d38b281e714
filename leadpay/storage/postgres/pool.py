"""Connections of a pool: each one that is taken goes back, even if its user is cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]
    Pool: TypeAlias = AsyncConnectionPool[Connection]


Rollback: TypeAlias = psycopg.Rollback
"""Raised with a transaction, it rolls that back and goes no further."""


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
    await asyncio.shield(pool.putconn(connection))


def is_cancelled() -> bool:
    """Whether this task was cancelled or timed out: some versions of psycopg raise another error then."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def in_transaction(connection: "Connection") -> bool:
    """Whether a transaction has been begun on a connection, and has not failed."""
    return connection.info.transaction_status == TransactionStatus.INTRANS
