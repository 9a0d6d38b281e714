import asyncio
from typing import Any

import pytest

from leadpay.errors import OutboxError
from leadpay.outbox import Outbox, open_outbox
from leadpay.outbox.postgres import PostgresOutboxStore
from tests.support.inbox import HandClock
from tests.support.outbox import payment
from tests.support.postgres import cut


@pytest.mark.asyncio
async def test_another_process_is_told_by_notification(postgres_url: str) -> None:
    """A wait ends, and a sender looks again, when another connection commits."""
    async with open_outbox(postgres_url) as one, open_outbox(postgres_url) as other:
        await one.send(**payment())
        waiting = asyncio.create_task(other.wait("invoice-1", timeout=10))
        working = asyncio.create_task(other.store.wait_for_work(10))
        await working  # It begins to listen, and looks once, since something may have come before.
        working = asyncio.create_task(other.store.wait_for_work(10))
        await one.send(**payment(reference="invoice-2"))
        await working
        await one.withdraw("invoice-1", by="ada")
        assert (await waiting).state == "withdrawn"


@pytest.mark.asyncio
async def test_without_notifications_it_polls(postgres_url: str) -> None:
    """Behind a pooler there are none."""
    async with Outbox(PostgresOutboxStore(postgres_url, listen=False)) as outbox:
        await outbox.send(**payment())
        await outbox.store.wait_for_work(10)
        await outbox.store.wait_for_work(0)
        await outbox.withdraw("invoice-1", by="ada")
        assert (await outbox.wait("invoice-1", timeout=5)).outcome == "withdrawn"


@pytest.mark.asyncio
async def test_lost_connections_are_replaced(postgres_url: str, admin: Any) -> None:
    """An operation whose connection was lost is done again."""
    async with open_outbox(postgres_url) as outbox:
        await outbox.send(**payment())
        await cut(admin)
        assert (await outbox.send(**payment())).number == 1


@pytest.mark.asyncio
async def test_a_server_that_is_away_is_an_error_of_ours() -> None:
    """No error of psycopg's escapes."""
    with pytest.raises(OutboxError, match="no connection"):
        await PostgresOutboxStore("postgresql://127.0.0.1:1/none", clock=HandClock()).open()
