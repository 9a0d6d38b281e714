"""What more than one folder of tests asks for."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.scene import Scene, played

pytest_plugins = ["leadpay.testing", "pytester", "tests.postgres", "tests.scripted"]


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with played() as found:
        yield found
