"""What a payment says about its instruction: the outcome, and when to look again. Pure."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from leadpay.enums import ResolvedBy, ReturnRequestStatus, Status
from leadpay.models import InstantPayment, ReturnRequest
from leadpay.outbox.store import Operation, Outcome

POLL_PAUSES: Final = (2.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 86_400.0)
"""How long to wait before each look at an accepted payment, in seconds; the last one is repeated. Webhooks tell most;
the bank sends none for a payment that is created or canceled, and one may be lost."""


def next_poll(polls: int) -> float:
    """Say how long to wait for the next look, after so many."""
    return POLL_PAUSES[min(polls, len(POLL_PAUSES) - 1)]


def outcome_of(
    operation: Operation, content: Mapping[str, Any] | None, payment: InstantPayment, *, returned: bool = False
) -> Outcome | None:
    """Say how an instruction ended, judging by its payment; None while that is open. Unknown words leave it open.

    Args:
        operation: what the instruction asked for.
        content: what was sent, to recognise the return request that is ours.
        payment: the payment as it is now.
        returned: whether the money has come back.
    """
    if operation == "reject_return_request":
        return "rejected"
    if operation == "cancel":
        return "canceled" if payment.status == Status.CANCELED else None
    if returned:
        return "returned"
    if operation == "request_return":
        ours = our_return_request(content, payment)
        return "rejected" if ours is not None and ours.status == ReturnRequestStatus.REJECTED else None
    status = payment.counterparty_status if payment.status == Status.POSTED else payment.status
    return None if status is None else _OUTCOMES.get((payment.status == Status.POSTED, str(status)))


_OUTCOMES: Final[Mapping[tuple[bool, str], Outcome]] = {
    (False, "rejected"): "rejected",
    (False, "canceled"): "canceled",
    (True, "posted"): "arrived",
    (True, "rejected"): "rejected",
}
"""Whether our side is posted, and the word that decides: the counterparty's, or else ours."""


def our_return_request(content: Mapping[str, Any] | None, payment: InstantPayment) -> ReturnRequest | None:
    """Find the latest return request with the reason that was sent."""
    reason = None if content is None else content.get("reason")
    fitting = [one for one in payment.return_requests if reason is None or one.reason.current == reason]
    return max(fitting, key=attrgetter("created_at"), default=None)


def was_rejected_by_us(content: Mapping[str, Any] | None, payment: InstantPayment) -> bool:
    """Say whether the latest return request was rejected by the client, with the reason that was sent."""
    latest = max(payment.return_requests, key=attrgetter("created_at"), default=None)
    if latest is None or latest.resolution is None or latest.status != ReturnRequestStatus.REJECTED:
        return False
    reason = None if content is None else content.get("reason")
    given = latest.resolution.rejection_reason
    return latest.resolution.resolved_by == ResolvedBy.CLIENT and given in {None, reason}


def has_our_description(content: Mapping[str, Any] | None, payment: InstantPayment) -> bool:
    """Say whether a payment's description may be the one that was sent; the client compares the other fields.

    Two payments may differ by it alone. Case and spaces may be written in another way, and other letters, too.
    """
    sent = None if content is None else content.get("description")
    found = payment.description
    if sent is None or found is None or not sent.isascii():
        return True
    return bool(sent.casefold().split() == found.casefold().split())


def words(payment: InstantPayment | None) -> str | None:
    """Write a payment's two statuses, for the audit trail."""
    if payment is None:
        return None
    counterparty = payment.counterparty_status
    return f"{payment.status}" if counterparty is None else f"{payment.status}, counterparty {counterparty}"
