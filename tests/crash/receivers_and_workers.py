"""Child processes that receive and work on one shared store."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, Final, cast

from leadpay.inbox import Claim, Inbox, open_inbox
from leadpay.inbox.worker import Worker
from leadpay.models import Event
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.context import Context
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

SECRET: Final = "whsec_of_this_test"

TABLE: Final = """
CREATE TABLE effects (
    number bigserial, event_id text, payment text, fencing_token bigint, worker integer, begun bigint, ended bigint)"""

INSERT: Final = """
INSERT INTO effects (event_id, payment, fencing_token, worker, begun, ended)
SELECT %s, ordering_key, fencing_token, %s, %s, %s FROM leadpay_ordering_keys WHERE ordering_key = %s"""


def receive(url: str, parent: Connection) -> None:
    """Receive webhooks until the parent sends something; send it the address."""

    async def run(inbox: Inbox) -> None:
        receiver = WebhookReceiver(WebhookRouter("worker"), secrets=[SECRET], inbox=inbox, work=False)
        async with listening(receiver, port=0) as address:
            parent.send(address)
            await asyncio.to_thread(parent.recv)

    _run(url, run)


def work(url: str, parent: Connection) -> None:
    """Work until the parent sends something; then send it when each payment was claimed, in nanoseconds."""

    async def run(inbox: Inbox) -> None:
        watched = Watched(inbox)
        async with Worker(cast("Inbox", watched), _handlers()):
            await asyncio.to_thread(parent.recv)
        parent.send(watched.claimed)

    _run(url, run)


def _run(url: str, run: Callable[[Inbox], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with open_inbox(url) as inbox:
            await run(inbox)

    logging.disable()
    asyncio.run(opened())


class Watched:
    """An inbox that remembers when it was asked for what it gave."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.claimed: dict[tuple[str, int], int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    async def claim(self, limit: int, **options: Any) -> list[Claim]:
        """Claim, and remember."""
        asked = time.monotonic_ns()
        claims = await self._inbox.claim(limit, **options)
        self.claimed |= {(one.lease.ordering_key, one.lease.fencing_token): asked for one in claims}
        return claims


def _handlers() -> WebhookRouter:
    router = WebhookRouter("worker")

    @router.on("*")
    async def book(event: Event, context: Context) -> None:
        begun = time.monotonic_ns()
        await context.transaction.execute("SELECT 1")  # Other handlers run meanwhile.
        row = (event.id, os.getpid(), begun, time.monotonic_ns(), event.payment_id)
        await context.transaction.execute(INSERT, row)

    return router
