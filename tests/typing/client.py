"""Never run, only read by type checkers: every call, with what it takes and returns.

A line with ``type: ignore`` is an expected error: without the error, the unused comment is one.
"""

from datetime import UTC, datetime
from typing import assert_type

from leadpay import LeadClient
from leadpay.client.pagination import Page
from leadpay.client.retry import RetryPolicy
from leadpay.config import Timeouts
from leadpay.enums import EventType, ReturnReason, Status
from leadpay.models import Agent, Availability, Event, InstantPayment, Party


async def provider(rejected: str | None) -> str:
    """Give a token."""
    return rejected or "token"


async def use_the_payments(lead: LeadClient) -> None:
    """All eight calls."""
    payments = lead.instant_payments
    assert_type(await payments.check_availability("111000111"), Availability)
    payment = await payments.send(
        account_number_id="account_number_1",
        amount=5000,
        creditor=Party(name="Alex Smith", account_number="1234567890"),
        creditor_agent=Agent(routing_number="111000111"),
        description="Invoice 7",
        idempotency_key="mine",
    )
    assert_type(payment, InstantPayment)
    assert_type(await payments.retrieve(payment.id), InstantPayment)
    assert_type(await payments.cancel(payment.id, idempotency_key="mine"), InstantPayment)
    assert_type(await payments.return_payment(payment.id, reason="duplication"), InstantPayment)
    assert_type(await payments.request_return(payment.id, reason="duplication"), InstantPayment)
    rejected = await payments.reject_return_request(payment.id, reason="narrative", additional_information="No.")
    assert_type(rejected, InstantPayment)
    page = await payments.list(direction="outgoing", created_after=datetime.now(UTC), limit=100)
    assert_type(page, Page[InstantPayment])
    assert_type(page.objects, tuple[InstantPayment, ...])
    assert_type(await page.next_page(), Page[InstantPayment] | None)
    async for one in payments.list(status="posted"):
        assert_type(one, InstantPayment)
    async for one in page:
        assert_type(one, InstantPayment)


async def misspell_words(lead: LeadClient) -> None:
    """A type checker refuses what the bank would refuse; the enums are as good as their words."""
    payments, events = lead.instant_payments, lead.events
    assert_type(await payments.return_payment("instant_payment_1", reason=ReturnReason.DUPLICATION), InstantPayment)
    assert_type(await payments.list(status=Status.POSTED), Page[InstantPayment])
    assert_type(await events.list(types=[EventType.ACH_POSTED, "wire.posted"]), Page[Event])
    await payments.return_payment("instant_payment_1", reason="duplicaton")  # type: ignore[arg-type] # the point
    await payments.request_return("instant_payment_1", reason="honor_return_request")  # type: ignore[arg-type] # a return reason
    await payments.reject_return_request("instant_payment_1", reason="per_agent_request")  # type: ignore[arg-type] # the point
    await payments.list(status="postd")  # type: ignore[arg-type] # the point
    await payments.list(direction="sideways")  # type: ignore[arg-type] # the point
    await payments.list(counterparty_status="created")  # type: ignore[arg-type] # the point
    await payments.list(return_request_status="open")  # type: ignore[arg-type] # the point
    await events.list(types=["instant_payment.postd"])  # type: ignore[list-item] # the point


async def use_the_events(lead: LeadClient) -> None:
    """Both calls."""
    assert_type(await lead.events.retrieve("event_1"), Event)
    assert_type(await lead.events.list(types=["instant_payment.posted"]), Page[Event])
    async for event in lead.events.list(object_id="instant_payment_1"):
        assert_type(event, Event)


async def use_the_simulations(lead: LeadClient) -> None:
    """All five; they give nothing."""
    party, agent = Party(name="Alex Smith", account_number="1"), Agent(routing_number="111000111")
    await lead.simulate.incoming(account_number_id="account_number_1", amount=1, debtor=party, debtor_agent=agent)
    await lead.simulate.incoming_return("instant_payment_1", amount=1, reason="duplication")
    await lead.simulate.incoming_return_request("instant_payment_1", reason="duplication")
    await lead.simulate.incoming_return_request_rejection("instant_payment_1", reason="other")
    await lead.simulate.incoming_return_request_acceptance("instant_payment_1")


async def make_clients() -> None:
    """Every way to make one."""
    async with LeadClient(client_id="me", client_secret="s3cret", environment="sandbox") as lead:
        assert_type(lead, LeadClient)
    await LeadClient(token=provider, retry=RetryPolicy(max_attempts=3), timeouts=Timeouts(deadline=20)).aclose()
    assert_type(LeadClient.from_env({}, token="t"), LeadClient)
    # A float is not money, and a key goes by its name.
    await lead.simulate.incoming_return("instant_payment_1", amount=1.5, reason="duplication")  # type: ignore[arg-type] # the point
    await lead.instant_payments.cancel("instant_payment_1", "mine")  # type: ignore[call-arg] # the point
