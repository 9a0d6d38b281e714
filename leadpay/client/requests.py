"""Every request that we send, checked before it leaves. Pure."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from leadpay.client.validation import MAX_DESCRIPTION, MAX_END_TO_END_ID, ROUTING_NUMBER, Validator
from leadpay.converter import encode
from leadpay.enums import ReturnReasonLiteral, ReturnRequestReasonLiteral, ReturnRequestRejectionReasonLiteral
from leadpay.errors import InvalidRequestError, Problem
from leadpay.models import Agent, Party

RETURN_REASONS: Final[tuple[ReturnReasonLiteral, ...]] = get_args(ReturnReasonLiteral)
"""Why we may return a payment (the bank's page "Return an instant payment")."""
RETURN_REQUEST_REASONS: Final[tuple[ReturnRequestReasonLiteral, ...]] = get_args(ReturnRequestReasonLiteral)
"""Why we may request a return (the bank's page "Request return for an instant payment")."""
REJECTION_REASONS: Final[tuple[ReturnRequestRejectionReasonLiteral, ...]] = get_args(
    ReturnRequestRejectionReasonLiteral
)
"""Why we may reject a return request (the bank's page "Reject return request for an instant payment")."""
CounterpartyRejectionReasonLiteral: TypeAlias = Literal[
    ReturnRequestRejectionReasonLiteral, "per_agent_request", "other"
]
"""Why a counterparty may reject our return request, for the simulation."""
COUNTERPARTY_REJECTION_REASONS: Final[tuple[CounterpartyRejectionReasonLiteral, ...]] = get_args(
    CounterpartyRejectionReasonLiteral
)
"""The same reasons, for the check before the request leaves."""

TEXT_FOR_RETURN: Final = frozenset({"narrative", "wrong_amount"})
TEXT_FOR_REQUEST: Final = frozenset({"narrative", "wrong_amount", "service_not_rendered"})
TEXT_FOR_REJECTION: Final = frozenset({"narrative"})
NO_TEXT: Final[frozenset[str]] = frozenset()


class RetrySafety(Enum):
    """What may be done after an attempt whose outcome is unknown."""

    SAFE = "safe"
    """Changes nothing: ask again."""
    IDEMPOTENT = "idempotent"
    """The bank knows the key: send again with it. 409 means that it is still in progress."""
    IDEMPOTENT_EXCLUSIVE = "idempotent_exclusive"
    """The bank knows the key: send again with it. 409 means that another one is active, or after no response, ours."""
    VERIFY_FIRST = "verify_first"
    """Its key is not in the bank's description: the payment is read before the write is sent again."""


class Request(NamedTuple):
    """The request of one call, the same for all its attempts."""

    operation: str
    """The SDK's name of the call, for errors and logs."""
    safety: RetrySafety
    method: str
    path: str
    """With its query, percent-encoded."""
    body: bytes | None = None
    key: str | None = None
    expected: Mapping[str, object] = MappingProxyType({})
    """What the result must show, by the path of its field: a response to another question does not count."""
    payment_id: str | None = None
    """The payment that it is about, if there is one already."""
    wants_new_connection: bool = False
    """Whether it must be the first request of its connection, so that the response can be to no other."""

    def __repr__(self) -> str:
        # A body has names, account numbers or the client secret, and error trackers show the repr of local variables.
        # A query can have an account number.
        return f"Request({self.operation}: {self.method} {self.path.partition('?')[0]})"


def check_availability(routing_number: str) -> Request:
    """Build the request; it is a POST that changes nothing."""
    validator = Validator("check_availability")
    if not isinstance(routing_number, str) or not ROUTING_NUMBER.fullmatch(routing_number):
        validator.error("routing_number", "must be a string of nine digits")
    validator.raise_if_invalid()
    path = "/v1/instant_payments/check_availability"
    body = {"routing_number": routing_number}
    return Request("check_availability", RetrySafety.SAFE, "POST", path, encode(body), expected=body)


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
    validator = Validator("send", key)
    validator.id("account_number_id", account_number_id, "account_number")
    validator.amount(amount)
    if currency_code != "USD":
        validator.error("currency_code", "must be USD")
    body = {
        "account_number_id": account_number_id,
        "amount": amount,
        "currency_code": "USD",
        "creditor": validator.party("creditor", creditor),
        "creditor_agent": validator.agent("creditor_agent", creditor_agent),
    }
    if description is not None:
        validator.text("description", description, MAX_DESCRIPTION)
        body["description"] = description
    validator.raise_if_invalid()
    expected = {
        "direction": "outgoing",
        "account_number_id": account_number_id,
        "amount": amount,
        "currency_code": "USD",
        "creditor.name": creditor.name,
        "creditor.account_number": creditor.account_number,
        "creditor_agent.routing_number": creditor_agent.routing_number,
        "related_objects.original_payment_id": None,
    }
    return Request("send", RetrySafety.IDEMPOTENT, "POST", "/v1/instant_payments", encode(body), key, expected)


def resuming_without_key(operation: str) -> InvalidRequestError:
    """Make the error of a call that resumes no key: with a new one, a second payment could be sent."""
    return InvalidRequestError(
        [Problem("resuming", "needs the idempotency_key of the call to resume")], operation=operation
    )


def retrieve(payment_id: str) -> Request:
    """Build the request that reads a payment."""
    validator = Validator("retrieve")
    validator.id("payment_id", payment_id, "instant_payment")
    validator.raise_if_invalid()
    path = f"/v1/instant_payments/{payment_id}"
    return Request("retrieve", RetrySafety.SAFE, "GET", path, expected={"id": payment_id}, payment_id=payment_id)


def retrieve_event(event_id: str) -> Request:
    """Build the request that reads an event."""
    validator = Validator("retrieve")
    validator.id("event_id", event_id, "event")
    validator.raise_if_invalid()
    return Request("retrieve", RetrySafety.SAFE, "GET", f"/v1/event/{event_id}", expected={"id": event_id})


def cancel(payment_id: str, key: str) -> Request:
    """Build the request that cancels a payment; it has a key, since one of the bank's pages asks for it."""
    validator = Validator("cancel", key)
    validator.id("payment_id", payment_id, "instant_payment")
    validator.raise_if_invalid()
    path = f"/v1/instant_payments/{payment_id}/cancel"
    expected = {"id": payment_id, "status": "canceled"}
    return Request("cancel", RetrySafety.VERIFY_FIRST, "POST", path, None, key, expected, payment_id)


class ReasonedOperation(NamedTuple):
    """One of the three calls that take a reason."""

    name: str
    safety: RetrySafety
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
    operation: ReasonedOperation,
    payment_id: str,
    reason: str,
    additional_information: str | None,
    key: str,
    *,
    unlisted: bool = False,
) -> Request:
    """Build the request that returns a payment, requests a return, or rejects a return request."""
    validator = Validator(operation.name, key, unlisted=unlisted)
    validator.id("payment_id", payment_id, "instant_payment")
    body = validator.reason(reason, operation.allowed, additional_information, operation.needs_text)
    validator.raise_if_invalid()
    path = f"/v1/instant_payments/{payment_id}/{operation.path}"
    # A return is a new payment, which names the one that it returns.
    is_return = operation is RETURN
    expected = {"related_objects.original_payment_id" if is_return else "id": payment_id}
    return Request(operation.name, operation.safety, "POST", path, encode(body), key, expected, payment_id)


class Simulation(NamedTuple):
    """One of the four simulations about an existing payment."""

    path: str
    safety: RetrySafety
    allowed: tuple[str, ...]
    needs_text: frozenset[str]


# The bank requires no text here, whatever the reason.
INCOMING_RETURN: Final = Simulation("incoming_return", RetrySafety.IDEMPOTENT, RETURN_REASONS, NO_TEXT)
INCOMING_RETURN_REQUEST: Final = Simulation(
    "incoming_return_request", RetrySafety.IDEMPOTENT, RETURN_REQUEST_REASONS, NO_TEXT
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
    """Build the request that simulates an incoming payment."""
    validator = Validator("incoming", key)
    validator.id("account_number_id", account_number_id, "account_number")
    validator.amount(amount)
    body = {
        "creditor_account_number_id": account_number_id,
        "amount": amount,
        "currency_code": "USD",
        "debtor": validator.party("debtor", debtor),
        "debtor_agent": validator.agent("debtor_agent", debtor_agent),
    }
    if description is not None:
        validator.text("description", description, MAX_DESCRIPTION)
        body["description"] = description
    if end_to_end_id is not None:
        validator.text("end_to_end_id", end_to_end_id, MAX_END_TO_END_ID)
        body["payment_identifiers"] = {"end_to_end_id": end_to_end_id}
    validator.raise_if_invalid()
    return Request(
        "incoming", RetrySafety.IDEMPOTENT, "POST", "/v1/simulate/instant_payments/incoming", encode(body), key
    )


def simulate(
    simulation: Simulation,
    payment_id: str,
    *,
    key: str,
    amount: int | None = None,
    reason: str | None = None,
    additional_information: str | None = None,
    unlisted: bool = False,
) -> Request:
    """Build the request that simulates what a counterparty does with a payment."""
    validator = Validator(simulation.path, key, unlisted=unlisted)
    validator.id("payment_id", payment_id, "instant_payment")
    body: dict[str, Any] = {}
    if simulation.allowed:
        body = validator.reason(reason, simulation.allowed, additional_information, simulation.needs_text)
    if simulation is INCOMING_RETURN:
        validator.amount(amount)
        body["amount"] = amount
    validator.raise_if_invalid()
    path = f"/v1/simulate/instant_payments/{payment_id}/{simulation.path}"
    return Request(simulation.path, simulation.safety, "POST", path, encode(body) if body else None, key)
