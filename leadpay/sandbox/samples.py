"""A webhook's JSON of every type, with an object such as the bank would show: the bank is played to get there. Pure."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from leadpay.sandbox import constants, serialization
from leadpay.sandbox.bank import Bank
from leadpay.sandbox.models import Party, moment
from leadpay.sandbox.orders import Arrival, Order, Reason
from leadpay.sandbox.scenarios import account_number

ACCOUNT: Final = "account_number_xyz123"
BANK: Final = "111000111"

PREFIX: Final = "instant_payment."

SCENARIOS: Final = {
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
"""What is played for each type and direction: the last event of it is the one that is wanted."""


def full_type(name: str) -> str:
    """The bank's word for a type of event: ``posted`` is ``instant_payment.posted``, an older spelling the current one.

    Raises:
        ValueError: there is no such type.
    """
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
    word = event_type.removeprefix(PREFIX)
    if word == event_type:
        return _other(event_type, now, new_uuid)
    wanted = direction or ("outgoing" if (word, "outgoing") in SCENARIOS else "incoming")
    story = SCENARIOS.get((word, wanted))
    if story is None:
        raise ValueError(f"direction: {event_type} does not occur with {wanted} payments")
    bank = Bank(now=lambda: now, new_uuid=new_uuid, delay=0)
    bank.next_payment(story, direction=wanted)
    return _played(bank, word, wanted, amount)


def _other(event_type: str, now: float, new_uuid: Callable[[], UUID]) -> dict[str, Any]:
    """An event of another product, about which we know no more than that its object has an ID."""
    product = event_type.partition(".")[0]
    return {
        "id": f"event_{new_uuid().hex}",
        "event": event_type,
        "created_at": serialization.stamp(moment(now)),
        "object": {"id": f"{product}_{new_uuid().hex}"},
    }


def _played(bank: Bank, word: str, direction: str, amount: int) -> dict[str, Any]:
    party = Party("Alex Smith", account_number("posted"))
    if direction == "outgoing":
        bank.send(Order(account_number_id=ACCOUNT, amount=amount, creditor=party, creditor_agent=BANK))
    else:
        bank.simulate_incoming(
            Arrival(creditor_account_number_id=ACCOUNT, amount=amount, debtor=party, debtor_agent=BANK)
        )
    bank.run_due()
    [payment] = bank.payments.all()
    if word == "return_request_response_needed":
        bank.simulate_return_request(payment.id, Reason("fraud_suspected"))
    elif word == "return_request_status_updated":
        bank.request_return(payment.id, Reason("fraud_suspected"))
        bank.simulate_answer(payment.id, "accepted")
    bank.run_due()
    [event] = [event for event in bank.events.all() if event.type == PREFIX + word]
    return serialization.event(event, bank.retrieve(payment.id))
