"""What every test of keeping needs: a store of each kind, events about payments, and a clock to be moved by hand."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from leadpay.inbox import Inbox
from leadpay.inbox.sqlite import SqliteInbox
from tests.support.gates import Flaky
from tests.support.inbox import Bench
from tests.support.postgres import open_manual

STORES = ("memory", "file", "postgres")
"""Each has a fixture ``NAME_url``; the whole contract runs on each."""


@pytest.fixture
def memory_url() -> str:
    return "sqlite:///:memory:"


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'inbox.db'}"


@pytest.fixture(params=STORES)
def inbox_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def shared_url(inbox_url: str) -> str:
    """Only stores that two processes can open."""
    if ":memory:" in inbox_url:
        pytest.skip("each connection to memory has a store of its own")
    return inbox_url


@pytest_asyncio.fixture
async def inbox(inbox_url: str) -> AsyncIterator[Inbox]:
    async with open_manual(inbox_url) as opened:
        yield opened


@pytest.fixture
def bench(inbox: Inbox) -> Bench:
    return Bench(inbox)


@pytest_asyncio.fixture
async def shaky() -> AsyncIterator[Bench]:
    """Give a bench whose inbox fails on demand, and a worker that looks by itself twice a minute only."""
    async with SqliteInbox(":memory:") as inbox:
        flaky: Any = Flaky(inbox)
        yield Bench(flaky, poll=30.0)
