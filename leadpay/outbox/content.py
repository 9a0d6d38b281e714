"""What an instruction asks the bank for: checked as the client checks it, and known again. Pure."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from leadpay.client import requests
from leadpay.client.requests import ReasonedOperation
from leadpay.client.validation import Validator
from leadpay.converter import decode, encode
from leadpay.models import Agent, InstantPayment, Party
from leadpay.outbox.store import Operation

MAX_REFERENCE: Final = 200
"""Longest reference, in characters: it is an index's key, and part of commands."""

MAX_PRIORITY: Final = 1_000_000
"""Highest priority; the lowest is its negative."""

_REASONED: Final[Mapping[Operation, ReasonedOperation]] = {
    "return": requests.RETURN,
    "request_return": requests.REQUEST_RETURN,
    "reject_return_request": requests.REJECT_RETURN_REQUEST,
}


class NewInstruction(NamedTuple):
    """An instruction before it is queued."""

    reference: str
    operation: Operation
    content: Mapping[str, Any]
    target_payment_id: str | None
    priority: int

    @property
    def account_number_id(self) -> str | None:
        """The account number that a payment is sent from."""
        found: str | None = self.content.get("account_number_id")
        return found

    @property
    def amount(self) -> int | None:
        """Cents of a payment that is sent."""
        found: int | None = self.content.get("amount")
        return found

    def __repr__(self) -> str:
        # The content has names and account numbers, and error trackers show the repr of local variables.
        return f"NewInstruction({self.operation} {self.reference!r})"


def send(
    *,
    reference: str,
    account_number_id: str,
    amount: int,
    creditor: Party,
    creditor_agent: Agent,
    description: str | None,
    currency_code: str,
    priority: int,
) -> NewInstruction:
    """Check a payment as ``lead.instant_payments.send`` does.

    Raises:
        InvalidRequestError: a field is invalid; all are listed.
    """
    _check_reference("send", reference, priority)
    request = requests.send(
        account_number_id=account_number_id,
        amount=amount,
        creditor=creditor,
        creditor_agent=creditor_agent,
        description=description,
        currency_code=currency_code,
        key=_ANY_KEY,
    )
    return NewInstruction(reference, "send", decode(request.body or b""), None, priority)


def about_payment(
    operation: Operation,
    payment_id: str,
    *,
    reference: str,
    reason: str | None = None,
    additional_information: str | None = None,
    priority: int,
) -> NewInstruction:
    """Check an instruction about an existing payment as the client does.

    Raises:
        InvalidRequestError: a field is invalid; all are listed.
    """
    _check_reference(operation, reference, priority)
    if operation == "cancel":
        request = requests.cancel(payment_id, _ANY_KEY)
    else:
        request = requests.reasoned_request(
            _REASONED[operation], payment_id, reason or "", additional_information, _ANY_KEY
        )
    return NewInstruction(reference, operation, decode(request.body or b"{}"), payment_id, priority)


_ANY_KEY: Final = "-"
"""The checks want a key; the outbox makes its own."""


def _check_reference(operation: str, reference: object, priority: object) -> None:
    validator = Validator(operation)
    validator.text("reference", reference, MAX_REFERENCE, 1)
    if isinstance(reference, str) and reference.strip() != reference:
        validator.error("reference", "must have no white space at its ends")
    if type(priority) is not int or abs(priority) > MAX_PRIORITY:
        validator.error("priority", f"must be an int from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    validator.raise_if_invalid()


class Digests(NamedTuple):
    """Digests of one outbox: with its namespace, so that an account number cannot be looked up in a table of hashes."""

    namespace: str

    def __repr__(self) -> str:
        return "Digests()"

    def key(self, reference: str) -> str:
        """Make the idempotency key of a reference: the same one each time, in this outbox and in no other."""
        return self._digest("key", reference)[:32]

    def content(self, new: NewInstruction) -> str:
        """Make the digest by which a reference that is used again is compared."""
        return self._digest(
            "content", new.operation, new.target_payment_id or "", encode(sorted(_flat(new.content).items())).decode()
        )

    def creditor(self, routing_number: str, account_number: str) -> str:
        """Name a counterparty without saying who it is."""
        return self._digest("creditor", routing_number, account_number)

    def fingerprint(self, account_number_id: str, creditor: str, amount: int) -> str:
        """Name what makes two payments look equal: account number, counterparty and amount."""
        return self._digest("payment", account_number_id, creditor, str(amount))

    def of_new(self, new: NewInstruction) -> tuple[str | None, str | None]:
        """Give creditor and fingerprint of a payment that is sent, or None for other operations."""
        if new.operation != "send":
            return None, None
        creditor = self.creditor(
            new.content["creditor_agent"]["routing_number"], new.content["creditor"]["account_number"]
        )
        return creditor, self.fingerprint(new.content["account_number_id"], creditor, new.content["amount"])

    def of_payment(self, payment: InstantPayment) -> str:
        """Give the fingerprint of a payment at the bank."""
        creditor = self.creditor(payment.creditor_agent.routing_number, payment.creditor.account_number)
        return self.fingerprint(payment.account_number_id, creditor, payment.amount)

    def _digest(self, *parts: str) -> str:
        return hmac.new(self.namespace.encode(), encode(parts), hashlib.sha256).hexdigest()


def changed_fields(
    new: NewInstruction, operation: str, target_payment_id: str | None, content: Mapping[str, Any] | None
) -> Sequence[str]:
    """Name the fields in which a reference's content differs from what was queued first."""
    if new.operation != operation:
        return ("operation",)
    found = [] if new.target_payment_id == target_payment_id else ["payment_id"]
    if content is None:
        return found or ["content"]
    before, after = _flat(content), _flat(new.content)
    return found + sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
