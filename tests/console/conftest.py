"""A simulated bank, its console, and a visitor."""

from collections.abc import AsyncIterator

import pytest_asyncio

from leadpay.client import LeadClient
from leadpay.console import loopback
from leadpay.console.app import listening, make
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.sandbox import ManualClock, Sandbox
from tests.console.program import Program, running
from tests.console.visitor import Visitor, visiting
from tests.support.scene import Scene
from tests.support.webhook_endpoint import WebhookEndpoint


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    """A bank with a clock that is moved by hand, a client and an endpoint."""
    clock = ManualClock()
    async with (
        WebhookEndpoint().listening() as endpoint,
        Sandbox(clock=clock, delay=1, seed=1, webhook_url=endpoint.url, webhook_secret="whsec_test") as bank,
        LeadClient(client_id=bank.client_id, client_secret=bank.client_secret, base_url=bank.url, clock=clock) as lead,
    ):
        yield Scene(bank, lead, endpoint, clock)


@pytest_asyncio.fixture
async def visitor(scene: Scene) -> AsyncIterator[Visitor]:
    """An operator at the bank's console."""
    async with listening(make(sandbox=scene.bank, auth=loopback)) as url, visiting(url) as someone:
        yield someone


@pytest_asyncio.fixture
async def program(scene: Scene) -> AsyncIterator[Program]:
    """A program's console, and someone who looks at it."""
    async with SqliteInbox(":memory:") as inbox, running(inbox, scene) as found:
        yield found
