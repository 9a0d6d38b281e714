"""What every test of the outbox needs: a store of each kind, and a clock to be moved by hand."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from leadpay.outbox import Outbox
from tests.support.inbox import HandClock
from tests.support.outbox import manual_outbox

STORES = tuple(os.environ.get("OB", "memory file postgres").split())
"""Each has a fixture ``NAME_url``; the whole contract runs on each."""


@pytest.fixture
def memory_url() -> str:
    return "sqlite:///:memory:"


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outbox.db'}"


@pytest.fixture(params=STORES)
def outbox_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def shared_url(outbox_url: str) -> str:
    """Only stores that two processes can open."""
    if ":memory:" in outbox_url:
        pytest.skip("each connection to memory has a store of its own")
    return outbox_url


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest_asyncio.fixture
async def outbox(outbox_url: str, clock: HandClock) -> AsyncIterator[Outbox]:
    async with manual_outbox(outbox_url, clock) as opened:
        yield opened
