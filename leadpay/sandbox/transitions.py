"""Which changes of a payment the bank allows, and what a return request is after one. Pure.

``returned`` is how many cents of a payment have been returned, or are being returned; 1 for the return of a payment of
0 cents.
"""

from datetime import datetime

import attrs

from leadpay.sandbox.business_days import incoming_deadline, outgoing_deadline
from leadpay.sandbox.models import Payment, Reason, Resolution, ReturnRequest
from leadpay.sandbox.problems import ApiProblem, not_allowed


def check_cancel(payment: Payment) -> None:
    """Only an outgoing payment that has not been submitted can be canceled.

    Raises:
        ApiProblem: 400, it is incoming or a return; 422, it is past ``created`` and ``under_review``.
    """
    if payment.direction != "outgoing" or payment.return_ is not None:
        detail = "Only an outgoing payment that is no return can be canceled."
        raise ApiProblem(400, "operation_not_allowed", detail, instance=payment.id)
    if payment.status not in {"created", "under_review"}:
        raise not_allowed(payment.id, "The payment has been submitted already, or has ended.")


def check_return(original: Payment, returned: int) -> None:
    """Only a posted incoming payment that is no return can be returned, and only once.

    Raises:
        ApiProblem: 422, it cannot be returned.
    """
    if original.direction != "incoming" or original.status != "posted" or original.return_ is not None:
        raise not_allowed(original.id, "Only a posted incoming payment that is no return can be returned.")
    if returned:
        raise not_allowed(original.id, "The payment has been returned already.")


def check_outgoing_request(payment: Payment, returned: int) -> None:
    """A return can be requested of a posted outgoing payment of which something is left, one request at a time.

    Raises:
        ApiProblem: 409, a request is active; 422, no return can be requested.
    """
    if payment.direction != "outgoing" or payment.status != "posted" or payment.return_ is not None:
        raise not_allowed(payment.id, "A return can be requested of a posted outgoing payment only.")
    if payment.active_request is not None:
        raise ApiProblem(409, "return_request_active", "A return request is active.", instance=payment.id)
    if not payment.is_effective or (payment.amount and returned >= payment.amount):
        raise not_allowed(payment.id, "The payment was returned already, or is about to be.")


def check_request_rejection(payment: Payment, returned: int) -> None:
    """An active return request of an incoming payment can be rejected while no return is being made.

    Raises:
        ApiProblem: 422, there is no such request, or a return is being made.
    """
    if payment.direction != "incoming" or payment.active_request is None:
        raise not_allowed(payment.id, "There is no active return request.")
    if returned:
        raise not_allowed(payment.id, "The payment is being returned, which accepts the request.")


def check_incoming_return(payment: Payment, amount: int, returned: int) -> None:
    """A counterparty can return a posted outgoing payment, up to the amount that is left.

    Raises:
        ApiProblem: 422, it cannot be returned, or not by so much.
    """
    if payment.direction != "outgoing" or payment.status != "posted" or payment.return_ is not None:
        raise not_allowed(payment.id, "Only a posted outgoing payment that is no return can be returned.")
    if amount > payment.amount - returned:
        raise not_allowed(payment.id, "The amount is more than what is left of the original payment.")


def check_incoming_request(payment: Payment, returned: int) -> None:
    """A counterparty can request the return of a posted incoming payment, one request at a time.

    Raises:
        ApiProblem: 422, its return cannot be requested.
    """
    if payment.direction != "incoming" or payment.status != "posted" or payment.return_ is not None:
        detail = "Only the return of a posted incoming payment that is no return can be requested."
        raise not_allowed(payment.id, detail)
    if payment.active_request is not None or returned:
        raise not_allowed(payment.id, "A return request is active, or the payment has been returned.")


def check_resolution(payment: Payment) -> None:
    """A counterparty can accept or reject a return request that we sent and that is pending.

    Raises:
        ApiProblem: 422, there is none.
    """
    if payment.direction != "outgoing" or payment.active_request is None:
        raise not_allowed(payment.id, "No return request of yours is pending.")


def outgoing_request(why: Reason, now: datetime) -> ReturnRequest:
    """A return request that the client sends."""
    deadline = outgoing_deadline(now)
    return ReturnRequest(status="pending", reason=why.reason, details=why.details, created_at=now, deadline=deadline)


def incoming_request(why: Reason, now: datetime) -> ReturnRequest:
    """A return request that the counterparty sends."""
    deadline = incoming_deadline(now).respond_by
    return ReturnRequest(
        status="response_needed", reason=why.reason, details=why.details, created_at=now, deadline=deadline
    )


def resolved(
    requests: tuple[ReturnRequest, ...], status: str, by: str, now: datetime, why: Reason | None = None
) -> tuple[ReturnRequest, ...]:
    """The return requests of a payment once the last one, which is active, is accepted or rejected.

    Args:
        requests: all of them.
        status: ``accepted`` or ``rejected``.
        by: ``client``, ``counterparty`` or ``lead``.
        now: the time of the resolution.
        why: the reason of a rejection.
    """
    resolution = Resolution(
        resolved_at=now,
        resolved_by=by,
        rejection_reason=None if why is None else why.reason,
        rejection_details=None if why is None else why.details,
    )
    *earlier, active = requests
    return (*earlier, attrs.evolve(active, status=status, resolution=resolution))
