"""A webhook's JSON of every type, with an object as the bank would show it: made by a bank in memory. Pure."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from leadpay.sandbox import constants, serialization
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.models import AccountNumberOrder, IncomingOrder, Party, PaymentOrder, Reason, utc_datetime
from leadpay.sandbox.scenarios import account_number

ACCOUNT_NUMBER_ID: Final = "account_number_xyz123"
ROUTING_NUMBER: Final = "111000111"

PREFIX: Final = "instant_payment."

OUTCOMES: Final = {
    ("under_review", "outgoing"): "held",
    ("posted", "outgoing"): "silent",
    ("rejected", "outgoing"): "rejected_by_counterparty:account_closed",
    ("counterparty_status_updated", "outgoing"): "posted",
    ("return_request_status_updated", "outgoing"): "posted",
    ("under_review", "incoming"): "held",
    ("posted", "incoming"): "posted",
    ("rejected", "incoming"): "rejected_by_lead:restricted_by_account_number_controls",
    ("return_request_response_needed", "incoming"): "posted",
}
"""The outcome that leads to the event, by its type and direction."""


def full_type(name: str) -> str:
    """The full name of an event type.

    ``posted``, and ``.posted`` as in the bank's guides, are ``instant_payment.posted``; an older spelling is the
    current one.

    Raises:
        ValueError: there is no such type.
    """
    name = name.removeprefix(".")
    name = name if "." in name else PREFIX + name
    if name.endswith("_status_update"):
        name += "d"
    if name not in constants.EVENT_TYPES:
        raise ValueError(f"type: must be one of {', '.join(constants.EVENT_TYPES)}")
    return name


def sample(
    name: str, *, now: float, new_uuid: Callable[[], UUID], direction: str | None = None, amount: int = 5000
) -> dict[str, Any]:
    """Make an event.

    Args:
        name: its type, with or without ``instant_payment.``.
        now: seconds since 1970.
        new_uuid: makes the identifiers.
        direction: of its payment; if left out, the one in which the type occurs, or ``outgoing`` if both.
        amount: of its payment, in cents.

    Raises:
        ValueError: there is no such type, or it does not occur in that direction.
    """
    event_type = full_type(name)
    short = event_type.removeprefix(PREFIX)
    if event_type.startswith("account_number."):
        return _about_account_number(event_type, now, new_uuid)
    if short == event_type:
        return _other(event_type, now, new_uuid)
    direction = direction or ("outgoing" if (short, "outgoing") in OUTCOMES else "incoming")
    outcome = OUTCOMES.get((short, direction))
    if outcome is None:
        raise ValueError(f"direction: {event_type} does not occur with {direction} payments")
    bank = Bank(now=lambda: now, new_uuid=new_uuid, delay=0)
    bank.next_payment(outcome, direction=direction)
    return _emitted(bank, short, direction, amount)


def _about_account_number(event_type: str, now: float, new_uuid: Callable[[], UUID]) -> dict[str, Any]:
    bank = Bank(now=lambda: now, new_uuid=new_uuid, delay=0)
    number = bank.account_numbers.create(AccountNumberOrder(account_id="account_xyz123"))
    [event] = bank.events.all()
    return {**serialization.event(event, number), "event": event_type}


def _other(event_type: str, now: float, new_uuid: Callable[[], UUID]) -> dict[str, Any]:
    """An event of another product. All that we know of its object is that it has an ID."""
    product = event_type.partition(".")[0]
    return {
        "id": f"event_{new_uuid().hex}",
        "event": event_type,
        "created_at": serialization.timestamp(utc_datetime(now)),
        "object": {"id": f"{product}_{new_uuid().hex}"},
    }


def _emitted(bank: Bank, short: str, direction: str, amount: int) -> dict[str, Any]:
    """The event of that type that a bank emits about a payment."""
    party = Party("Alex Smith", account_number("posted"))
    if direction == "outgoing":
        bank.send(
            PaymentOrder(
                account_number_id=ACCOUNT_NUMBER_ID, amount=amount, creditor=party, creditor_agent=ROUTING_NUMBER
            )
        )
    else:
        bank.simulate_incoming(
            IncomingOrder(
                creditor_account_number_id=ACCOUNT_NUMBER_ID, amount=amount, debtor=party, debtor_agent=ROUTING_NUMBER
            )
        )
    bank.run_due()
    [payment] = bank.payments.all()
    if short == "return_request_response_needed":
        bank.simulate_return_request(payment.id, Reason("fraud_suspected"))
    elif short == "return_request_status_updated":
        bank.request_return(payment.id, Reason("fraud_suspected"))
        bank.simulate_resolution(payment.id, "accepted")
    bank.run_due()
    [event] = [event for event in bank.events.all() if event.type == PREFIX + short]
    return serialization.event(event, bank.retrieve(payment.id))
