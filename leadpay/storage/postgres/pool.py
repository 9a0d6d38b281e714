"""Connections of a pool are lent, and every one comes back, whatever happens to whoever had it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def borrowing(pool: Any) -> AsyncIterator[Any]:
    """Lend a connection of a pool."""
    connection = await pool.getconn()
    try:
        yield connection
    finally:
        await give_back(pool, connection)


async def give_back(pool: Any, connection: Any) -> None:
    """Return a connection to the end: a pool that is interrupted in it has one fewer from then on."""
    await asyncio.shield(pool.putconn(connection))


def is_cancelled() -> bool:
    """Whether the task has been told to stop, or its time is up: some versions of psycopg raise another error then."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
