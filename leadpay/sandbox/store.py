"""Payments and events in the order in which they came to be, and how the bank lists them. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import attrs

from leadpay.sandbox.models import Event, Payment
from leadpay.sandbox.problems import Invalid, invalid

EVENTS_KEPT: Final = timedelta(days=90)
"""How long an event can be retrieved and listed. From the bank's page on events."""

DEFAULT_LIMIT: Final = 10
"""How many objects a page has unless more or fewer are asked for. From the bank's description."""


class TimeRange(NamedTuple):
    """The ``created_at[...]`` filters of a list."""

    after: datetime | None = None
    on_or_after: datetime | None = None
    before: datetime | None = None
    on_or_before: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is within."""
        return (
            (self.after is None or moment > self.after)
            and (self.on_or_after is None or moment >= self.on_or_after)
            and (self.before is None or moment < self.before)
            and (self.on_or_before is None or moment <= self.on_or_before)
        )


ALWAYS: Final = TimeRange()
"""A span that holds every moment."""


@attrs.frozen(kw_only=True)
class Cursor:
    """Which part of a list is wanted."""

    limit: int = DEFAULT_LIMIT
    starting_after: str | None = None
    ending_before: str | None = None


@attrs.frozen(kw_only=True)
class PaymentFilter:
    """Which payments are wanted; what is None does not matter."""

    account_id: str | None = None
    account_number_id: str | None = None
    direction: str | None = None
    status: str | None = None
    counterparty_status: str | None = None
    return_request_status: str | None = None
    created_at: TimeRange = ALWAYS

    def holds(self, payment: Payment) -> bool:
        """Whether a payment is wanted."""
        wanted = (
            (self.account_id, payment.account.account_id),
            (self.account_number_id, payment.account.id),
            (self.direction, payment.direction),
            (self.status, payment.status),
            (self.counterparty_status, payment.counterparty_status),
        )
        return (
            all(want is None or want == found for want, found in wanted)
            and self.created_at.holds(payment.created_at)
            and (
                self.return_request_status is None
                or any(request.status == self.return_request_status for request in payment.return_requests)
            )
        )


@attrs.frozen(kw_only=True)
class EventFilter:
    """Which events are wanted; what is None or empty does not matter."""

    types: frozenset[str] = frozenset()
    object_id: str | None = None
    created_at: TimeRange = ALWAYS

    def holds(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return (
            (not self.types or event.type in self.types)
            and (self.object_id is None or self.object_id == event.payment_id)
            and self.created_at.holds(event.created_at)
        )


class Record(Protocol):
    """What a shelf keeps."""

    @property
    def id(self) -> str:
        """The object's ID."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it came to be."""
        ...


R = TypeVar("R", bound=Record)


class Collection(Generic[R]):
    """Objects by ID and in order."""

    __slots__ = ("_found", "_order", "_place")

    def __init__(self) -> None:
        self._order: list[str] = []
        self._place: dict[str, int] = {}
        self._found: dict[str, R] = {}

    def __len__(self) -> int:
        return len(self._order)

    def put(self, record: R) -> None:
        """Keep a new record, or the newer version of a kept one in its place."""
        if record.id not in self._found:
            self._place[record.id] = len(self._order)
            self._order.append(record.id)
        self._found[record.id] = record

    def get(self, object_id: str) -> R | None:
        """The newest version of a record."""
        return self._found.get(object_id)

    def all(self) -> list[R]:
        """Every record, the oldest first."""
        return [self._found[object_id] for object_id in self._order]

    def page(self, cursor: Cursor, holds: Callable[[R], bool], since: datetime | None = None) -> tuple[list[R], bool]:
        """One page, newest first, and whether there is more in the direction in which the caller walks.

        Args:
            cursor: which part.
            holds: which records.
            since: the age at which the list ends.

        Raises:
            ApiProblem: 422, the cursor names no object.
        """
        start, step = self._start(cursor)
        found: list[R] = []
        for place in range(start, len(self._order) if step > 0 else -1, step):
            record = self._found[self._order[place]]
            if since is not None and record.created_at < since:
                # Walking towards the past, only older ones follow; walking towards the present, newer ones do.
                if step < 0:
                    break
                continue
            if holds(record):
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
        place = self._place.get(object_id)
        if place is None:
            raise invalid([Invalid(parameter, "names no object of this list")], status=422)
        return place


def _newest_first(found: Sequence[R], step: int) -> list[R]:
    return list(found) if step < 0 else list(reversed(found))
