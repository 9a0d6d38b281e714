"""What more than one folder of tests asks for."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.scene import Scene, open_scene

pytest_plugins = [
    "leadpay.testing",
    "pytester",
    "tests.support.postgres",
    "tests.support.scripted",
    "tests.support.telemetry",
]


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with open_scene() as found:
        yield found
