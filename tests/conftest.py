"""What more than one folder of tests asks for."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.scene import Scene, played

pytest_plugins = ["leadpay.testing", "pytester"]


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with played() as found:
        yield found


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a real PostgreSQL once, for who asks for it."""
    from tests.keeping.server import serving  # noqa: PLC0415 - loaded by whoever needs it

    with serving() as url:
        yield url
