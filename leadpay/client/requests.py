"""Every request that we send, checked before it leaves. Pure.

The limits are the bank's, from the pages of the single operations. A request with several faults names them all.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

import orjson

from leadpay.enums import OLDER_SPELLINGS
from leadpay.errors import InvalidRequestError, Problem
from leadpay.models import MAX_AMOUNT, Agent, Party

MAX_DESCRIPTION: Final = 140
"""Longest description, and longest ``additional_information``, in characters."""
MAX_KEY: Final = 255
"""Longest idempotency key, in characters."""
MAX_LIMIT: Final = 100
"""Most objects on one page of a list."""
MAX_END_TO_END_ID: Final = 35
"""Longest end-to-end ID, in characters."""
NAME_LENGTHS: Final = (3, 35)
"""Shortest and longest name of a party, in characters."""
ACCOUNT_NUMBER_LENGTHS: Final = (1, 17)
"""Shortest and longest account number, in characters."""

_IDS: Final[Mapping[str, re.Pattern[str]]] = {
    kind: re.compile(kind + r"_\w+", re.ASCII) for kind in ("instant_payment", "account", "account_number", "event")
}
_OBJECT_ID: Final = re.compile(
    r"(ach|wire|account_number|internal_transfer|disbursement|instant_payment)_\w+", re.ASCII
)
# Nine digits and nothing more: the bank's own example, 111000111, fails the check-digit rule.
_ROUTING_NUMBER: Final = re.compile(r"[0-9]{9}", re.ASCII)
_KEY: Final = re.compile(rf"[\x21-\x7e](?:[\x20-\x7e]{{0,{MAX_KEY - 2}}}[\x21-\x7e])?")

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


class Kind(Enum):
    """What may be done after an attempt whose outcome is unknown."""

    READ = "read"
    """Changes nothing: ask again."""
    KEYED = "keyed"
    """The bank knows the key: send again under it. 409 means that it is still in progress."""
    EXCLUSIVE = "exclusive"
    """The bank knows the key: send again under it. 409: another one is active; after silence, perhaps ours."""
    SETTLED = "settled"
    """Its key is not in the bank's description: what happened is read from the payment before it is sent again."""


class Request(NamedTuple):
    """One call, the same for all its attempts."""

    operation: str
    """The SDK's name of the call, for errors and logs."""
    kind: Kind
    method: str
    path: str
    """With its query, percent-encoded."""
    body: bytes | None = None
    key: str | None = None


class Checks:
    """Gathers what is wrong with a request."""

    __slots__ = ("_key", "_operation", "_problems")

    def __init__(self, operation: str, key: str | None = None) -> None:
        self._operation = operation
        self._key = key
        self._problems: list[Problem] = []
        if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
            self._key = None
            self.refuse("idempotency_key", f"must be 1 to {MAX_KEY} printable ASCII characters, no space at the ends")

    def refuse(self, parameter: str, reason: str) -> None:
        """Note one fault."""
        self._problems.append(Problem(parameter, reason))

    def done(self) -> None:
        """Raise InvalidRequestError if there was a fault."""
        if self._problems:
            raise InvalidRequestError(self._problems, operation=self._operation, idempotency_key=self._key)

    def amount(self, value: object) -> None:
        """Check an amount in cents."""
        if type(value) is not int:
            self.refuse("amount", f"must be an int of cents, not {type(value).__name__}")
        elif not 0 <= value <= MAX_AMOUNT:
            self.refuse("amount", "must be from 0 to 2**63 - 1 cents")

    def id(self, parameter: str, value: object, kind: str) -> None:
        """Check an ID before it becomes part of a URL."""
        if not isinstance(value, str) or not _IDS[kind].fullmatch(value):
            self.refuse(parameter, f"must be an ID such as {kind}_xyz123")

    def object_id(self, value: object) -> None:
        """Check the ID of an object of any of the products that have events."""
        if not isinstance(value, str) or not _OBJECT_ID.fullmatch(value):
            self.refuse("object_id", "must be an object's ID such as instant_payment_xyz123")

    def text(self, parameter: str, value: object, longest: int, shortest: int = 0) -> None:
        """Check a text by its length."""
        if not isinstance(value, str):
            self.refuse(parameter, f"must be a string, not {type(value).__name__}")
        elif not shortest <= len(value) <= longest:
            self.refuse(parameter, f"must have {f'{shortest} to ' if shortest else 'at most '}{longest} characters")
        elif not value.isascii() and not _is_unicode(value):
            self.refuse(parameter, "must be valid Unicode")

    def routing_number(self, parameter: str, value: object) -> None:
        """Check for nine digits."""
        if not isinstance(value, str) or not _ROUTING_NUMBER.fullmatch(value):
            self.refuse(parameter, "must be a string of nine digits")

    def party(self, parameter: str, value: object) -> dict[str, Any]:
        """Check a debtor or a creditor, and write it."""
        if not isinstance(value, Party):
            self.refuse(parameter, f"must be a Party, not {type(value).__name__}")
            return {}
        self.text(f"{parameter}.name", value.name, NAME_LENGTHS[1], NAME_LENGTHS[0])
        self.text(f"{parameter}.account_number", value.account_number, ACCOUNT_NUMBER_LENGTHS[1], 1)
        return {"name": value.name, "account_number": value.account_number}

    def agent(self, parameter: str, value: object) -> dict[str, Any]:
        """Check a financial institution, and write it."""
        if not isinstance(value, Agent):
            self.refuse(parameter, f"must be an Agent, not {type(value).__name__}")
            return {}
        self.routing_number(f"{parameter}.routing_number", value.routing_number)
        return {"routing_number": value.routing_number}

    def reason(
        self, value: object, allowed: tuple[str, ...], additional_information: object, needs_text: frozenset[str]
    ) -> dict[str, Any]:
        """Check a reason and its text, and write them."""
        body: dict[str, Any] = {"reason": value}
        if not isinstance(value, str) or value not in allowed:
            current = OLDER_SPELLINGS.get(value, "") if isinstance(value, str) else ""
            hint = f"; the older spelling is now {current}" if current in allowed else ""
            self.refuse("reason", f"must be one of {', '.join(allowed)}{hint}")
        elif value in needs_text and not additional_information:
            self.refuse("additional_information", f"is required with the reason {value}")
        if additional_information is not None:
            self.text("additional_information", additional_information, MAX_DESCRIPTION)
            body["additional_information"] = additional_information
        return body


def _is_unicode(value: str) -> bool:
    """A lone surrogate has no bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_availability(routing_number: str) -> Request:
    """Build the request; it is a POST that changes nothing."""
    checks = Checks("check_availability")
    checks.routing_number("routing_number", routing_number)
    checks.done()
    path = "/v1/instant_payments/check_availability"
    return Request("check_availability", Kind.READ, "POST", path, orjson.dumps({"routing_number": routing_number}))


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
    checks = Checks("send", key)
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
    return Request("send", Kind.KEYED, "POST", "/v1/instant_payments", orjson.dumps(body), key)


def retrieve(payment_id: str) -> Request:
    """Build the request that reads a payment."""
    checks = Checks("retrieve")
    checks.id("payment_id", payment_id, "instant_payment")
    checks.done()
    return Request("retrieve", Kind.READ, "GET", f"/v1/instant_payments/{payment_id}")


def retrieve_event(event_id: str) -> Request:
    """Build the request that reads an event."""
    checks = Checks("retrieve")
    checks.id("event_id", event_id, "event")
    checks.done()
    return Request("retrieve", Kind.READ, "GET", f"/v1/event/{event_id}")


def cancel(payment_id: str, key: str) -> Request:
    """Build the request that cancels a payment; the key goes along, since one of the bank's pages asks for it."""
    checks = Checks("cancel", key)
    checks.id("payment_id", payment_id, "instant_payment")
    checks.done()
    return Request("cancel", Kind.SETTLED, "POST", f"/v1/instant_payments/{payment_id}/cancel", None, key)


class Answer(NamedTuple):
    """One of the three calls that give a reason."""

    operation: str
    kind: Kind
    path: str
    allowed: tuple[str, ...]
    needs_text: frozenset[str]


RETURN: Final = Answer("return_", Kind.KEYED, "return", RETURN_REASONS, TEXT_FOR_RETURN)
REQUEST_RETURN: Final = Answer(
    "request_return", Kind.EXCLUSIVE, "request_return", RETURN_REQUEST_REASONS, TEXT_FOR_REQUEST
)
REJECT_RETURN_REQUEST: Final = Answer(
    "reject_return_request", Kind.SETTLED, "reject_return_request", REJECTION_REASONS, TEXT_FOR_REJECTION
)


def answer(kind: Answer, payment_id: str, reason: str, additional_information: str | None, key: str) -> Request:
    """Build the request that returns, asks for a return, or turns such a wish down."""
    checks = Checks(kind.operation, key)
    checks.id("payment_id", payment_id, "instant_payment")
    body = checks.reason(reason, kind.allowed, additional_information, kind.needs_text)
    checks.done()
    path = f"/v1/instant_payments/{payment_id}/{kind.path}"
    return Request(kind.operation, kind.kind, "POST", path, orjson.dumps(body), key)


class Simulation(NamedTuple):
    """One of the four simulations about an existing payment."""

    path: str
    kind: Kind
    allowed: tuple[str, ...]
    needs_text: frozenset[str]


INCOMING_RETURN: Final = Simulation("incoming_return", Kind.KEYED, RETURN_REASONS, TEXT_FOR_RETURN)
INCOMING_RETURN_REQUEST: Final = Simulation(
    "incoming_return_request", Kind.KEYED, RETURN_REQUEST_REASONS, TEXT_FOR_REQUEST
)
INCOMING_REJECTION: Final = Simulation(
    "incoming_return_request_rejection", Kind.SETTLED, COUNTERPARTY_REJECTION_REASONS, NO_TEXT
)
INCOMING_ACCEPTANCE: Final = Simulation("incoming_return_request_acceptance", Kind.SETTLED, (), NO_TEXT)


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
    checks = Checks("incoming", key)
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
    return Request("incoming", Kind.KEYED, "POST", "/v1/simulate/instant_payments/incoming", orjson.dumps(body), key)


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
    checks = Checks(kind.path, key)
    checks.id("payment_id", payment_id, "instant_payment")
    body: dict[str, Any] = {}
    if kind.allowed:
        body = checks.reason(reason, kind.allowed, additional_information, kind.needs_text)
    if kind is INCOMING_RETURN:
        checks.amount(amount)
        body["amount"] = amount
    checks.done()
    path = f"/v1/simulate/instant_payments/{payment_id}/{kind.path}"
    return Request(kind.path, kind.kind, "POST", path, orjson.dumps(body) if body else None, key)
