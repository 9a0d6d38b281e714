"""Every fault at once, under a fixed seed: one payment for each order, and every caller learns what became of it."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from leadpay.client import LeadClient
from leadpay.client.retry import RetryPolicy
from leadpay.errors import APIError, LeadError, OutcomeUnknownError, RequestNotSentError
from leadpay.models import Agent, InstantPaymentEvent, Party
from leadpay.sandbox import Fault, ManualClock, Sandbox
from leadpay.sandbox.faults import DEFAULTS, KINDS
from leadpay.sandbox.models import Payment
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

PAYMENTS = 1000
AT_ONCE = 50
RARE = {"webhook_old_timestamp": 0.5}
"""What has few occasions, and needs more of them to strike at all."""
FAULTS = [Fault(kind=kind, probability=RARE.get(kind, 0.05), value=min(DEFAULTS.get(kind, 0), 2)) for kind in KINDS]


class Crowd:
    """A thousand callers, and the handlers of their webhooks."""

    def __init__(self, lead: LeadClient, clock: ManualClock) -> None:
        self.lead = lead
        self.clock = clock
        self.dice = Random(7)  # noqa: S311 - guards nothing
        self.found: dict[int, str] = {}
        self.unknown: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self.handled: Counter[str] = Counter()
        self.posted: set[str] = set()

    def router(self) -> WebhookRouter:
        """A handler that fails now and then, as handlers do."""
        router = WebhookRouter("crowd")

        @router.posted(direction="outgoing")
        async def settle(event: InstantPaymentEvent) -> None:
            if self.dice.random() < 0.1:
                raise OSError("the database blinked")
            self.handled[event.id] += 1
            self.posted.add(event.payment.id)

        router.unhandled(self.ignore)
        return router

    async def ignore(self, event: Any) -> None:
        """The other events matter to nobody here."""

    async def send(self, number: int, key: str) -> str:
        """Send a payment under a key."""
        payment = await self.lead.instant_payments.send(
            account_number_id="account_number_1",
            amount=1 + number,
            # Every twentieth comes back, so that reasons are spoken of.
            creditor=Party(name="Alex Smith", account_number="1234567890" if number % 20 else "9900004001"),
            creditor_agent=Agent(routing_number="111000111"),
            idempotency_key=key,
        )
        assert payment.amount == 1 + number
        return payment.id

    async def one(self, number: int, gate: asyncio.Semaphore) -> None:
        """Send once; remember what the SDK said became of it."""
        async with gate:
            try:
                self.found[number] = await self.send(number, f"key-{number}")
            except OutcomeUnknownError as error:
                self.unknown[number] = str(error.idempotency_key)
            except (APIError, RequestNotSentError) as error:
                self.refused[number] = str(error.idempotency_key)

    async def all(self) -> None:
        """Send everything, while time passes."""
        gate = asyncio.Semaphore(AT_ONCE)
        sending = asyncio.gather(*[self.one(number, gate) for number in range(PAYMENTS)])
        while not sending.done():
            await self.clock.advance(0.5)
        await sending


@pytest.mark.asyncio
async def test_a_thousand_payments_through_every_fault_are_a_thousand_payments() -> None:
    """An error that isn't "unknown" tells the truth: nothing was made; an unknown one is resumed by its key."""
    clock = ManualClock()
    policy = RetryPolicy(base=0.1, cap=1, max_attempts=3)
    rng = Random(7)  # noqa: S311 - guards nothing
    async with (
        Sandbox(clock=clock, delay=1, seed=7, faults=FAULTS) as bank,
        bank.client(retry=policy, clock=clock, rng=rng) as lead,
    ):
        crowd = Crowd(lead, clock)
        receiver = WebhookReceiver(crowd.router(), secrets=bank.webhook_secret, clock=clock)
        async with listening(receiver) as url:
            bank.webhook_url = url
            await crowd.all()
            made = {payment.amount - 1: payment.id for payment in outgoing(bank)}
            assert len(made) == len(outgoing(bank))
            assert len(crowd.found) + len(crowd.unknown) + len(crowd.refused) == PAYMENTS
            assert all(made[number] == payment_id for number, payment_id in crowd.found.items())
            assert not made.keys() & crowd.refused.keys()
            assert crowd.unknown
            assert crowd.refused
            keys = crowd.unknown | crowd.refused
            assert keys == {number: f"key-{number}" for number in keys}
            # Three days of redeliveries, still through faults.
            await clock.advance(72 * 3600)
            bank.faults.clear()
            for number, key in keys.items():
                crowd.found[number] = await crowd.send(number, key)
            await clock.advance(72 * 3600)
        assert len(outgoing(bank)) == PAYMENTS == len(set(crowd.found.values()))
        assert all(made[number] == crowd.found[number] for number in crowd.unknown if number in made)
        assert set(bank.faults.drawn) == set(KINDS)
        assert crowd.posted == set(crowd.found.values())
        assert set(crowd.handled.values()) == {1}
        assert bank.bank.ledger.total == 0


def outgoing(bank: Sandbox) -> list[Payment]:
    """What the bank has sent, by its own books."""
    return [payment for payment in bank.bank.payments.all() if payment.direction == "outgoing"]


@pytest.mark.asyncio
async def test_what_has_no_key_happens_once_through_every_fault() -> None:
    """Cancels, return requests, their rejections, and returns: asked for until the bank's word is clear."""
    clock = ManualClock()
    policy = RetryPolicy(base=0.1, cap=1, max_attempts=3)
    rng = Random(7)  # noqa: S311 - guards nothing
    kinds = [fault for fault in FAULTS if not fault.kind.startswith(("webhook", "token", "same"))]
    async with Sandbox(clock=clock, delay=1, seed=7) as bank, bank.client(retry=policy, clock=clock, rng=rng) as lead:
        crowd = Crowd(lead, clock)
        ids = [await crowd.send(number, f"key-{number}") for number in range(1, 20)]
        await clock.advance(60)
        for fault in kinds:
            bank.faults.add(fault)
        for payment_id in ids:
            asking = asyncio.create_task(until_known(lead, payment_id))
            while not asking.done():
                await clock.advance(0.5)
            await asking
        bank.faults.clear()
        for payment_id in ids:
            payment = await lead.instant_payments.retrieve(payment_id)
            assert len(payment.return_requests) == 1


async def until_known(lead: LeadClient, payment_id: str) -> None:
    """Ask for a return until it is there; the payment itself is the classify."""
    while True:
        with suppress(LeadError):
            payment = await lead.instant_payments.retrieve(payment_id)
            if payment.active_return_request is not None:
                return
            await lead.instant_payments.request_return(payment_id, reason="duplication")
