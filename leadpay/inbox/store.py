"""The protocol of an inbox's store, and its records."""

from collections.abc import AsyncIterator, Collection, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeAlias

import attrs

from leadpay.models import Event
from leadpay.storage import Dialect, Lease
from leadpay.webhooks.secrets import SecretUse

if TYPE_CHECKING:
    from leadpay.webhooks.dispatcher import Dispatcher

EventState: TypeAlias = Literal["waiting", "done", "dead", "discarded", "unhandled", "unreadable"]
"""Of an event for a consumer: a handler run waits, all are done, one is dead, it was discarded, no handler took it, or
it cannot be read by this version."""

DEFAULT: Final = "default"
"""The consumer of a worker that names none."""

OWN_PREFIX: Final = "leadpay-"
"""Consumers of leadpay itself have names that begin so; they take over nothing that came before them."""

ALIAS: Final = "alias="
"""Begins a pattern that is an earlier name of a handler: workers of the release before leave its runs to newer ones."""

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
    """For the consumer that was asked about."""
    handler_runs: Mapping[str, HandlerRun]
    """By the handler's name. Handlers that haven't been tried yet are missing, and so is a handler that was the only
    one to take the event and succeeded at its first attempt."""
    reason: str | None = None
    """Why a person discarded it, or why it cannot be read, or None."""
    number: int = 0
    """The order of arrival; grows, with gaps."""
    only: frozenset[str] | None = None
    """If it waits for a replay by name: the handlers that are to run; None for all."""


class RunFinishedError(Exception):
    """Internal: the handler run, or its event, is finished already, so nothing of this attempt is kept."""


@attrs.frozen(kw_only=True)
class KnownHandler:
    """A handler that a worker of a consumer has registered."""

    name: str
    patterns: tuple[str, ...]
    """The types of event that it takes, filters aside; ``*`` stands for any."""
    since: int = 0
    """The number of the newest event when it was registered. Up to this number, all its runs have rows."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its earlier names, which are kept among the patterns and match no type."""
        return tuple(one.removeprefix(ALIAS) for one in self.patterns if one.startswith(ALIAS))

    def takes_type(self, event_type: str) -> bool:
        """Whether it takes events of a type, filters aside."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.patterns)


@attrs.frozen(kw_only=True)
class Note:
    """What a person did to an event by hand, and why. It is never changed."""

    at: datetime
    action: str
    by: str
    reason: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Consumer:
    """A program that gets every event, with its own progress, order and dead letters."""

    name: str
    since: int
    """The number of the newest event when it was registered: it gets what came later."""
    handlers: Mapping[str, KnownHandler]
    by_state: Mapping[str, int]
    oldest_waiting: datetime | None


@attrs.frozen(kw_only=True)
class Claim:
    """A leased ordering key with its waiting events, in the order of ``created_at`` and, where equal, of arrival."""

    lease: Lease
    events: Sequence[StoredEvent]
    newer: Sequence[StoredEvent] = ()
    """Events of this payment that are through and whose version is newer than that of one that waits."""
    handlers: Mapping[str, KnownHandler] = attrs.field(factory=dict)
    """The handlers of the consumer, by name, as they were registered when the events were read."""
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

    @classmethod
    def of(cls, by_type: Mapping[str, Mapping[str, int]], oldest_waiting: datetime | None) -> "Stats":
        """Add the types up."""
        by_state: dict[str, int] = {}
        for counts in by_type.values():
            for state, count in counts.items():
                by_state[state] = by_state.get(state, 0) + count
        return cls(by_state=by_state, by_type=by_type, oldest_waiting=oldest_waiting)


class Transaction(Protocol):
    """One handler's database changes, which are committed together with the mark that the handler is done."""

    @property
    def connection(self) -> Any:
        """What handlers get as ``context.transaction``."""
        ...

    async def commit(
        self, event_id: str, run: HandlerRun | None, *, closes: EventState | None, now: float, releases: bool = False
    ) -> bool:
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

    @property
    def dialect(self) -> Dialect:
        """The kind of its database."""
        ...

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

    async def add_unreadable(
        self, event_id: str | None, body: bytes, problems: Sequence[str], *, received_at: datetime
    ) -> bool:
        """Commit authentic bytes that cannot be read, in the state ``unreadable``, and say whether they were new.

        Without an ID, the same bytes are recognised by their hash. A replay reads them again.
        """
        ...

    async def register(
        self, consumer: str, handlers: Mapping[str, Sequence[str]], *, aliases: Mapping[str, str]
    ) -> None:
        """Register a consumer, and the handlers that a worker of it has.

        The first consumer that registers takes over the events that came before; a later one gets what comes from now
        on. A known handler that is an alias of a registered one is that one from now on.

        Args:
            consumer: its name.
            handlers: the name of each handler, with the patterns of types that it takes.
            aliases: an earlier name of a handler -> its name.
        """
        ...

    async def forget_handler(self, handler: str, *, consumer: str = DEFAULT) -> bool:
        """Forget a handler that was removed from the code for good, so that no event waits for it."""
        ...

    async def consumers(self) -> Sequence[Consumer]:
        """List the consumers, the first that registered first."""
        ...

    async def claim(
        self, limit: int, *, now: float, lease: float, consumer: str = DEFAULT, has: Collection[str] | None = None
    ) -> list[Claim]:
        """Lease up to so many ordering keys that are due and not leased, for so many seconds.

        An expired lease is due again, and counts as abandoned until its holder writes. A key without a waiting event is
        never claimed. With ``has``, the names of the worker's handlers, keys that were left to workers with another
        handler are not claimed.
        """
        ...

    def begin(self) -> AbstractAsyncContextManager[Any]:
        """Give a transaction in the inbox's database, of the kind that handlers get; it is committed at the end.

        If the block raises, it is rolled back.
        """
        ...

    def transaction(self, lease: Lease, *, handler: str = "") -> AbstractAsyncContextManager[Transaction]:
        """Give a transaction for one handler; it is rolled back unless it is committed.

        Where handlers share one connection, they take turns by their names.
        """
        ...

    async def record_result(
        self,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        *,
        closes: EventState | None,
        now: float,
        reason: str | None = None,
        releases: bool = False,
    ) -> bool:
        """Record how a handler ended and, with ``closes``, that the event is through.

        ``run=None`` keeps no run; without ``closes`` too it prolongs the lease from now, and does nothing else. If new
        work arrived for this key since the claim, an event with a waiting handler stays open: it may have been
        replayed.

        Args:
            lease: the lease of the event's ordering key.
            event_id: the event.
            run: what to keep of the handler, or None for the only handler of an event that succeeded at once.
            closes: the event's state from now on, or None if a handler waits.
            now: the present time.
            reason: what to keep with the state.
            releases: whether this was the last result: the key is released too, unless this raises.

        Returns:
            Whether new work arrived for the key since the claim.

        Raises:
            LeaseLostError: the fencing token is not the newest; nothing is recorded.
            RunFinishedError: the run, or the event that ``closes`` is for, does not wait any more.
        """
        ...

    async def refresh(self, lease: Lease, *, now: float) -> Claim | None:
        """Prolong a lease, and read its waiting events again, with the lease as it is now.

        Returns:
            The claim, or None if nothing waits any more; the key is released then, unless there is new work.

        Raises:
            LeaseLostError: the fencing token is not the newest.
        """
        ...

    def completion(
        self,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        *,
        closes: EventState | None,
        now: float,
        releases: bool = False,
    ) -> "Generator[tuple[str, Mapping[str, Any]], list[tuple[Any, ...]], bool]":
        """Give the statements of :meth:`record_result`, for a connection of the user's own that is in a transaction.

        It yields each statement in the spelling of the store's own driver (``%(name)s`` for PostgreSQL, ``:name`` for
        SQLite) with its parameters, is sent the rows, and returns and raises what ``record_result`` does.
        """
        ...

    async def release(
        self, lease: Lease, *, due_at: float | None, now: float, abandoned: int = 0, needs: str | None = None
    ) -> None:
        """Give a key back: due at a time, or when new work arrives, or at once if it has; a lost lease is no error.

        With ``due_at=None``, a key that still has a waiting event is due at once. ``abandoned`` is the count that the
        next claim has, if this one was not worked on. ``needs`` leaves the key to workers that have this handler.
        """
        ...

    def worker(self, dispatcher: "Dispatcher", *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is stored while the context lasts: a :class:`leadpay.inbox.worker.Worker`."""
        ...

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when there may be something to claim."""
        ...

    async def stats(self, *, consumer: str = DEFAULT) -> Stats:
        """Count the events; a consumer called ``default`` that there is not means the first one, here and below."""
        ...

    def events(
        self,
        *,
        state: EventState | None = None,
        event_type: str | None = None,
        ordering_key: str | None = None,
        before: int | None = None,
        limit: int | None = None,
        consumer: str = DEFAULT,
    ) -> AsyncIterator[StoredEvent]:
        """Iterate over the events, newest receipt first, in constant memory.

        Args:
            state: only events in this state.
            event_type: only events of this type.
            ordering_key: only events of this payment.
            before: only events with a smaller number.
            limit: the maximum number of events.
            consumer: whose states count.
        """
        ...

    async def get(self, event_id: str, *, consumer: str = DEFAULT) -> StoredEvent | None:
        """Look one event up."""
        ...

    async def replay(self, event_id: str, *, handler: str | None = None, now: float, consumer: str = DEFAULT) -> bool:
        """Have an event handled again: by the handlers that gave up, or by the one named whatever its state.

        Attempts are counted from the beginning. A discarded or unhandled event goes on where it was; an unreadable one
        is read again, for all consumers. Handlers that are new since, or have a new name, take it too.

        Returns:
            Whether there was something to replay; an event whose body was purged cannot be replayed.

        Raises:
            ConfigurationError: the consumer has no such handler.
        """
        ...

    async def replay_all(
        self,
        *,
        state: EventState | None = None,
        event_type: str | None = None,
        handler: str | None = None,
        now: float,
        consumer: str = DEFAULT,
    ) -> int:
        """Replay every event with this state and type, and count them.

        With ``handler``, only that handler runs, and only with the events that came before it was registered and that
        it has no run of.

        Raises:
            ConfigurationError: the consumer has no such handler.
        """
        ...

    async def note(self, number: int, note: Note) -> None:
        """Keep what a person did to the event of this number."""
        ...

    async def notes(self, number: int) -> Sequence[Note]:
        """List what people did to an event, the first thing first."""
        ...

    async def revision(self) -> str:
        """Give a text that differs once something has changed that a person may look at; it counts nothing.

        Of very many waiting events, or events that were set aside, only some are looked at.
        """
        ...

    async def discard(self, event_id: str, *, reason: str, now: float, consumer: str = DEFAULT) -> bool:
        """Take an event that is neither done nor discarded out of the way; says whether there was one."""
        ...

    async def purge(self, *, before: datetime) -> int:
        """Delete the bodies of done and discarded events that were received before a time, and count them."""
        ...

    async def erase(self, payment_id: str) -> int:
        """Delete the bodies of one payment's events for good, and count them.

        What still waits is discarded: a handler that runs meanwhile keeps nothing. The rows stay, so that duplicates
        are recognised; they hold IDs, types and times. PostgreSQL overwrites deleted data at its next VACUUM, and keeps
        it in its log and its backups for as long as it keeps those.
        """
        ...

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        ...

    async def set_watermark(self, time: datetime) -> None:
        """Move the watermark, forwards only."""
        ...

    @property
    def was_opened(self) -> bool:
        """Whether it was entered, now or earlier."""
        ...

    async def probe(self) -> None:
        """Check that the inbox is open, has its schema and can write; it changes nothing.

        Raises:
            InboxError: it cannot be used now.
        """
        ...

    async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
        """Add to what is known of signing secrets: counts are summed up, and the latest time counts."""
        ...

    async def secrets(self) -> Sequence[SecretUse]:
        """List what is known of signing secrets, from all receivers."""
        ...

    async def missing_migrations(self) -> list[str]:
        """Give the SQL of each schema file that the database has not seen; nothing is applied, nor need it be open."""
        ...

    async def __aenter__(self) -> Self:
        """Open it; create or upgrade the schema."""
        ...

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it, after the operations that were begun."""
        ...
