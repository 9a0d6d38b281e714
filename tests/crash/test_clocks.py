"""Workers whose clocks are minutes apart, on one PostgreSQL."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from random import Random
from typing import Final

import psycopg
import pytest

from leadpay.clock import SystemClock
from leadpay.inbox import Worker, open_inbox
from leadpay.models import Event
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter
from tests.crash.processes import ALL
from tests.support.inbox import event_of
from tests.support.postgres import fresh_schema

EVENTS: Final = 20_000 if ALL else 300
PAYMENTS: Final = EVENTS // 10
SKEWS: Final = (0.0, 300.0, -300.0)


class SkewedClock(SystemClock):
    """A clock that is ahead."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        """Seconds since 1970, as this clock believes."""
        return super().now() + self._seconds


@pytest.mark.asyncio
async def test_clocks_that_are_minutes_apart_double_and_lose_nothing(postgres_server: str) -> None:
    """Leases and due times go by the database's clock, so each event is credited once, retries included."""
    rng = Random(5)  # noqa: S311 - to be repeated
    router = WebhookRouter("clocks")

    @router.posted(retries=(0.05,) * 20)
    async def credit(event: Event, context: Context) -> None:
        await context.transaction.execute("INSERT INTO credits VALUES (%s)", (event.id,))
        await asyncio.sleep(rng.random() * 0.01)
        if rng.random() < 0.1:
            raise ConnectionError

    with fresh_schema(postgres_server) as url, psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE TABLE credits (event_id text)")
        async with AsyncExitStack() as stack:
            inboxes = [await stack.enter_async_context(open_inbox(url)) for _ in SKEWS]
            for inbox, skew in zip(inboxes, SKEWS, strict=True):
                worker = Worker(inbox, router, clock=SkewedClock(skew), lease=1.5, poll=0.05, rng=rng)
                await stack.enter_async_context(worker)

            async def deliver(number: int) -> None:
                event, body = event_of(f"event_{number}", payment=f"instant_payment_{number % PAYMENTS}")
                await inboxes[number % 3].add(event, body, received_at=datetime.now(UTC))

            for start in range(0, EVENTS, 50):
                await asyncio.gather(*(deliver(number) for number in range(start, start + 50)))
            while (await inboxes[0].stats()).by_state.get("waiting"):
                await inboxes[0].wait_for_work(0.1)
            states = (await inboxes[0].stats()).by_state
        credited = Counter(event_id for (event_id,) in admin.execute("SELECT event_id FROM credits").fetchall())
    assert states == {"done": EVENTS}
    assert credited == Counter(f"event_{number}" for number in range(EVENTS))
