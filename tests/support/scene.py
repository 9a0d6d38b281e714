"""A bank, a client of it, and an ear for its webhooks, on real sockets and one manual clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from leadpay.client import LeadClient
from leadpay.models import Agent, InstantPayment, Party
from leadpay.sandbox import ManualClock, Sandbox
from tests.support.webhook_endpoint import Ear


class Scene(NamedTuple):
    """A bank, a client, an ear, and the time that they share."""

    bank: Sandbox
    lead: LeadClient
    ear: Ear
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

    async def receive(self, account_number: str = "1234567890", amount: int = 7500) -> InstantPayment:
        """Let a payment come in, and read it once it has."""
        await self.lead.simulate.incoming(
            account_number_id="account_number_1",
            amount=amount,
            debtor=Party(name="Robin Brown", account_number=account_number),
            debtor_agent=Agent(routing_number="111000111"),
        )
        await self.wait()
        return (await self.lead.instant_payments.list(direction="incoming", limit=1)).objects[0]

    async def send_to(self, account_number: str) -> InstantPayment:
        """Send a payment to an account number that chooses its outcome, wait, and read it."""
        payment = await self.send(creditor=Party(name="Alex Smith", account_number=account_number))
        return await self.after(payment)

    async def after(self, payment: InstantPayment, seconds: float = 60) -> InstantPayment:
        """Wait, and read a payment."""
        await self.wait(seconds)
        return await self.lead.instant_payments.retrieve(payment.id)

    async def wait(self, seconds: float = 60) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)

    def heard(self) -> list[str]:
        """The types that were heard since the last time this was asked."""
        types = self.ear.types
        self.ear.heard.clear()
        return types


@asynccontextmanager
async def played() -> AsyncIterator[Scene]:
    """Set the scene."""
    clock = ManualClock()
    async with (
        Ear().listening() as ear,
        Sandbox(clock=clock, delay=1, seed=7, webhook_url=ear.url, webhook_secret="whsec_test") as bank,
        bank.client(clock=clock) as lead,
    ):
        yield Scene(bank, lead, ear, clock)
