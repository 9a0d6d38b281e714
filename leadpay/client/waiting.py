"""When a payment has come so far that a wait for it is over. Pure."""

from typing import Final, Literal, TypeAlias

from leadpay.enums import CounterpartyStatus, Status
from leadpay.errors import InvalidRequestError, Problem
from leadpay.models import InstantPayment

WaitUntil: TypeAlias = Literal["posted", "arrived", "final"]
"""What to wait for. Each wait also ends when it can't be reached any more."""

PAUSES: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
"""How long to wait before each look at a payment, in seconds; the last one is repeated."""


def check_until(until: object) -> None:
    """Check what is waited for.

    Raises:
        InvalidRequestError: it is no word of :data:`WaitUntil`.
    """
    if until not in ("posted", "arrived", "final"):
        raise InvalidRequestError([Problem("until", "must be posted, arrived or final")], operation="wait")


def has_reached(payment: InstantPayment, until: WaitUntil) -> bool:
    """Say whether a wait is over: what it waits for is there, or can't come any more."""
    if payment.status in {Status.REJECTED, Status.CANCELED}:
        return True
    if until == "posted" or payment.has_arrived:
        return payment.funds_moved
    bounced = payment.funds_moved and payment.counterparty_status == CounterpartyStatus.REJECTED
    return bounced and (until == "arrived" or bool(payment.return_payment_ids))


def pause(looks: int) -> float:
    """Say how long to wait after so many looks."""
    return PAUSES[min(looks, len(PAUSES)) - 1]
