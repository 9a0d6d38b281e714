"""The protocol of an inbox's store, and its records."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import attrs

from leadpay.models import Event
from leadpay.storage import Lease
from leadpay.webhooks.secrets import SecretUse

if TYPE_CHECKING:
    from leadpay.webhooks.dispatcher import Dispatcher

EventState: TypeAlias = Literal["waiting", "done", "dead", "discarded", "unhandled"]
"""Of an event: a handler run waits, all are done, one is dead, it was discarded, or no handler took it."""

HandlerRunState: TypeAlias = Literal["waiting", "done", "discarded", "dead"]
"""Of one handler with one event. Only ``waiting`` changes by itself."""


@attrs.frozen(kw_only=True)
class HandlerRun:
    """One handler with one event: its state, its attempts, its last error."""

    handler: str
    """The route's name, ``module:qualified name``."""
    state: HandlerRunState
    attempts: int
    """How many attempts it has used up; deferring uses none."""
    due_at: float | None = None
    """When the next attempt is due, in seconds since 1970; None unless it waits."""
    error: str | None = None
    """Type and traceback of what it raised last, without the message, or the reason of a discard."""


@attrs.frozen(kw_only=True)
class StoredEvent:
    """The row that keeps one event."""

    event_id: str
    ordering_key: str
    """What is worked on one at a time: the payment's ID, or the event's own if it is about no payment."""
    type: str
    created_at: datetime
    version: datetime | None
    """The payment's ``updated_at``, by which a stale copy is recognised; None for events about something else."""
    received_at: datetime
    """When it was first received; a replay does not change it."""
    body: bytes | None = attrs.field(repr=False)
    """The raw bytes as they came, or None once they have been purged."""
    state: EventState
    handler_runs: Mapping[str, HandlerRun]
    """By the handler's name; handlers that haven't been tried yet are missing."""
    reason: str | None = None
    """Why a person discarded it, or None."""


class RunFinishedError(Exception):
    """Internal: the handler run, or its event, is finished already, so nothing of this attempt is kept."""


@attrs.frozen(kw_only=True)
class Claim:
    """A leased ordering key with its waiting events, in the order of ``created_at`` and, where equal, of arrival."""

    lease: Lease
    events: Sequence[StoredEvent]
    latest_versions: Mapping[str, datetime]
    """The latest version of this payment that each handler (by name) is done with."""
    abandoned: int = 0
    """How many leases in a row expired without a result: processes that died or stalled over the first event."""


@attrs.frozen(kw_only=True)
class Stats:
    """How much an inbox holds."""

    by_state: Mapping[str, int]
    by_type: Mapping[str, Mapping[str, int]]
    """Type of event -> state -> how many."""
    oldest_waiting: datetime | None
    """When the longest-waiting event was received."""


class Transaction(Protocol):
    """One handler's database changes, which are committed together with the mark that the handler is done."""

    @property
    def connection(self) -> Any:
        """What handlers get as ``context.transaction``."""
        ...

    async def commit(self, event_id: str, run: HandlerRun, *, closes: EventState | None, now: float) -> bool:
        """Record the run in the same transaction and commit; see :meth:`Inbox.record_result`.

        Raises:
            LeaseLostError: the fencing token is not the newest; nothing is kept.
            RunFinishedError: the run is finished already; nothing is kept.
        """
        ...


class Inbox(Protocol):
    """Where events are stored.

    All times are seconds since 1970 by the caller's clock, and ``now`` is the present one. A store with a clock of its
    own turns them into its own time, so that callers whose clocks differ do no harm to each other.
    """

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk.

        A known one that still waits becomes due at once, with its waiting handler runs. A dead or discarded one stays
        as it is: only :meth:`replay` brings it back.

        Returns:
            Whether it was new.

        Raises:
            Exception: the store failed; the event has not been accepted.
        """
        ...

    async def claim(self, limit: int, *, now: float, lease: float) -> list[Claim]:
        """Lease up to so many ordering keys that are due and not leased, for so many seconds.

        An expired lease is due again, and counts as abandoned until its holder writes. A key without a waiting event is
        never claimed.
        """
        ...

    def transaction(self, lease: Lease) -> AbstractAsyncContextManager[Transaction]:
        """Give a transaction for one handler; it is rolled back unless it is committed."""
        ...

    async def record_result(
        self, lease: Lease, event_id: str, run: HandlerRun | None, *, closes: EventState | None, now: float
    ) -> bool:
        """Record how a handler ended and, with ``closes``, that the event is through; prolong the lease from now.

        ``run=None`` closes an event that no handler takes; without ``closes`` too it only prolongs the lease. If new
        work arrived for this key since the claim, an event with a waiting handler stays open: it may have been
        replayed.

        Returns:
            Whether new work arrived for the key since the claim.

        Raises:
            LeaseLostError: the fencing token is not the newest; nothing is recorded.
            RunFinishedError: the run, or the event that ``closes`` is for, does not wait any more.
        """
        ...

    async def release(self, lease: Lease, *, due_at: float | None, now: float, abandoned: int = 0) -> None:
        """Give a key back: due at a time, or never, or at once if new work arrived; a lost lease is no error.

        ``abandoned`` is the count that the next claim has, if this one was not worked on.
        """
        ...

    def worker(self, dispatcher: "Dispatcher", *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is stored while the context lasts: a :class:`leadpay.inbox.worker.Worker`."""
        ...

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when there may be something to claim."""
        ...

    async def stats(self) -> Stats:
        """Count the events."""
        ...

    def events(
        self, *, state: EventState | None = None, event_type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Iterate over the events, newest receipt first, in constant memory."""
        ...

    async def get(self, event_id: str) -> StoredEvent | None:
        """Look one event up."""
        ...

    async def replay(self, event_id: str, *, handler: str | None = None, now: float) -> bool:
        """Have an event handled again: by the handlers that gave up, or by the one named whatever its state.

        Attempts are counted from the beginning. A discarded or unhandled event goes on where it was. Handlers that are
        new since, or have a new name, take it too.

        Returns:
            Whether there was something to replay; an event whose body was purged cannot be replayed.
        """
        ...

    async def replay_all(
        self,
        *,
        state: EventState | None = None,
        event_type: str | None = None,
        handler: str | None = None,
        now: float,
    ) -> int:
        """Replay every event with this state and type, and count them.

        With ``handler``, only that handler runs, and only with the events that it has no run of: those that were
        finished before it existed.
        """
        ...

    async def discard(self, event_id: str, *, reason: str, now: float) -> bool:
        """Take a waiting, dead or unhandled event out of the way, and keep its row; says whether there was one."""
        ...

    async def purge(self, *, before: datetime) -> int:
        """Delete the bodies of done and discarded events that were received before a time, and count them."""
        ...

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        ...

    async def set_watermark(self, time: datetime) -> None:
        """Move the watermark, forwards only."""
        ...

    async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
        """Add to what is known of signing secrets: counts are summed up, and the latest time counts."""
        ...

    async def secrets(self) -> Sequence[SecretUse]:
        """List what is known of signing secrets, from all receivers."""
        ...

    async def __aenter__(self) -> Self:
        """Open it; create or upgrade the schema."""
        ...

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it, after the operations that were begun."""
        ...
