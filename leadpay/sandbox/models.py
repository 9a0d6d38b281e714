"""The records that the sandbox stores, and the orders that change them. Frozen, and free of JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import attrs


def utc_datetime(seconds: float) -> datetime:
    """A time as the bank stores it: UTC, cut to milliseconds, so that it compares what it prints.

    Args:
        seconds: since 1970.
    """
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)


@attrs.frozen
class Party:
    """A person or a business; not shown in a repr."""

    name: str = attrs.field(repr=False)
    account_number: str = attrs.field(repr=False)


@attrs.frozen
class Account:
    """An account number at Lead that the client may use. Its balance is in the ledger."""

    id: str
    """The account number object's ID."""
    account_id: str
    holder: Party


@attrs.frozen(kw_only=True)
class AccountNumber:
    """An account number's current state."""

    account: Account
    status: str = "active"
    controls: Mapping[str, Any] = attrs.field(repr=False)
    """The JSON of the controls of each product, by name."""
    metadata: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    client_customer_id: str | None = None
    entity_id: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> str:
        """The account number object's ID."""
        return self.account.id


@attrs.frozen(kw_only=True)
class AccountNumberChanges:
    """What of an account number is to change; what is left out stays."""

    controls: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    metadata: Mapping[str, str] | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class AccountNumberOrder:
    """An account number that the client asks for."""

    account_id: str
    client_customer_id: str | None = None
    entity_id: str | None = None
    changes: AccountNumberChanges = AccountNumberChanges()


class Rejection(NamedTuple):
    """Why a payment was rejected."""

    rejected_by: str
    reason: str
    details: str


class Reason(NamedTuple):
    """Why a payment is returned, a return is requested, or a return request is rejected."""

    reason: str
    details: str | None = None
    """The text that the API takes as ``additional_information`` and shows as ``details``."""


@attrs.frozen(kw_only=True)
class Resolution:
    """How a return request ended."""

    resolved_at: datetime
    resolved_by: str
    rejection_reason: str | None = None
    rejection_details: str | None = None


@attrs.frozen(kw_only=True)
class ReturnRequest:
    """A request of one side that the other side return a payment."""

    status: str
    reason: str
    details: str | None
    created_at: datetime
    deadline: datetime
    resolution: Resolution | None = None

    @property
    def is_active(self) -> bool:
        """Whether it is still open."""
        return self.status in {"pending", "response_needed"}


@attrs.frozen(kw_only=True)
class Payment:
    """A payment's current state."""

    id: str
    account: Account
    direction: str
    status: str
    amount: int
    """Cents."""
    debtor: Party
    debtor_agent: str
    creditor: Party
    creditor_agent: str
    end_to_end_id: str
    uetr: str
    transaction_id: str | None = None
    description: str | None = attrs.field(default=None, repr=False)
    counterparty_status: str | None = None
    return_: Reason | None = None
    rejection: Rejection | None = None
    original_payment_id: str | None = None
    return_payment_ids: tuple[str, ...] = ()
    return_requests: tuple[ReturnRequest, ...] = ()
    created_at: datetime
    updated_at: datetime

    @property
    def active_request(self) -> ReturnRequest | None:
        """The return request that is open; at most one is, and it is the last."""
        last = self.return_requests[-1] if self.return_requests else None
        return last if last is not None and last.is_active else None

    @property
    def is_effective(self) -> bool:
        """Whether it has moved funds, or still can: neither side has rejected or canceled it."""
        return self.status not in {"rejected", "canceled"} and self.counterparty_status != "rejected"


@attrs.frozen
class Event:
    """A change of a payment, or of an account number, that the client is told of."""

    id: str
    type: str
    object_id: str
    created_at: datetime


@attrs.frozen(kw_only=True)
class PaymentOrder:
    """An outgoing payment that the client asks for."""

    account_number_id: str
    amount: int
    """Cents."""
    creditor: Party
    creditor_agent: str
    description: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class IncomingOrder:
    """An incoming payment that is to be simulated."""

    creditor_account_number_id: str
    amount: int
    """Cents."""
    debtor: Party
    debtor_agent: str
    description: str | None = attrs.field(default=None, repr=False)
    end_to_end_id: str | None = None
