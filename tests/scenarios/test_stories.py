"""Every status, reason and story that a partner can meet, through the public client, with its webhooks."""

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


def words(enum: type) -> list[str]:
    """The words of an enum in their current spelling."""
    return sorted({str(getattr(one, "current", one)) for one in enum})  # type: ignore[attr-defined]  # any enum


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", words(RejectionReason))
@pytest.mark.parametrize(
    ("story", "by"),
    [
        ("rejected_by_lead", RejectedBy.LEAD),
        ("rejected_by_network", RejectedBy.NETWORK),
        ("rejected_by_counterparty", RejectedBy.COUNTERPARTY),
        ("returned", RejectedBy.COUNTERPARTY),
    ],
)
async def test_a_payment_is_rejected_for_every_reason(scene: Scene, story: str, by: RejectedBy, reason: str) -> None:
    """Stories one to three: before posting by three parties, and after it, when the money comes back by itself."""
    payment = await scene.send_to(account_number(f"{story}:{reason}"))
    assert payment.rejection is not None
    assert (payment.rejection.rejected_by, payment.rejection.reason) == (by, reason)
    if story != "returned":
        assert payment.status == Status.REJECTED
        assert scene.heard() == [REJECTED]
    else:
        assert payment.status == Status.POSTED
        assert payment.counterparty_status == CounterpartyStatus.REJECTED
        [back] = [await scene.lead.instant_payments.retrieve(one) for one in payment.return_payment_ids]
        assert (back.direction, back.status, back.amount) == (Direction.INCOMING, Status.POSTED, payment.amount)
        assert back.is_return
        assert back.original_payment_id == payment.id
        assert scene.heard() == [POSTED, ARRIVED, POSTED]
    assert scene.bank.bank.ledger.total == 0


@pytest.mark.asyncio
async def test_an_incoming_payment_is_refused_by_account_number_controls(scene: Scene) -> None:
    """The fourth story."""
    payment = await scene.receive(account_number("rejected_by_lead:restricted_by_account_number_controls"))
    assert payment.rejection is not None
    assert (payment.direction, payment.status) == (Direction.INCOMING, Status.REJECTED)
    assert payment.rejection.rejected_by == RejectedBy.LEAD
    assert payment.rejection.reason == RejectionReason.RESTRICTED_BY_ACCOUNT_NUMBER_CONTROLS
    assert scene.heard() == [REJECTED]


@pytest.mark.asyncio
async def test_an_unwanted_payment_is_returned_and_the_request_accepted(scene: Scene) -> None:
    """The fifth story: a new payment goes out, and the request is accepted once Lead has validated it."""
    came = await scene.receive()
    await scene.lead.simulate.incoming_return_request(came.id, reason="fraud_suspected")
    await scene.wait()
    returned = await scene.lead.instant_payments.return_payment(came.id, reason="honor_return_request")
    assert (returned.is_return, returned.direction, returned.status) == (True, Direction.OUTGOING, Status.CREATED)
    assert (await scene.lead.instant_payments.retrieve(came.id)).active_return_request is not None
    latest = await scene.after(came)
    [request] = latest.return_requests
    assert request.status == ReturnRequestStatus.ACCEPTED
    assert request.resolution is not None
    assert request.resolution.resolved_by == ResolvedBy.CLIENT
    assert scene.heard() == [POSTED, "return_request_response_needed", POSTED, ARRIVED]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("story", "statuses", "webhooks"),
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
    scene: Scene, story: str, statuses: tuple[Status, CounterpartyStatus | None], webhooks: list[str]
) -> None:
    """And with no others, however long one waits."""
    payment = await scene.after(await scene.send_to(account_number(story)), 80_000)
    assert (payment.status, payment.counterparty_status) == statuses
    assert scene.heard() == webhooks


@pytest.mark.asyncio
async def test_creating_and_canceling_are_not_told(scene: Scene) -> None:
    """The lifecycle has no webhook for either."""
    payment = await scene.send_to(account_number("unsubmitted"))
    assert (await scene.lead.instant_payments.cancel(payment.id)).status == Status.CANCELED
    await scene.wait()
    assert scene.heard() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", RETURN_REASONS)
async def test_a_return_carries_every_reason_that_can_be_given(scene: Scene, reason: Any) -> None:
    """Ours out, and theirs in."""
    came, sent = await scene.receive(), await scene.send_to("1234567890")
    ours = await scene.lead.instant_payments.return_payment(came.id, reason=reason, additional_information="As agreed")
    await scene.lead.simulate.incoming_return(sent.id, amount=1, reason=reason, additional_information="As agreed")
    sent = await scene.after(sent)
    theirs = await scene.lead.instant_payments.retrieve(sent.return_payment_ids[0])
    for payment in (ours, theirs):
        assert payment.return_ is not None
        assert (payment.return_.reason, payment.return_.details) == (reason, "As agreed")
    assert (theirs.amount, theirs.direction) == (1, Direction.INCOMING)


@pytest.mark.asyncio
async def test_a_return_may_carry_reasons_that_we_cannot_give(scene: Scene) -> None:
    """Every reason on the bank's list is reached; those are asked for from code."""
    for reason in words(ReturnReason):
        sent = await scene.send_to("1234567890")
        scene.bank.give_back(sent.id, reason)
        sent = await scene.after(sent)
        back = await scene.lead.instant_payments.retrieve(sent.return_payment_ids[0])
        assert back.return_ is not None
        assert (back.return_.reason, back.amount) == (reason, sent.amount)
    with pytest.raises(ValueError, match="reason"):
        scene.bank.give_back(sent.id, "bad_mood")


@pytest.mark.asyncio
async def test_every_reason_of_a_return_request_can_be_met(scene: Scene) -> None:
    """Theirs, turned down for each of our reasons; one after the other on one payment."""
    came = await scene.receive()
    scene.heard()
    for number, reason in enumerate(RETURN_REQUEST_REASONS):
        await scene.lead.simulate.incoming_return_request(came.id, reason=reason, additional_information="Please")
        came = await scene.after(came)
        active = came.active_return_request
        assert active is not None
        assert (active.reason, active.status) == (reason, ReturnRequestStatus.RESPONSE_NEEDED)
        refusal = REJECTION_REASONS[number % len(REJECTION_REASONS)]
        answered = await scene.lead.instant_payments.reject_return_request(
            came.id, reason=refusal, additional_information="Sorry"
        )
        resolution = answered.return_requests[-1].resolution
        assert resolution is not None
        assert (resolution.resolved_by, resolution.rejection_reason) == (ResolvedBy.CLIENT, refusal)
        assert scene.heard() == ["return_request_response_needed"]
    for unsent in set(words(ReturnRequestReason)) - set(RETURN_REQUEST_REASONS):
        other = await scene.receive()
        scene.bank.ask_back(other.id, unsent)
        active = (await scene.after(other)).active_return_request
        assert active is not None
        assert active.reason == unsent
    with pytest.raises(ValueError, match="reason"):
        scene.bank.ask_back(came.id, "bad_mood")


@pytest.mark.asyncio
async def test_our_return_requests_meet_every_answer(scene: Scene) -> None:
    """ApiProblem for each reason of theirs, and accepted in the end; each answer is told, the asking is not."""
    sent = await scene.send_to("1234567890")
    scene.heard()
    for number, refusal in enumerate(COUNTERPARTY_REJECTION_REASONS):
        reason = RETURN_REQUEST_REASONS[number % len(RETURN_REQUEST_REASONS)]
        asked = await scene.lead.instant_payments.request_return(sent.id, reason=reason, additional_information="Why")
        assert asked.return_requests[-1].status == ReturnRequestStatus.PENDING
        assert asked.return_requests[-1].deadline is not None
        await scene.lead.simulate.incoming_return_request_rejection(sent.id, reason=refusal)
        sent = await scene.after(sent)
        resolution = sent.return_requests[-1].resolution
        assert resolution is not None
        assert (resolution.resolved_by, resolution.rejection_reason) == (ResolvedBy.COUNTERPARTY, refusal)
        assert scene.heard() == ["return_request_status_updated"]
    await scene.lead.instant_payments.request_return(sent.id, reason="duplication")
    await scene.lead.simulate.incoming_return_request_acceptance(sent.id)
    sent = await scene.after(sent)
    assert sent.return_requests[-1].status == ReturnRequestStatus.ACCEPTED
    assert scene.heard() == ["return_request_status_updated"]
    assert sorted(COUNTERPARTY_REJECTION_REASONS) == words(ReturnRequestRejectionReason)


@pytest.mark.asyncio
async def test_a_request_that_nobody_answers_is_rejected_by_lead(scene: Scene) -> None:
    """At midnight in New York after its deadline; no webhook tells."""
    came = await scene.receive()
    await scene.lead.simulate.incoming_return_request(came.id, reason="fraud_suspected")
    latest = await scene.after(came)
    assert latest.active_return_request is not None
    scene.heard()
    assert latest.active_return_request.deadline is not None
    left = latest.active_return_request.deadline.timestamp() - scene.clock.now()
    assert (await scene.after(came, left)).active_return_request is not None
    latest = await scene.after(came, 1801)
    resolution = latest.return_requests[0].resolution
    assert resolution is not None
    assert (resolution.resolved_by, resolution.rejection_reason) == (
        ResolvedBy.LEAD,
        ReturnRequestRejectionReason.CUSTOMER_NO_RESPONSE,
    )
    assert scene.heard() == []


@pytest.mark.asyncio
async def test_what_is_not_allowed_is_refused_in_the_banks_words(scene: Scene) -> None:
    """A posted payment cannot be canceled, an outgoing one not returned, an unknown one not found."""
    sent = await scene.send_to("1234567890")
    with pytest.raises(UnprocessableEntityError):
        await scene.lead.instant_payments.cancel(sent.id)
    with pytest.raises(UnprocessableEntityError):
        await scene.lead.instant_payments.return_payment(sent.id, reason="duplication")
    with pytest.raises(NotFoundError):
        await scene.lead.instant_payments.retrieve("instant_payment_nowhere")
