"""What more than one folder of tests asks for."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.scene import Scene, played

pytest_plugins = ["leadpay.testing", "pytester", "tests.support.postgres", "tests.support.scripted", "tests.support.telemetry"]


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with played() as found:
        yield found
