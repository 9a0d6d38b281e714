"""Payments and events in the order in which they were created, and how the bank lists them. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import attrs

from leadpay.sandbox.models import AccountNumber, Event, Payment
from leadpay.sandbox.problems import InvalidParameter, parameters_invalid

EVENTS_KEPT: Final = timedelta(days=90)
"""How long an event can be retrieved and listed. From the bank's page on events."""

DEFAULT_LIMIT: Final = 10
"""How many objects a page has unless the caller sets a limit. From the bank's description."""


class TimeRange(NamedTuple):
    """The ``created_at[...]`` filters of a list."""

    after: datetime | None = None
    on_or_after: datetime | None = None
    before: datetime | None = None
    on_or_before: datetime | None = None

    def contains(self, time: datetime) -> bool:
        """Whether a time is in the range."""
        return (
            (self.after is None or time > self.after)
            and (self.on_or_after is None or time >= self.on_or_after)
            and (self.before is None or time < self.before)
            and (self.on_or_before is None or time <= self.on_or_before)
        )


ALWAYS: Final = TimeRange()
"""The range that contains every time."""


@attrs.frozen(kw_only=True)
class Cursor:
    """Which part of a list is asked for."""

    limit: int = DEFAULT_LIMIT
    starting_after: str | None = None
    ending_before: str | None = None


@attrs.frozen(kw_only=True)
class PaymentFilter:
    """Which payments are asked for; None means any."""

    account_id: str | None = None
    account_number_id: str | None = None
    direction: str | None = None
    status: str | None = None
    counterparty_status: str | None = None
    """``null`` means those that have none, as the bank's description allows."""
    return_request_status: str | None = None
    created_at: TimeRange = ALWAYS

    def matches(self, payment: Payment) -> bool:
        """Whether a payment is one of them."""
        wanted = (
            (self.account_id, payment.account.account_id),
            (self.account_number_id, payment.account.id),
            (self.direction, payment.direction),
            (self.status, payment.status),
            (self.counterparty_status, payment.counterparty_status or "null"),
        )
        return (
            all(want is None or want == found for want, found in wanted)
            and self.created_at.contains(payment.created_at)
            and (
                self.return_request_status is None
                or any(request.status == self.return_request_status for request in payment.return_requests)
            )
        )


@attrs.frozen(kw_only=True)
class AccountNumberFilter:
    """Which account numbers are asked for; None means any."""

    account_id: str | None = None
    account_number: str | None = attrs.field(default=None, repr=False)

    def matches(self, number: AccountNumber) -> bool:
        """Whether an account number is one of them."""
        return self.account_id in {None, number.account.account_id} and (
            self.account_number in {None, number.account.holder.account_number}
        )


@attrs.frozen(kw_only=True)
class EventFilter:
    """Which events are asked for; None and empty mean any."""

    types: frozenset[str] = frozenset()
    object_id: str | None = None
    created_at: TimeRange = ALWAYS

    def matches(self, event: Event) -> bool:
        """Whether an event is one of them."""
        return (
            (not self.types or event.type in self.types)
            and (self.object_id is None or self.object_id == event.object_id)
            and self.created_at.contains(event.created_at)
        )


class Record(Protocol):
    """What a collection stores."""

    @property
    def id(self) -> str:
        """The object's ID."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it was created."""
        ...


R = TypeVar("R", bound=Record)


class Collection(Generic[R]):
    """Objects by ID and in order."""

    __slots__ = ("_order", "_position", "_records", "revision")

    def __init__(self) -> None:
        self.revision = 0
        """How often a record was added or replaced."""
        self._order: list[str] = []
        self._position: dict[str, int] = {}
        self._records: dict[str, R] = {}

    def __len__(self) -> int:
        return len(self._order)

    def put(self, record: R) -> None:
        """Add a record, or replace its earlier version in its place."""
        if record.id not in self._records:
            self._position[record.id] = len(self._order)
            self._order.append(record.id)
        self._records[record.id] = record
        self.revision += 1

    def get(self, object_id: str) -> R | None:
        """The newest version of a record."""
        return self._records.get(object_id)

    def all(self) -> list[R]:
        """Every record, the oldest first."""
        return [self._records[object_id] for object_id in self._order]

    def page(self, cursor: Cursor, matches: Callable[[R], bool], since: datetime | None = None) -> tuple[list[R], bool]:
        """One page, newest first, and whether more follow in the direction of the cursor.

        Args:
            cursor: which part.
            matches: which records.
            since: the creation time at which the list ends.

        Raises:
            ApiProblem: 422, the cursor is the ID of no object.
        """
        start, step = self._start(cursor)
        found: list[R] = []
        for position in range(start, len(self._order) if step > 0 else -1, step):
            record = self._records[self._order[position]]
            if since is not None and record.created_at < since:
                # Older records follow if the step goes back in time, newer ones if it goes forward.
                if step < 0:
                    break
                continue
            if matches(record):
                if len(found) == cursor.limit:
                    return _newest_first(found, step), True
                found.append(record)
        return _newest_first(found, step), False

    def _start(self, cursor: Cursor) -> tuple[int, int]:
        if cursor.ending_before is not None:
            return self._locate("ending_before", cursor.ending_before) + 1, 1
        if cursor.starting_after is not None:
            return self._locate("starting_after", cursor.starting_after) - 1, -1
        return len(self._order) - 1, -1

    def _locate(self, parameter: str, object_id: str) -> int:
        position = self._position.get(object_id)
        if position is None:
            raise parameters_invalid([InvalidParameter(parameter, "is the ID of no object of this list")], status=422)
        return position


def _newest_first(found: Sequence[R], step: int) -> list[R]:
    return list(found) if step < 0 else list(reversed(found))
