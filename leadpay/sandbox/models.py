"""What the pretend bank keeps: accounts, payments, return requests, events. Frozen; a change makes a new record."""

from datetime import UTC, datetime
from typing import NamedTuple

import attrs


def moment(seconds: float) -> datetime:
    """A time as the bank keeps it: UTC, to the millisecond, so that what it prints is what it compares.

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
    """An account number at Lead that the client may use. What is on it, the ledger knows."""

    id: str
    """The account number object's ID."""
    account_id: str
    holder: Party


class Rejection(NamedTuple):
    """Why a payment was rejected."""

    rejected_by: str
    reason: str
    details: str


class ReturnDetails(NamedTuple):
    """Why a payment is a return."""

    reason: str
    details: str | None


@attrs.frozen(kw_only=True)
class Resolution:
    """How a return request ended."""

    resolved_at: datetime
    resolved_by: str
    rejection_reason: str | None = None
    rejection_details: str | None = None


@attrs.frozen(kw_only=True)
class ReturnRequest:
    """Somebody wants a payment back."""

    status: str
    reason: str
    details: str | None
    created_at: datetime
    deadline: datetime
    resolution: Resolution | None = None

    @property
    def is_active(self) -> bool:
        """Whether it waits for an answer."""
        return self.status in {"pending", "response_needed"}


@attrs.frozen(kw_only=True)
class Payment:
    """A payment as it stands."""

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
    return_: ReturnDetails | None = None
    rejection: Rejection | None = None
    original_payment_id: str | None = None
    return_payment_ids: tuple[str, ...] = ()
    return_requests: tuple[ReturnRequest, ...] = ()
    created_at: datetime
    updated_at: datetime

    @property
    def active_request(self) -> ReturnRequest | None:
        """The return request that waits for an answer; there is one at most, and it is the last."""
        last = self.return_requests[-1] if self.return_requests else None
        return last if last is not None and last.is_active else None

    @property
    def holds(self) -> bool:
        """Whether it moves, or may yet move, money for good: neither side has turned it down."""
        return self.status not in {"rejected", "canceled"} and self.counterparty_status != "rejected"


@attrs.frozen
class Event:
    """Something that happened to a payment."""

    id: str
    type: str
    payment_id: str
    created_at: datetime
