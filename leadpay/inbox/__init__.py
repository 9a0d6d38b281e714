"""KEEPING: an event that was accepted is on disk, and is worked on until it is done or somebody has been told.

Three kinds of rows hold all of it, the same in every store::

    subjects   what is worked on one thing at a time: a payment, or an event that is about none
               due_at, lease (fence, until), wakes
    events     one row an event, for ever: id, subject, type, created_at, version, received_at, body, state
    handlings  how far one handler got with one event: state, attempts, due_at, error

Receivers write events. A worker claims a subject, runs what is due in the order of the events' ``created_at``, settles
each handler as it ends, and lets the subject go. A claim is a lease with a fence: whoever was paused and comes back
finds that its fence is no longer the newest, and writes nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeAlias
from urllib.parse import unquote

import attrs

from leadpay.errors import ConfigurationError
from leadpay.models import Event

if TYPE_CHECKING:
    from leadpay.inbox.postgres import PostgresInbox as PostgresInbox
    from leadpay.inbox.sqlite import SqliteInbox as SqliteInbox
    from leadpay.inbox.worker import Worker as Worker
    from leadpay.webhooks.dispatcher import Dispatcher

EventState: TypeAlias = Literal["waiting", "done", "dead", "discarded"]
"""Of an event: some handler is not through, all are, one gave up, or a person threw it away."""

HandlerRunState: TypeAlias = Literal["waiting", "done", "discarded", "dead"]
"""Of one handler with one event. Only ``waiting`` ever changes, except by hand."""


@attrs.frozen(kw_only=True)
class HandlerRun:
    """How far one handler got with one event."""

    handler: str
    """The route's name, ``module:qualified name``."""
    state: HandlerRunState
    attempts: int
    """How many attempts it has used up; deferring uses none."""
    due_at: float | None = None
    """When it is to be tried next, in seconds since 1970; None once it is not waiting."""
    error: str | None = None
    """Type and traceback of what it raised last, without the message, or the reason of a discard."""


@attrs.frozen(kw_only=True)
class StoredEvent:
    """One event as it is kept."""

    event_id: str
    subject: str
    type: str
    created_at: datetime
    version: datetime | None
    """The payment's ``updated_at``, by which a stale copy is told; None for events about something else."""
    received_at: datetime
    """When it was first received; a replay does not change it."""
    body: bytes | None = attrs.field(repr=False)
    """The raw bytes as they came, or None once they have been purged."""
    state: EventState
    handlings: Mapping[str, HandlerRun]
    """By the handler's name; those that haven't been tried yet are missing."""
    reason: str | None = None
    """Why a person threw it away; None unless it is discarded."""


@attrs.frozen(kw_only=True)
class Lease:
    """The right to work on one subject, until a time or until somebody with a newer fence has it."""

    subject: str
    fence: int
    until: float
    """In seconds since 1970, as it was when it was claimed."""
    seconds: float
    """How long it lasts, and by how much settling prolongs it."""
    wakes: int
    """How often the subject had been woken when it was claimed; more at the release means that there is new work."""


@attrs.frozen(kw_only=True)
class Claim:
    """A leased subject with its waiting events, in the order of ``created_at`` and, where equal, of arrival."""

    lease: Lease
    deliveries: Sequence[StoredEvent]
    newest: Mapping[str, datetime]
    """The newest version of this payment that each handler (by name) is done with."""
    lost: int = 0
    """How many leases in a row ended without a word: processes that died or stalled over the first of these events."""


@attrs.frozen(kw_only=True)
class Stats:
    """What an inbox holds."""

    by_state: Mapping[str, int]
    by_type: Mapping[str, Mapping[str, int]]
    """Type of event -> state -> how many."""
    oldest_waiting: datetime | None
    """When the longest-waiting event was received."""


class LeaseLostError(Exception):
    """Internal: another worker has the subject now, and what this one did is not to be kept."""


class Transaction(Protocol):
    """One handler's database work, which becomes visible together with the mark that the handler is done."""

    @property
    def connection(self) -> Any:
        """What handlers get as ``context.transaction``."""
        ...

    async def commit(self, event_id: str, handling: HandlerRun, *, closes: EventState | None, now: float) -> bool:
        """Record the handling in the same transaction and commit; as :meth:`Inbox.settle` does.

        Raises:
            LeaseLostError: the fence is not the newest; nothing is kept.
        """
        ...


class Inbox(Protocol):
    """Where events are kept. Times called ``now`` are seconds since 1970, from the caller's clock."""

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk; a known one that is still waiting is woken up, and so is what it waits to retry.

        A dead or discarded one stays as it is: only :meth:`replay` brings it back.

        Returns:
            Whether it was new.

        Raises:
            Exception: whatever went wrong; it has not been accepted.
        """
        ...

    async def claim(self, limit: int, *, now: float, lease: float) -> list[Claim]:
        """Lease up to so many subjects that are due and that nobody else holds, for so many seconds.

        A lease that ran out is due again, and counts as lost until somebody settles or releases. A subject without a
        waiting event is never claimed.
        """
        ...

    def transaction(self, lease: Lease) -> AbstractAsyncContextManager[Transaction]:
        """Give a transaction for one handler; it is rolled back unless it is committed."""
        ...

    async def record_result(
        self, lease: Lease, event_id: str, handling: HandlerRun | None, *, closes: EventState | None, now: float
    ) -> bool:
        """Record how a handler ended and, with ``closes``, that the event is through; prolong the lease from now.

        A handling that isn't waiting any more is left as it is, and so is an event. ``handling=None`` closes an event
        that nobody takes; without ``closes`` too it only prolongs the lease. Where the subject was woken since it was
        claimed, an event that another handler waits for stays open for the next claim: it may have been replayed.

        Returns:
            Whether the subject was woken since it was claimed, so that the claim isn't the newest word any more.

        Raises:
            LeaseLostError: the fence is not the newest; nothing is recorded.
        """
        ...

    async def release(self, lease: Lease, *, due_at: float | None) -> None:
        """Let a subject go: due at a time, or never, or at once if it was woken meanwhile; a lost lease is no error."""
        ...

    def worker(self, dispatcher: "Dispatcher", *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is here while the context lasts: a :class:`leadpay.inbox.worker.Worker`."""
        ...

    async def wait_for_work(self, seconds: float) -> None:
        """Come back after so many seconds, or earlier when there may be something to claim: a hint, no more."""
        ...

    async def stats(self) -> Stats:
        """Count what is here."""
        ...

    def events(
        self, *, state: EventState | None = None, event_type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Go through what is kept, newest receipt first, in constant memory."""
        ...

    async def get(self, event_id: str) -> StoredEvent | None:
        """Look one event up."""
        ...

    async def replay(self, event_id: str, *, handler: str | None = None, now: float) -> bool:
        """Have an event handled again: by the handlers that gave up, or by the one named whatever its state.

        Attempts are counted from the beginning. A discarded event goes on where it was. Handlers that are new since,
        or have a new name, take it too.

        Returns:
            Whether there was something to replay; a purged body cannot be.
        """
        ...

    async def discard(self, event_id: str, *, reason: str, now: float) -> bool:
        """Throw a waiting or dead event away, keeping its row; says whether there was one."""
        ...

    async def purge(self, *, before: datetime) -> int:
        """Drop the bodies of events that were done or discarded and received before a time; IDs stay. Counts them."""
        ...

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        ...

    async def set_watermark(self, time: datetime) -> None:
        """Remember it; it never goes back."""
        ...

    async def __aenter__(self) -> Self:
        """Open it; create or upgrade the schema."""
        ...

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it, after what has been begun."""
        ...


_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


def open_inbox(url: str) -> Inbox:
    """Choose the inbox that a URL names; enter it to open it.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite:///:memory:`` (lost with the process,
            for tests), or ``postgresql://user:password@host/database`` (extra ``postgres``).

    Raises:
        ConfigurationError: it is none of these, or PostgreSQL's client library is not installed.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from leadpay.inbox.sqlite import SqliteInbox  # noqa: PLC0415 - only who uses it loads it

        return SqliteInbox(unquote(url.removeprefix(_SQLITE)))
    if url.startswith(_POSTGRES):
        try:
            from leadpay.inbox.postgres import PostgresInbox  # noqa: PLC0415 - only who uses it has it
        except ImportError as error:
            raise ConfigurationError("PostgreSQL needs: pip install 'leadpay[postgres]' 'psycopg[binary]'") from error
        return PostgresInbox(url)
    # Not quoted: what was meant to be a URL may hold a password.
    raise ConfigurationError("an inbox's URL must begin with sqlite:/// or postgresql://")


_HOMES: Final = {
    "PostgresInbox": "leadpay.inbox.postgres",
    "SqliteInbox": "leadpay.inbox.sqlite",
    "Worker": "leadpay.inbox.worker",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
