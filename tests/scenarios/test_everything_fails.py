"""Every fault at once, with a fixed seed: one payment for each order, and every caller learns the result."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from leadpay.client import LeadClient
from leadpay.client.retry import RetryPolicy
from leadpay.errors import APIError, LeadError, MalformedResponseError, OutcomeUnknownError, RequestNotSentError
from leadpay.models import Agent, InstantPaymentEvent, Party
from leadpay.sandbox import Fault, ManualClock, Sandbox
from leadpay.sandbox.faults import DEFAULT_VALUES, KINDS
from leadpay.sandbox.models import Payment
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

PAYMENTS = 1000
CONCURRENT = 50
PROBABILITIES = {
    **dict.fromkeys(("webhook_old_timestamp", "token_refused", "same_token"), 0.5),
    **dict.fromkeys(("unknown_value", "older_spellings"), 0.2),
}
"""A fault that has few occasions needs a higher probability to happen at all."""
LEFT_OUT = {
    "late_response": "a late 401, 403 or 429 was given before the key was looked at, so a second one is no proof",
}
"""Faults that these tests leave out, and why. Late refusals by the key, and late successes, have tests of their own."""
LIFETIME = 100 * 3600.0
"""Seconds until the bank forgets a key: longer than a caller of this test waits before it resumes."""
VALUES = {"key_forgotten": LIFETIME, "rate_limit": 10, "rate_limit_silent": 20}
FAULTS = [
    Fault(
        kind=kind,
        probability=PROBABILITIES.get(kind, 0.05),
        value=VALUES.get(kind, min(DEFAULT_VALUES.get(kind, 0), 2)),
    )
    for kind in KINDS
    if kind not in LEFT_OUT
]


class Callers:
    """A thousand callers, and the handlers of their webhooks."""

    def __init__(self, lead: LeadClient, clock: ManualClock) -> None:
        self.lead = lead
        self.clock = clock
        self.random = Random(7)  # noqa: S311 - protects nothing
        self.sent: dict[int, str] = {}
        self.unknown: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self.handled: Counter[str] = Counter()
        self.posted: set[str] = set()

    def router(self) -> WebhookRouter:
        """A router whose handler fails now and then."""
        router = WebhookRouter("callers")

        @router.posted(direction="outgoing")
        async def note(event: InstantPaymentEvent) -> None:
            if self.random.random() < 0.1:
                raise OSError("the database was away")
            self.handled[event.id] += 1
            self.posted.add(event.payment.id)

        router.unhandled(self.ignore)
        return router

    async def ignore(self, event: Any) -> None:
        """Do nothing with the other events."""

    async def send(self, number: int, key: str) -> str:
        """Send a payment with a key."""
        payment = await self.lead.instant_payments.send(
            account_number_id="account_number_1",
            amount=1 + number,
            # Every twentieth is returned, so that payments have reasons.
            creditor=Party(name="Alex Smith", account_number="1234567890" if number % 20 else "9900004001"),
            creditor_agent=Agent(routing_number="111000111"),
            idempotency_key=key,
        )
        assert payment.amount == 1 + number
        return payment.id

    async def send_once(self, number: int, limit: asyncio.Semaphore) -> None:
        """Send a payment once, and note the result."""
        async with limit:
            try:
                self.sent[number] = await self.send(number, f"key-{number}")
            except (OutcomeUnknownError, MalformedResponseError) as error:
                self.unknown[number] = str(error.idempotency_key)
            except (APIError, RequestNotSentError) as error:
                self.refused[number] = str(error.idempotency_key)

    async def send_all(self) -> None:
        """Send every payment while the time moves."""
        limit = asyncio.Semaphore(CONCURRENT)
        sending = asyncio.gather(*[self.send_once(number, limit) for number in range(PAYMENTS)])
        while not sending.done():
            await self.clock.advance(0.5)
        await sending


@pytest.mark.asyncio
async def test_a_thousand_orders_through_every_fault_make_a_thousand_payments() -> None:
    """After a refusal nothing was made; after an unknown outcome, the same key leads to the one payment."""
    clock = ManualClock()
    policy = RetryPolicy(base=0.1, cap=1, max_attempts=3)
    rng = Random(7)  # noqa: S311 - protects nothing
    async with (
        Sandbox(clock=clock, delay=1, seed=7, faults=FAULTS) as bank,
        bank.client(retry=policy, clock=clock, rng=rng) as lead,
    ):
        callers = Callers(lead, clock)
        receiver = WebhookReceiver(callers.router(), secrets=bank.webhook_secret, clock=clock)
        async with listening(receiver) as url:
            bank.webhook_url = url
            await callers.send_all()
            made = {payment.amount - 1: payment.id for payment in outgoing(bank)}
            assert len(made) == len(outgoing(bank))
            assert len(callers.sent) + len(callers.unknown) + len(callers.refused) == PAYMENTS
            assert all(made[number] == payment_id for number, payment_id in callers.sent.items())
            assert not made.keys() & callers.refused.keys()
            assert callers.unknown
            assert callers.refused
            sent_first = next(iter(callers.sent))
            keys = callers.unknown | callers.refused
            assert keys == {number: f"key-{number}" for number in keys}
            # Three days of redeliveries, with all faults.
            await clock.advance(72 * 3600)
            bank.faults.clear()
            assert await listed(lead, bank) == {payment.id for payment in outgoing(bank)}
            for number, key in keys.items():
                callers.sent[number] = await callers.send(number, key)
            await clock.advance(72 * 3600)
        assert len(outgoing(bank)) == PAYMENTS == len(set(callers.sent.values()))
        assert all(made[number] == callers.sent[number] for number in callers.unknown if number in made)
        assert set(bank.faults.triggered) == {fault.kind for fault in FAULTS} - {"key_forgotten"}
        assert callers.posted == set(callers.sent.values())
        assert set(callers.handled.values()) == {1}
        assert bank.bank.ledger.total == 0
        # A key protects for as long as the bank keeps it, and no longer.
        bank.faults.add("key_forgotten", value=LIFETIME)
        again = await callers.send(sent_first, f"key-{sent_first}")
        assert again not in callers.sent.values()


async def listed(lead: LeadClient, bank: Sandbox) -> set[str | None]:
    """Walk through the list of payments while one object of each page is unreadable, and collect the IDs."""
    bank.faults.add("unreadable_object")
    pages = [page async for page in lead.instant_payments.list(direction="outgoing", limit=100).pages()]
    assert all(len(page.unreadable) == 1 for page in pages)
    bank.faults.clear()
    ids: set[str | None] = {one.id for page in pages for one in page.objects}
    return ids | {one.id for page in pages for one in page.unreadable}


def outgoing(bank: Sandbox) -> list[Payment]:
    """The outgoing payments in the bank's own store."""
    return [payment for payment in bank.bank.payments.all() if payment.direction == "outgoing"]


@pytest.mark.asyncio
async def test_an_operation_without_a_key_happens_once_through_every_fault() -> None:
    """A caller that asks until the payment shows a return request has made one."""
    clock = ManualClock()
    policy = RetryPolicy(base=0.1, cap=1, max_attempts=3)
    rng = Random(7)  # noqa: S311 - protects nothing
    faults = [fault for fault in FAULTS if not fault.kind.startswith(("webhook", "token", "same"))]
    async with Sandbox(clock=clock, delay=1, seed=7) as bank, bank.client(retry=policy, clock=clock, rng=rng) as lead:
        callers = Callers(lead, clock)
        ids = [await callers.send(number, f"key-{number}") for number in range(1, 20)]
        await clock.advance(60)
        for fault in faults:
            bank.faults.add(fault)
        for payment_id in ids:
            requesting = asyncio.create_task(request_return(lead, payment_id))
            while not requesting.done():
                await clock.advance(0.5)
            await requesting
        bank.faults.clear()
        for payment_id in ids:
            payment = await lead.instant_payments.retrieve(payment_id)
            assert len(payment.return_requests) == 1


async def request_return(lead: LeadClient, payment_id: str) -> None:
    """Request a return until the payment shows the request."""
    while True:
        with suppress(LeadError):
            payment = await lead.instant_payments.retrieve(payment_id)
            if payment.active_return_request is not None:
                return
            await lead.instant_payments.request_return(payment_id, reason="duplication")
