"""Connections that go back to their pool."""

import asyncio
from typing import Any, cast

import pytest

from leadpay.storage.postgres.pool import borrowing
from tests.support.gates import until


class Crowded:
    """A pool with one connection, which takes it back when it is let."""

    def __init__(self) -> None:
        self.has_room = asyncio.Event()
        self.returned: list[str] = []

    async def getconn(self) -> str:
        """Give the one."""
        return "the connection"

    def keep(self, connection: str) -> bool:
        """Be asked by others."""
        return False

    async def putconn(self, connection: str) -> None:
        """Take it back, which an interruption would prevent."""
        await self.has_room.wait()
        self.returned.append(connection)


@pytest.mark.asyncio
async def test_a_connection_goes_back_even_if_its_user_is_cancelled() -> None:
    """A pool doesn't shrink by those who run out of time while others wait for what they have."""
    pool = Crowded()

    async def borrow() -> None:
        async with borrowing(cast("Any", pool)):
            pass

    borrower = asyncio.create_task(borrow())
    await asyncio.sleep(0)
    borrower.cancel()
    await asyncio.wait([borrower])
    assert borrower.cancelled()
    pool.has_room.set()
    await until(lambda: pool.returned == ["the connection"])
