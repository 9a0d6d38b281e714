"""Every status, reason and scenario that a partner can meet, through the public client, with its webhooks."""

from typing import Any

import pytest

from leadpay import (
    CounterpartyStatus,
    Direction,
    NotFoundError,
    RejectedBy,
    RejectionReason,
    ResolvedBy,
    ReturnReason,
    ReturnRequestReason,
    ReturnRequestRejectionReason,
    ReturnRequestStatus,
    Status,
    UnprocessableEntityError,
)
from leadpay.client.requests import (
    COUNTERPARTY_REJECTION_REASONS,
    REJECTION_REASONS,
    RETURN_REASONS,
    RETURN_REQUEST_REASONS,
)
from leadpay.sandbox import account_number
from tests.support.scene import Scene

POSTED, ARRIVED, REJECTED = "posted", "counterparty_status_updated", "rejected"


def values(enum: type) -> list[str]:
    """The values of an enum in their current spelling."""
    return sorted({str(getattr(one, "current", one)) for one in enum})  # type: ignore[attr-defined]  # any enum


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", values(RejectionReason))
@pytest.mark.parametrize(
    ("scenario", "by"),
    [
        ("rejected_by_lead", RejectedBy.LEAD),
        ("rejected_by_network", RejectedBy.NETWORK),
        ("rejected_by_counterparty", RejectedBy.COUNTERPARTY),
        ("returned", RejectedBy.COUNTERPARTY),
    ],
)
async def test_a_payment_is_rejected_for_every_reason(scene: Scene, scenario: str, by: RejectedBy, reason: str) -> None:
    """Three parties can reject it before it posts; the counterparty also afterwards, and then returns it."""
    payment = await scene.send_to(account_number(f"{scenario}:{reason}"))
    assert payment.rejection is not None
    assert (payment.rejection.rejected_by, payment.rejection.reason) == (by, reason)
    if scenario != "returned":
        assert payment.status == Status.REJECTED
        assert scene.new_events() == [REJECTED]
    else:
        assert payment.status == Status.POSTED
        assert payment.counterparty_status == CounterpartyStatus.REJECTED
        [returned] = [await scene.lead.instant_payments.retrieve(one) for one in payment.return_payment_ids]
        assert (returned.direction, returned.status, returned.amount) == (
            Direction.INCOMING,
            Status.POSTED,
            payment.amount,
        )
        assert returned.is_return
        assert returned.original_payment_id == payment.id
        assert scene.new_events() == [POSTED, ARRIVED, POSTED]
    assert scene.bank.bank.ledger.total == 0


@pytest.mark.asyncio
async def test_account_number_controls_reject_an_incoming_payment(scene: Scene) -> None:
    """Lead rejects it, and the reason says so."""
    payment = await scene.receive(account_number("rejected_by_lead:restricted_by_account_number_controls"))
    assert payment.rejection is not None
    assert (payment.direction, payment.status) == (Direction.INCOMING, Status.REJECTED)
    assert payment.rejection.rejected_by == RejectedBy.LEAD
    assert payment.rejection.reason == RejectionReason.RESTRICTED_BY_ACCOUNT_NUMBER_CONTROLS
    assert scene.new_events() == [REJECTED]


@pytest.mark.asyncio
async def test_an_unwanted_payment_is_returned_and_the_request_accepted(scene: Scene) -> None:
    """A new payment goes out, and Lead accepts the request once it has validated the return."""
    incoming = await scene.receive()
    await scene.lead.simulate.incoming_return_request(incoming.id, reason="fraud_suspected")
    await scene.clock.advance(60)
    returned = await scene.lead.instant_payments.return_payment(incoming.id, reason="honor_return_request")
    assert (returned.is_return, returned.direction, returned.status) == (True, Direction.OUTGOING, Status.CREATED)
    assert (await scene.lead.instant_payments.retrieve(incoming.id)).active_return_request is not None
    latest = await scene.after(incoming)
    [request] = latest.return_requests
    assert request.status == ReturnRequestStatus.ACCEPTED
    assert request.resolution is not None
    assert request.resolution.resolved_by == ResolvedBy.CLIENT
    assert scene.new_events() == [POSTED, "return_request_response_needed", POSTED, ARRIVED]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scenario", "statuses", "webhooks"),
    [
        ("posted", (Status.POSTED, CounterpartyStatus.POSTED), [POSTED, ARRIVED]),
        ("reviewed", (Status.POSTED, CounterpartyStatus.POSTED), ["under_review", POSTED, ARRIVED]),
        ("held", (Status.UNDER_REVIEW, None), ["under_review"]),
        ("reviewed_there", (Status.POSTED, CounterpartyStatus.POSTED), [POSTED, ARRIVED, ARRIVED]),
        ("held_there", (Status.POSTED, CounterpartyStatus.UNDER_REVIEW), [POSTED, ARRIVED]),
        ("unsubmitted", (Status.CREATED, None), []),
        ("silent", (Status.POSTED, None), [POSTED]),
        ("reviewed_and_rejected:other", (Status.REJECTED, None), ["under_review", REJECTED]),
        (
            "reviewed_and_returned:other",
            (Status.POSTED, CounterpartyStatus.REJECTED),
            [POSTED, ARRIVED, ARRIVED, POSTED],
        ),
    ],
)
async def test_a_payments_statuses_come_with_their_webhooks(
    scene: Scene, scenario: str, statuses: tuple[Status, CounterpartyStatus | None], webhooks: list[str]
) -> None:
    """No other webhook follows within a day."""
    payment = await scene.after(await scene.send_to(account_number(scenario)), 80_000)
    assert (payment.status, payment.counterparty_status) == statuses
    assert scene.new_events() == webhooks


@pytest.mark.asyncio
async def test_creating_and_canceling_emit_no_event(scene: Scene) -> None:
    """The bank has no event type for either."""
    payment = await scene.send_to(account_number("unsubmitted"))
    assert (await scene.lead.instant_payments.cancel(payment.id)).status == Status.CANCELED
    await scene.clock.advance(60)
    assert scene.new_events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", RETURN_REASONS)
async def test_a_return_carries_every_reason_that_can_be_given(scene: Scene, reason: Any) -> None:
    """Those that we send and those that we receive show the reason and its details."""
    incoming, sent = await scene.receive(), await scene.send_to("1234567890")
    ours = await scene.lead.instant_payments.return_payment(
        incoming.id, reason=reason, additional_information="As agreed"
    )
    await scene.lead.simulate.incoming_return(sent.id, amount=1, reason=reason, additional_information="As agreed")
    sent = await scene.after(sent)
    theirs = await scene.lead.instant_payments.retrieve(sent.return_payment_ids[0])
    for payment in (ours, theirs):
        assert payment.return_ is not None
        assert (payment.return_.reason, payment.return_.details) == (reason, "As agreed")
    assert (theirs.amount, theirs.direction) == (1, Direction.INCOMING)


@pytest.mark.asyncio
async def test_a_return_may_have_reasons_that_we_cannot_give(scene: Scene) -> None:
    """A test can choose every reason of the bank's list."""
    for reason in values(ReturnReason):
        sent = await scene.send_to("1234567890")
        scene.bank.return_payment(sent.id, reason)
        sent = await scene.after(sent)
        returned = await scene.lead.instant_payments.retrieve(sent.return_payment_ids[0])
        assert returned.return_ is not None
        assert (returned.return_.reason, returned.amount) == (reason, sent.amount)
    with pytest.raises(ValueError, match="reason"):
        scene.bank.return_payment(sent.id, "bad_mood")


@pytest.mark.asyncio
async def test_every_reason_of_a_return_request_can_be_received(scene: Scene) -> None:
    """One payment gets one request after the other, and we reject them for each of our reasons."""
    incoming = await scene.receive()
    scene.new_events()
    for number, reason in enumerate(RETURN_REQUEST_REASONS):
        await scene.lead.simulate.incoming_return_request(incoming.id, reason=reason, additional_information="Please")
        incoming = await scene.after(incoming)
        active = incoming.active_return_request
        assert active is not None
        assert (active.reason, active.status) == (reason, ReturnRequestStatus.RESPONSE_NEEDED)
        refusal = REJECTION_REASONS[number % len(REJECTION_REASONS)]
        rejected = await scene.lead.instant_payments.reject_return_request(
            incoming.id, reason=refusal, additional_information="Sorry"
        )
        resolution = rejected.return_requests[-1].resolution
        assert resolution is not None
        assert (resolution.resolved_by, resolution.rejection_reason) == (ResolvedBy.CLIENT, refusal)
        assert scene.new_events() == ["return_request_response_needed"]
    for unsent in set(values(ReturnRequestReason)) - set(RETURN_REQUEST_REASONS):
        other = await scene.receive()
        scene.bank.request_return(other.id, unsent)
        active = (await scene.after(other)).active_return_request
        assert active is not None
        assert active.reason == unsent
    with pytest.raises(ValueError, match="reason"):
        scene.bank.request_return(incoming.id, "bad_mood")


@pytest.mark.asyncio
async def test_our_return_requests_get_every_resolution(scene: Scene) -> None:
    """The counterparty rejects for each of its reasons, then accepts; only resolutions emit an event."""
    sent = await scene.send_to("1234567890")
    scene.new_events()
    for number, refusal in enumerate(COUNTERPARTY_REJECTION_REASONS):
        reason = RETURN_REQUEST_REASONS[number % len(RETURN_REQUEST_REASONS)]
        requested = await scene.lead.instant_payments.request_return(
            sent.id, reason=reason, additional_information="Why"
        )
        assert requested.return_requests[-1].status == ReturnRequestStatus.PENDING
        assert requested.return_requests[-1].deadline is not None
        await scene.lead.simulate.incoming_return_request_rejection(sent.id, reason=refusal)
        sent = await scene.after(sent)
        resolution = sent.return_requests[-1].resolution
        assert resolution is not None
        assert (resolution.resolved_by, resolution.rejection_reason) == (ResolvedBy.COUNTERPARTY, refusal)
        assert scene.new_events() == ["return_request_status_updated"]
    await scene.lead.instant_payments.request_return(sent.id, reason="duplication")
    await scene.lead.simulate.incoming_return_request_acceptance(sent.id)
    sent = await scene.after(sent)
    assert sent.return_requests[-1].status == ReturnRequestStatus.ACCEPTED
    assert scene.new_events() == ["return_request_status_updated"]
    assert sorted(COUNTERPARTY_REJECTION_REASONS) == values(ReturnRequestRejectionReason)


@pytest.mark.asyncio
async def test_lead_rejects_a_request_without_a_response(scene: Scene) -> None:
    """It does so at midnight in New York after the deadline, and emits no event."""
    incoming = await scene.receive()
    await scene.lead.simulate.incoming_return_request(incoming.id, reason="fraud_suspected")
    latest = await scene.after(incoming)
    assert latest.active_return_request is not None
    scene.new_events()
    assert latest.active_return_request.deadline is not None
    left = latest.active_return_request.deadline.timestamp() - scene.clock.now()
    assert (await scene.after(incoming, left)).active_return_request is not None
    latest = await scene.after(incoming, 1801)
    resolution = latest.return_requests[0].resolution
    assert resolution is not None
    assert (resolution.resolved_by, resolution.rejection_reason) == (
        ResolvedBy.LEAD,
        ReturnRequestRejectionReason.CUSTOMER_NO_RESPONSE,
    )
    assert scene.new_events() == []


@pytest.mark.asyncio
async def test_what_is_not_allowed_is_refused_in_the_banks_values(scene: Scene) -> None:
    """A posted payment cannot be canceled, an outgoing one not returned, an unknown one not found."""
    sent = await scene.send_to("1234567890")
    with pytest.raises(UnprocessableEntityError):
        await scene.lead.instant_payments.cancel(sent.id)
    with pytest.raises(UnprocessableEntityError):
        await scene.lead.instant_payments.return_payment(sent.id, reason="duplication")
    with pytest.raises(NotFoundError):
        await scene.lead.instant_payments.retrieve("instant_payment_nowhere")
