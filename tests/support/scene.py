"""A bank, a client, and an endpoint for webhooks, on real sockets and one manual clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from leadpay.client import LeadClient
from leadpay.models import Agent, InstantPayment, Party
from leadpay.sandbox import ManualClock, Sandbox
from tests.support.webhook_endpoint import WebhookEndpoint


class Scene(NamedTuple):
    """A bank, a client, an endpoint for webhooks, and their clock."""

    bank: Sandbox
    lead: LeadClient
    endpoint: WebhookEndpoint
    clock: ManualClock

    async def send(self, **changes: Any) -> InstantPayment:
        """Send a payment."""
        return await self.lead.instant_payments.send(
            **{
                "account_number_id": "account_number_1",
                "amount": 5000,
                "creditor": Party(name="Alex Smith", account_number="1234567890"),
                "creditor_agent": Agent(routing_number="111000111"),
                **changes,
            }
        )

    def party(self, account_number: str) -> Party:
        """A creditor with an account number that chooses the outcome."""
        return Party(name="Alex Smith", account_number=account_number)

    async def receive(self, account_number: str = "1234567890", amount: int = 7500) -> InstantPayment:
        """Simulate an incoming payment; returns it once it was received."""
        await self.lead.simulate.incoming(
            account_number_id="account_number_1",
            amount=amount,
            debtor=Party(name="Robin Brown", account_number=account_number),
            debtor_agent=Agent(routing_number="111000111"),
        )
        await self.clock.advance(60)
        return (await self.lead.instant_payments.list(direction="incoming", limit=1)).objects[0]

    async def send_to(self, account_number: str) -> InstantPayment:
        """Send a payment to an account number that chooses its outcome; returns it a minute later."""
        payment = await self.send(creditor=Party(name="Alex Smith", account_number=account_number))
        return await self.after(payment)

    async def after(self, payment: InstantPayment, seconds: float = 60) -> InstantPayment:
        """The payment, so many seconds later."""
        await self.clock.advance(seconds)
        return await self.lead.instant_payments.retrieve(payment.id)

    def new_events(self) -> list[str]:
        """The types of the events that were received since the last call, without their prefix."""
        types = self.endpoint.types
        self.endpoint.events.clear()
        return types


@asynccontextmanager
async def open_scene() -> AsyncIterator[Scene]:
    """Start the bank and the endpoint."""
    clock = ManualClock()
    async with (
        WebhookEndpoint().listening() as endpoint,
        Sandbox(clock=clock, delay=1, seed=7, webhook_url=endpoint.url, webhook_secret="whsec_test") as bank,
        bank.client(clock=clock) as lead,
    ):
        yield Scene(bank, lead, endpoint, clock)
