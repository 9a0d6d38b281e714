"""Every request that we send, checked before it leaves. Pure."""

from enum import Enum
from typing import Any, Final, NamedTuple

from leadpay.client.validation import MAX_DESCRIPTION, MAX_END_TO_END_ID, Validator
from leadpay.converter import encode
from leadpay.models import Agent, Party

RETURN_REASONS: Final = (
    "honor_return_request",
    "wrong_amount",
    "duplication",
    "initiating_party_unrecognized",
    "fraud_suspected",
    "undue_payment",
    "narrative",
    "customer_requested",
)
"""Why we may return a payment (the bank's page "Return an instant payment")."""
RETURN_REQUEST_REASONS: Final = (
    "creditor_account_number_invalid",
    "wrong_amount",
    "customer_requested",
    "duplication",
    "fraud_suspected",
    "narrative",
    "service_not_rendered",
    "technical_problem",
    "undue_payment",
)
"""Why we may ask for a return (the bank's page "Request return for an instant payment")."""
REJECTION_REASONS: Final = (
    "account_closed",
    "non_sufficient_funds",
    "customer_requested",
    "legal_decision",
    "customer_no_response",
    "returned_previously",
    "narrative",
)
"""Why we may turn a return request down (the bank's page "Reject return request for an instant payment")."""
COUNTERPARTY_REJECTION_REASONS: Final = (*REJECTION_REASONS, "per_agent_request", "other")
"""Why a counterparty may turn ours down, for the simulation."""

TEXT_FOR_RETURN: Final = frozenset({"narrative", "wrong_amount"})
TEXT_FOR_REQUEST: Final = frozenset({"narrative", "wrong_amount", "service_not_rendered"})
TEXT_FOR_REJECTION: Final = frozenset({"narrative"})
NO_TEXT: Final[frozenset[str]] = frozenset()


class RetrySafety(Enum):
    """What may be done after an attempt whose outcome is unknown."""

    SAFE = "safe"
    """Changes nothing: ask again."""
    IDEMPOTENT = "idempotent"
    """The bank knows the key: send again under it. 409 means that it is still in progress."""
    IDEMPOTENT_EXCLUSIVE = "idempotent_exclusive"
    """The bank knows the key: send again under it. 409: another one is active; after silence, perhaps ours."""
    VERIFY_FIRST = "verify_first"
    """Its key is not in the bank's description: what happened is read from the payment before it is sent again."""


_IDEMPOTENT: Final = RetrySafety.IDEMPOTENT  # to look into an enum takes Python 3.11 a fourth of what a request does


class Request(NamedTuple):
    """One call, the same for all its attempts."""

    operation: str
    """The SDK's name of the call, for errors and logs."""
    kind: RetrySafety
    method: str
    path: str
    """With its query, percent-encoded."""
    body: bytes | None = None
    key: str | None = None

    def __repr__(self) -> str:
        # A body has names, account numbers or the client secret, and error trackers write the repr of every local.
        return f"Request({self.operation}: {self.method} {self.path})"


def check_availability(routing_number: str) -> Request:
    """Build the request; it is a POST that changes nothing."""
    checks = Validator("check_availability")
    checks.routing_number(routing_number)
    checks.done()
    path = "/v1/instant_payments/check_availability"
    return Request("check_availability", RetrySafety.SAFE, "POST", path, encode({"routing_number": routing_number}))


def send(
    *,
    account_number_id: str,
    amount: int,
    creditor: Party,
    creditor_agent: Agent,
    description: str | None,
    currency_code: str,
    key: str,
) -> Request:
    """Build the request that sends a payment."""
    checks = Validator("send", key)
    checks.id("account_number_id", account_number_id, "account_number")
    checks.amount(amount)
    if currency_code != "USD":
        checks.refuse("currency_code", "must be USD")
    body = {
        "account_number_id": account_number_id,
        "amount": amount,
        "currency_code": "USD",
        "creditor": checks.party("creditor", creditor),
        "creditor_agent": checks.agent("creditor_agent", creditor_agent),
    }
    if description is not None:
        checks.text("description", description, MAX_DESCRIPTION)
        body["description"] = description
    checks.done()
    # As a NamedTuple's own __new__ does it, in half the time: no request is made more often, nor waited for more.
    return tuple.__new__(Request, ("send", _IDEMPOTENT, "POST", "/v1/instant_payments", encode(body), key))


def retrieve(payment_id: str) -> Request:
    """Build the request that reads a payment."""
    checks = Validator("retrieve")
    checks.id("payment_id", payment_id, "instant_payment")
    checks.done()
    return Request("retrieve", RetrySafety.SAFE, "GET", f"/v1/instant_payments/{payment_id}")


def retrieve_event(event_id: str) -> Request:
    """Build the request that reads an event."""
    checks = Validator("retrieve")
    checks.id("event_id", event_id, "event")
    checks.done()
    return Request("retrieve", RetrySafety.SAFE, "GET", f"/v1/event/{event_id}")


def cancel(payment_id: str, key: str) -> Request:
    """Build the request that cancels a payment; the key goes along, since one of the bank's pages asks for it."""
    checks = Validator("cancel", key)
    checks.id("payment_id", payment_id, "instant_payment")
    checks.done()
    return Request("cancel", RetrySafety.VERIFY_FIRST, "POST", f"/v1/instant_payments/{payment_id}/cancel", None, key)


class ReasonedOperation(NamedTuple):
    """One of the three calls that give a reason."""

    operation: str
    kind: RetrySafety
    path: str
    allowed: tuple[str, ...]
    needs_text: frozenset[str]


RETURN: Final = ReasonedOperation("return", RetrySafety.IDEMPOTENT, "return", RETURN_REASONS, TEXT_FOR_RETURN)
REQUEST_RETURN: Final = ReasonedOperation(
    "request_return", RetrySafety.IDEMPOTENT_EXCLUSIVE, "request_return", RETURN_REQUEST_REASONS, TEXT_FOR_REQUEST
)
REJECT_RETURN_REQUEST: Final = ReasonedOperation(
    "reject_return_request", RetrySafety.VERIFY_FIRST, "reject_return_request", REJECTION_REASONS, TEXT_FOR_REJECTION
)


def reasoned_request(
    kind: ReasonedOperation, payment_id: str, reason: str, additional_information: str | None, key: str
) -> Request:
    """Build the request that returns, asks for a return, or turns such a wish down."""
    checks = Validator(kind.operation, key)
    checks.id("payment_id", payment_id, "instant_payment")
    body = checks.reason(reason, kind.allowed, additional_information, kind.needs_text)
    checks.done()
    path = f"/v1/instant_payments/{payment_id}/{kind.path}"
    return Request(kind.operation, kind.kind, "POST", path, encode(body), key)


class Simulation(NamedTuple):
    """One of the four simulations about an existing payment."""

    path: str
    kind: RetrySafety
    allowed: tuple[str, ...]
    needs_text: frozenset[str]


INCOMING_RETURN: Final = Simulation("incoming_return", RetrySafety.IDEMPOTENT, RETURN_REASONS, TEXT_FOR_RETURN)
INCOMING_RETURN_REQUEST: Final = Simulation(
    "incoming_return_request", RetrySafety.IDEMPOTENT, RETURN_REQUEST_REASONS, TEXT_FOR_REQUEST
)
INCOMING_REJECTION: Final = Simulation(
    "incoming_return_request_rejection", RetrySafety.VERIFY_FIRST, COUNTERPARTY_REJECTION_REASONS, NO_TEXT
)
INCOMING_ACCEPTANCE: Final = Simulation("incoming_return_request_acceptance", RetrySafety.VERIFY_FIRST, (), NO_TEXT)


def simulate_incoming(
    *,
    account_number_id: str,
    amount: int,
    debtor: Party,
    debtor_agent: Agent,
    description: str | None,
    end_to_end_id: str | None,
    key: str,
) -> Request:
    """Build the request that lets a payment come in."""
    checks = Validator("incoming", key)
    checks.id("account_number_id", account_number_id, "account_number")
    checks.amount(amount)
    body = {
        "creditor_account_number_id": account_number_id,
        "amount": amount,
        "currency_code": "USD",
        "debtor": checks.party("debtor", debtor),
        "debtor_agent": checks.agent("debtor_agent", debtor_agent),
    }
    if description is not None:
        checks.text("description", description, MAX_DESCRIPTION)
        body["description"] = description
    if end_to_end_id is not None:
        checks.text("end_to_end_id", end_to_end_id, MAX_END_TO_END_ID)
        body["payment_identifiers"] = {"end_to_end_id": end_to_end_id}
    checks.done()
    return Request(
        "incoming", RetrySafety.IDEMPOTENT, "POST", "/v1/simulate/instant_payments/incoming", encode(body), key
    )


def simulate(
    kind: Simulation,
    payment_id: str,
    *,
    key: str,
    amount: int | None = None,
    reason: str | None = None,
    additional_information: str | None = None,
) -> Request:
    """Build the request that lets something happen to a payment."""
    checks = Validator(kind.path, key)
    checks.id("payment_id", payment_id, "instant_payment")
    body: dict[str, Any] = {}
    if kind.allowed:
        body = checks.reason(reason, kind.allowed, additional_information, kind.needs_text)
    if kind is INCOMING_RETURN:
        checks.amount(amount)
        body["amount"] = amount
    checks.done()
    path = f"/v1/simulate/instant_payments/{payment_id}/{kind.path}"
    return Request(kind.path, kind.kind, "POST", path, encode(body) if body else None, key)
