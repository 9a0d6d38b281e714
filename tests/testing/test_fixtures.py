"""The pytest plugin in this process: what each fixture does."""

import asyncio
from typing import Any

import pytest

from leadpay import Defer, Event, InstantPaymentEvent, LeadClient, WebhookReceiver, WebhookRouter
from leadpay.converter import structure_event
from leadpay.errors import SignatureError
from leadpay.models import Agent, Party
from leadpay.testing import SECRET, Deliver, Sign, TestBank, TestClock
from leadpay.webhooks import HEADER, verify
from leadpay.webhooks.aiohttp import listening

ORDER: dict[str, Any] = {
    "account_number_id": "account_number_1",
    "amount": 5000,
    "creditor": Party(name="Alex Smith", account_number="1234567890"),
    "creditor_agent": Agent(routing_number="111000111"),
}


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def router(heard: list[str]) -> WebhookRouter:
    made = WebhookRouter("tested")

    @made.on("instant_payment.*")
    async def hear(event: Event) -> None:
        assert isinstance(event, InstantPaymentEvent)
        heard.append(f"{event.type.rpartition('.')[2]} {event.payment.amount}")

    return made


@pytest.mark.asyncio
async def test_the_client_pays_at_the_bank_and_time_is_a_dial(
    leadpay_client: LeadClient,
    leadpay_sandbox: TestBank,
    leadpay_clock: TestClock,
    router: WebhookRouter,
    heard: list[str],
) -> None:
    """Faults cost no time, holds can be let go, and webhooks reach a receiver that shares the clock."""
    receiver = WebhookReceiver(router, secrets=SECRET, clock=leadpay_clock)
    async with listening(receiver) as url:
        leadpay_sandbox.webhook_url = url
        leadpay_sandbox.fault("answer_lost:send:3")
        leadpay_sandbox.next_payment("held")
        leadpay_sandbox.next_payment("held")
        one, other = [await leadpay_client.instant_payments.send(**ORDER) for _ in range(2)]
        await leadpay_clock.advance(10)
        leadpay_sandbox.release(one.id)
        leadpay_sandbox.refuse(other.id)
        await leadpay_sandbox.settled()
        await leadpay_clock.advance(10)
        assert leadpay_sandbox.sandbox.faults.drawn == {"answer_lost": 3}
    assert heard == [
        "under_review 5000",
        "under_review 5000",
        "posted 5000",
        "rejected 5000",
        "counterparty_status_updated 5000",
    ]
    assert leadpay_sandbox.webhook_url == url
    async with leadpay_sandbox.client() as another:
        assert (await another.instant_payments.retrieve(one.id)).has_arrived


@pytest.mark.asyncio
async def test_an_event_is_delivered_to_a_router(
    leadpay_deliver: Deliver, router: WebhookRouter, heard: list[str]
) -> None:
    """Its handlers run each time, in the order that was asked for; what they raised is in the outcome."""
    outcome = await leadpay_deliver("posted", router, direction="incoming", amount=7)
    assert outcome.succeeded
    outcomes = await leadpay_deliver(["posted", "rejected"], router, times=2, reordered=True, amount=8)
    assert len(outcomes) == 4
    assert heard == ["posted 7", "rejected 8", "rejected 8", "posted 8", "posted 8"]

    @router.posted
    async def later(event: InstantPaymentEvent) -> None:
        raise Defer(1)

    outcome = await leadpay_deliver("posted", router)
    assert [result.status for result in outcome.results] == ["succeeded", "deferred"]


@pytest.mark.asyncio
async def test_an_event_is_delivered_to_a_receiver_or_a_url(
    leadpay_deliver: Deliver, leadpay_clock: TestClock, router: WebhookRouter, heard: list[str]
) -> None:
    """Signed with the common secret; a duplicate is what it is in production."""
    receiver = WebhookReceiver(router, secrets=SECRET, clock=leadpay_clock)
    event = leadpay_deliver.event("posted", direction="incoming", amount=9, debtor__name="Jo Doe")
    assert await leadpay_deliver(event, receiver, times=2) == [200, 200]
    assert await leadpay_deliver(structure_event(event), receiver) == 200
    assert heard == ["posted 9"]
    assert event["object"]["debtor"]["name"] == "Jo Doe"
    async with listening(receiver) as url:
        assert await leadpay_deliver("rejected", url, rejection__details="No") == 200


def test_a_signature_is_the_banks(leadpay_sign: Sign, leadpay_clock: TestClock) -> None:
    """With another secret or an age if wanted; no event loop is needed."""
    now = int(leadpay_clock.now() * 1000)
    verify(b"{}", leadpay_sign(b"{}")[HEADER], SECRET, now_ms=now)
    with pytest.raises(SignatureError, match="mismatch"):
        verify(b"{}", leadpay_sign(b"{}", secret="other")[HEADER], SECRET, now_ms=now)
    with pytest.raises(SignatureError, match="too_old"):
        verify(b"{}", leadpay_sign(b"{}", age=600)[HEADER], SECRET, now_ms=now)


def test_the_bank_is_up_without_an_event_loop(
    leadpay_client: LeadClient, leadpay_sandbox: TestBank, leadpay_clock: TestClock
) -> None:
    """A test that is not asynchronous can run one of its own."""

    async def use() -> bool:
        async with leadpay_client:
            return (await leadpay_client.instant_payments.check_availability("111000111")).available

    assert asyncio.run(use())
    assert leadpay_sandbox.url.startswith("http://127.0.0.1:")
    assert leadpay_sandbox.webhook_secret == SECRET
    assert leadpay_clock.monotonic() == 0
