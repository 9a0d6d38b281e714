"""A program's inbox and outbox, with handlers, at a simulated bank; and its console."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from leadpay.console import loopback
from leadpay.console.app import listening, make
from leadpay.inbox import Inbox, StoredEvent
from leadpay.inbox.worker import Worker
from leadpay.models import Agent, InstantPaymentEvent, Party
from leadpay.outbox import Limits, Outbox, open_outbox
from leadpay.sandbox import ManualClock
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import WebhookRouter
from tests.console.visitor import Visitor, visiting
from tests.support.inbox import NOW, RECEIVED, event_of
from tests.support.scene import Scene

MARIA = Party(name="Maria Nowak", account_number="9876543210")
BANK = Agent(routing_number="111000111")


@attrs.define
class Program:
    """What the pages show."""

    inbox: Inbox
    outbox: Outbox
    scene: Scene
    visitor: Visitor
    url: str
    is_broken: bool = True
    """Whether the handler ``credit`` raises."""

    def router(self) -> WebhookRouter:
        """Handlers for two types of event, and none for the rest."""
        router = WebhookRouter("program")

        @router.posted(name="credit", retries=[])
        async def credit(event: InstantPaymentEvent) -> None:
            if self.is_broken:
                raise KeyError(event.payment.creditor.name)

        @router.counterparty_status_updated(name="notify")
        async def notify(event: InstantPaymentEvent) -> None: ...

        return router

    async def work(self) -> None:
        """Handle what is due."""
        await Worker(self.inbox, self.router()).run_due()

    async def receive(self, event_id: str, **what: Any) -> StoredEvent:
        """Store an event."""
        event, body = event_of(event_id, **what)
        await self.inbox.add(event, body, received_at=RECEIVED)
        found = await self.inbox.get(event_id)
        assert found is not None
        return found

    async def take_over(self) -> None:
        """Store every event of the bank, as webhooks would have brought them."""
        for body in self.scene.endpoint.bodies:
            await self.inbox.add(parse(body), body, received_at=RECEIVED)

    async def queue(self, reference: str, **changes: Any) -> None:
        """Queue a payment."""
        order = {"account_number_id": "account_number_1", "amount": 5000, "creditor": MARIA, "creditor_agent": BANK}
        await self.outbox.send(reference=reference, by="billing", **{**order, **changes})


@asynccontextmanager
async def running(inbox: Inbox, scene: Scene, **options: Any) -> AsyncIterator[Program]:
    """Serve the console of a program."""
    async with open_outbox("sqlite:///:memory:", limits=Limits(per_payment=100_000)) as outbox:
        console = make(
            inbox=inbox, outbox=outbox, lead=scene.lead, auth=loopback, **{"clock": ManualClock(NOW), **options}
        )
        async with listening(console) as url, visiting(url) as visitor:
            yield Program(inbox, outbox, scene, visitor, url)
