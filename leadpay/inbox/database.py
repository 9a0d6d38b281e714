"""What the inboxes in SQLite and in PostgreSQL share: one operation is one query of their ``queries`` module."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar

import attrs

from leadpay.clock import utc_datetime
from leadpay.enums import EventType
from leadpay.errors import ConfigurationError, MalformedEventError
from leadpay.inbox.store import (
    DEFAULT,
    OWN_PREFIX,
    Claim,
    Consumer,
    EventState,
    HandlerRun,
    KnownHandler,
    Note,
    Stats,
    StoredEvent,
)
from leadpay.models import Event, InstantPaymentEvent
from leadpay.storage import Dialect, Lease
from leadpay.webhooks.dispatcher import Dispatcher
from leadpay.webhooks.event import parse
from leadpay.webhooks.secrets import SecretUse

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
T = TypeVar("T")

Result: TypeAlias = T | Awaitable[T]
"""SQLite's queries run in a thread, PostgreSQL's are coroutines."""

Steps: TypeAlias = Generator[tuple[str, Mapping[str, Any]], list[tuple[Any, ...]], T]
"""Yields statements with their parameters by name, and is sent the rows of each. It does no I/O."""

Completion: TypeAlias = Steps[bool]
"""What records a result in a transaction that has been begun; it returns whether there is new work."""

PAGE: Final = 100
"""How many rows are read, or purged, at a time, so that a long walk takes little memory and holds others up little."""

UNREADABLE_TYPE: Final = "unreadable"
"""The type of what cannot be read."""

LAST: Final = 2**63 - 1
"""No event has so great a number."""


@attrs.frozen(kw_only=True)
class NewEvent:
    """What is stored of an event."""

    event_id: str
    ordering_key: str
    type: str
    created_at: datetime
    version: datetime | None
    received_at: datetime
    body: bytes
    problems: str | None = None
    """Why it cannot be read."""

    @classmethod
    def of(cls, event: Event, body: bytes, received_at: datetime) -> "NewEvent":
        """Take what is stored from an event."""
        return cls(
            event_id=event.id,
            ordering_key=event.payment_id or event.id,
            type=str(event.type),
            created_at=event.created_at,
            version=event.payment.updated_at if isinstance(event, InstantPaymentEvent) else None,
            received_at=received_at,
            body=body,
        )

    @classmethod
    def unreadable(
        cls, event_id: str | None, body: bytes, problems: Sequence[str], received_at: datetime
    ) -> "NewEvent":
        """Keep bytes under their ID, or under their hash."""
        found = event_id or f"unreadable_{sha256(body).hexdigest()}"
        return cls(
            event_id=found,
            ordering_key=found,
            type=UNREADABLE_TYPE,
            created_at=received_at,
            version=None,
            received_at=received_at,
            body=body,
            problems="\n".join(problems),
        )


class Queries(Protocol[C_contra]):
    """What a module of queries holds; each is done in a transaction of its own, or in a handler's."""

    def claim(
        self,
        connection: C_contra,
        *,
        consumer: int,
        has: Collection[str] | None,
        limit: int,
        now: float,
        seconds: float,
    ) -> Result[list[Claim]]:
        """Lease keys that are due, and read their events."""
        ...

    def refresh(self, connection: C_contra, *, lease: Lease, now: float) -> Result[Claim | None]:
        """Prolong a lease, and read its events again."""
        ...

    def completion(
        self,
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        reason: str | None = None,
        releases: bool = False,
    ) -> Completion:
        """Give the statements that record a result, in a transaction that is begun already."""
        ...

    def record_result(
        self,
        connection: C_contra,
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        reason: str | None = None,
        releases: bool = False,
    ) -> Result[bool]:
        """Record how a handler ended, and say whether new work arrived."""
        ...

    def release(
        self,
        connection: C_contra,
        *,
        lease: Lease,
        due_at: float | None,
        now: float,
        abandoned: int,
        needs: str | None,
    ) -> Result[bool]:
        """Give a key back, and say whether it is due at once."""
        ...

    def consumers(self, connection: C_contra) -> Result[list[tuple[int, str, bool, int]]]:
        """List ID, name, whether it is registered, and since when."""
        ...

    def register(
        self,
        connection: C_contra,
        *,
        consumer: str,
        takes_over: bool,
        handlers: Mapping[str, Sequence[str]],
        aliases: Mapping[str, str],
    ) -> Result[int]:
        """Register a consumer and its handlers, and give the consumer's ID."""
        ...

    def known_handlers(self, connection: C_contra, *, consumer: int) -> Result[dict[str, KnownHandler]]:
        """List the handlers of a consumer."""
        ...

    def forget_handler(self, connection: C_contra, *, consumer: int, handler: str) -> Result[bool]:
        """Forget a handler."""
        ...

    def stats(self, connection: C_contra, *, consumer: int, since: int) -> Result[Stats]:
        """Count."""
        ...

    def page(
        self,
        connection: C_contra,
        *,
        consumer: int,
        since: int,
        wanted: Mapping[str, str | None],
        before: int,
        limit: int,
    ) -> Result[list[StoredEvent]]:
        """Read the newest events before a number; ``wanted`` maps ``id``, ``type`` and ``state`` to values."""
        ...

    def replay(
        self, connection: C_contra, *, consumer: int, event_id: str, handler: str | None, now: float
    ) -> Result[bool]:
        """Bring an event back."""
        ...

    def unreadable(self, connection: C_contra, *, event_id: str) -> Result[tuple[int, bytes] | None]:
        """Give the number and the bytes of an event."""
        ...

    def make_readable(self, connection: C_contra, *, number: int, new: NewEvent, now: float) -> Result[bool]:
        """Give an event that could not be read its columns, and have it handled."""
        ...

    def discard(self, connection: C_contra, *, consumer: int, event_id: str, reason: str, now: float) -> Result[bool]:
        """Take an event out of the way."""
        ...

    def purge(self, connection: C_contra, *, before: datetime) -> Result[int]:
        """Empty one page of bodies, and count them."""
        ...

    def erase(self, connection: C_contra, *, ordering_key: str) -> Result[int]:
        """Empty the bodies of one payment, and have nothing of it wait."""
        ...

    def watermark(self, connection: C_contra) -> Result[datetime | None]:
        """Read the watermark."""
        ...

    def set_watermark(self, connection: C_contra, *, time: datetime) -> Result[None]:
        """Move the watermark."""
        ...

    def note(self, connection: C_contra, *, number: int, note: Note) -> Result[None]:
        """Keep what a person did."""
        ...

    def notes(self, connection: C_contra, *, number: int) -> Result[list[Note]]:
        """List what people did."""
        ...

    def revision(self, connection: C_contra) -> Result[str]:
        """Tell whether something has changed."""
        ...

    def probe(self, connection: C_contra) -> Result[None]:
        """Write something that changes nothing."""
        ...

    def record_secrets(self, connection: C_contra, *, uses: Sequence[SecretUse]) -> Result[None]:
        """Add to what is known of secrets."""
        ...

    def secrets(self, connection: C_contra) -> Result[list[SecretUse]]:
        """List what is known of secrets."""
        ...


def add_up(rows: Iterable[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    """Count by type and state, from rows of a state or ``all``, a type and a number.

    Events that came before the consumer are not among ``all``; of those, ``older`` rows count what was replayed.
    """
    counts: dict[str, dict[str, int]] = {}
    for word, event_type, count in rows:
        state, _, older = word.partition(", ")
        of_type = counts.setdefault(event_type, {})
        if state == "all":
            of_type["done"] = of_type.get("done", 0) + count
            continue
        of_type[state] = of_type.get(state, 0) + count
        if not older:
            of_type["done"] = of_type.get("done", 0) - count
    return {one: {state: count for state, count in found.items() if count} for one, found in counts.items()}


class HandlerConnection(Protocol[C_co]):
    """``context.transaction`` as the inbox sees it."""

    async def commit(self, work: Callable[[C_co], Any]) -> Any:
        """Do this in the handler's transaction, and commit."""
        ...


class Recorder(Protocol[C_contra]):
    """Makes the query that records one result."""

    def __call__(
        self,
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        reason: str | None = None,
        releases: bool = False,
    ) -> Callable[[C_contra], Result[bool]]:
        """Give the query."""
        ...


class HandlerTransaction(Generic[C]):
    """One handler's transaction."""

    def __init__(self, connection: HandlerConnection[C], recorder: "Recorder[C]", lease: Lease) -> None:
        self.connection: Any = connection
        self._recorder = recorder
        self._lease = lease

    async def commit(
        self, event_id: str, run: HandlerRun | None, *, closes: EventState | None, now: float, releases: bool = False
    ) -> bool:
        """Record the run in the same transaction and commit."""
        record = self._recorder(
            lease=self._lease, event_id=event_id, run=run, closes=closes, now=now, releases=releases
        )
        return bool(await self.connection.commit(record))


class DatabaseInbox(ABC, Generic[C]):
    """An inbox whose operations are queries."""

    dialect: Dialect

    was_opened = False
    """Whether it was entered, now or earlier."""

    def __init__(self, queries: Queries[C]) -> None:
        self._queries = queries
        self._hint = asyncio.Event()
        self._consumers: dict[str, tuple[int, int]] = {}

    @abstractmethod
    async def _run(self, query: Callable[[C], Result[T]], *, writes: bool = True) -> T:
        """Do a query in a transaction, and commit."""

    @abstractmethod
    async def _add(self, new: NewEvent) -> bool:
        """Commit an event to disk, and say whether it was new."""

    @abstractmethod
    async def missing_migrations(self) -> list[str]:
        """Give the SQL of each schema file that the database has not seen."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open it."""

    @abstractmethod
    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""

    @abstractmethod
    def _handler_connection(self, handler: str = "") -> AbstractAsyncContextManager[HandlerConnection[C]]:
        """Give what a handler gets as ``context.transaction``; it is rolled back unless it is committed."""

    # Accepting.

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk; see :class:`leadpay.inbox.store.Inbox`."""
        new = await self._add(NewEvent.of(event, body, received_at))
        self._hint.set()
        return new

    async def add_unreadable(
        self, event_id: str | None, body: bytes, problems: Sequence[str], *, received_at: datetime
    ) -> bool:
        """Commit bytes that cannot be read."""
        return await self._add(NewEvent.unreadable(event_id, body, problems, received_at))

    # Consumers.

    async def register(
        self, consumer: str, handlers: Mapping[str, Sequence[str]], *, aliases: Mapping[str, str]
    ) -> None:
        """Register a consumer, and the handlers that a worker of it has."""
        await self._run(
            partial(
                self._queries.register,
                consumer=consumer,
                takes_over=not consumer.startswith(OWN_PREFIX),
                handlers=handlers,
                aliases=aliases,
            )
        )
        self._consumers.clear()

    async def forget_handler(self, handler: str, *, consumer: str = DEFAULT) -> bool:
        """Forget a handler that was removed for good."""
        number, _ = await self._consumer(consumer)
        forgot = await self._run(partial(self._queries.forget_handler, consumer=number, handler=handler))
        self._hint.set()
        return forgot

    async def consumers(self) -> Sequence[Consumer]:
        """List the consumers."""
        found = []
        for number, name, is_registered, since in await self._run(self._queries.consumers, writes=False):
            if is_registered:
                handlers = await self._run(partial(self._queries.known_handlers, consumer=number), writes=False)
                stats = await self._run(partial(self._queries.stats, consumer=number, since=since), writes=False)
                found.append(
                    Consumer(
                        name=name,
                        since=since,
                        handlers=handlers,
                        by_state=stats.by_state,
                        oldest_waiting=stats.oldest_waiting,
                    )
                )
        return found

    async def _consumer(self, name: str) -> tuple[int, int]:
        """Find a consumer's ID, and since when it is registered."""
        if name not in self._consumers:
            known = await self._run(self._queries.consumers, writes=False)
            found = {one: (number, since) for number, one, _, since in known}
            if name == DEFAULT:
                found.setdefault(name, found[known[0][1]])
            if name not in found:
                raise ConfigurationError(f"there is no consumer {name!r}; there are: {', '.join(sorted(found))}")
            self._consumers[name] = found[name]
        return self._consumers[name]

    async def _check_handler(self, handler: str | None, consumer: int) -> KnownHandler | None:
        """Find a handler by its name; a name that is misspelled would wait for ever.

        Raises:
            ConfigurationError: the consumer has no such handler.
        """
        if handler is None:
            return None
        known = await self._run(partial(self._queries.known_handlers, consumer=consumer), writes=False)
        if handler not in known:
            names = ", ".join(known) or "none yet: a worker registers them as it starts"
            raise ConfigurationError(f"there is no handler {handler!r}; there are: {names}")
        return known[handler]

    # Working.

    async def claim(
        self, limit: int, *, now: float, lease: float, consumer: str = DEFAULT, has: Collection[str] | None = None
    ) -> list[Claim]:
        """Lease up to so many ordering keys for so many seconds."""
        number, _ = await self._consumer(consumer)
        return await self._run(
            partial(self._queries.claim, consumer=number, has=has, limit=limit, now=now, seconds=lease)
        )

    async def refresh(self, lease: Lease, *, now: float) -> Claim | None:
        """Prolong a lease, and read its events again."""
        return await self._run(partial(self._queries.refresh, lease=lease, now=now))

    def completion(
        self,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        *,
        closes: EventState | None,
        now: float,
        releases: bool = False,
    ) -> Completion:
        """Give the statements that record a result, for a connection of the user's own."""
        return self._queries.completion(
            lease=lease, event_id=event_id, run=run, closes=closes, now=now, releases=releases
        )

    @asynccontextmanager
    async def transaction(self, lease: Lease, *, handler: str = "") -> AsyncIterator[HandlerTransaction[C]]:
        """Give a transaction for one handler, that begins with its first statement."""
        async with self._handler_connection(handler) as connection:
            yield HandlerTransaction(connection, self._recorder, lease)

    def _recorder(self, **result: Any) -> Callable[[C], Result[bool]]:
        """Make the query that records one result; it may be done twice."""
        return partial(self._queries.record_result, **result)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        """Give a transaction in the inbox's database, of the kind that handlers get, and commit it at the end."""
        async with self._handler_connection() as connection:
            yield connection
            # Committing takes a query of the inbox; this one only reads.
            await connection.commit(self._queries.watermark)

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
        """Record how a handler ended."""
        return await self._run(
            self._recorder(
                lease=lease,
                event_id=event_id,
                run=run,
                closes=closes,
                now=now,
                reason=reason,
                releases=releases,
            )
        )

    async def release(
        self, lease: Lease, *, due_at: float | None, now: float, abandoned: int = 0, needs: str | None = None
    ) -> None:
        """Give a key back."""
        if await self._run(
            partial(self._queries.release, lease=lease, due_at=due_at, now=now, abandoned=abandoned, needs=needs)
        ):
            self._hint.set()

    def worker(self, dispatcher: Dispatcher, *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is stored while the context lasts."""
        from leadpay.inbox.worker import Worker  # noqa: PLC0415 - a receiver that doesn't work needn't load it

        return Worker(self, dispatcher, client=client)

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when something was added."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hint.wait()
        self._hint.clear()

    # By hand.

    async def stats(self, *, consumer: str = DEFAULT) -> Stats:
        """Count the events."""
        number, since = await self._consumer(consumer)
        return await self._run(partial(self._queries.stats, consumer=number, since=since), writes=False)

    async def events(
        self,
        *,
        state: EventState | None = None,
        event_type: str | None = None,
        ordering_key: str | None = None,
        before: int | None = None,
        limit: int | None = None,
        consumer: str = DEFAULT,
    ) -> AsyncIterator[StoredEvent]:
        """Iterate over the events, newest receipt first, a page at a time."""
        # An older spelling of a type means the current one.
        wanted = {
            "state": state,
            "type": None if event_type is None else str(EventType(event_type)),
            "ordering_key": ordering_key,
        }
        before, left = LAST if before is None else before, LAST if limit is None else limit
        while left > 0:
            size = min(PAGE, left)
            page = await self._page(consumer, wanted, before, size)
            for event in page:
                before = event.number
                yield event
            left = left - size if len(page) == size else 0

    async def get(self, event_id: str, *, consumer: str = DEFAULT) -> StoredEvent | None:
        """Look one event up."""
        page = await self._page(consumer, {"id": event_id}, LAST, 1)
        return page[0] if page else None

    async def _page(self, consumer: str, wanted: Mapping[str, str | None], before: int, size: int) -> list[StoredEvent]:
        number, since = await self._consumer(consumer)
        query = partial(self._queries.page, consumer=number, since=since, wanted=wanted, before=before, limit=size)
        return await self._run(query, writes=False)

    async def replay(self, event_id: str, *, handler: str | None = None, now: float, consumer: str = DEFAULT) -> bool:
        """Have an event handled again."""
        number, _ = await self._consumer(consumer)
        await self._check_handler(handler, number)
        found = await self._replay(event_id, handler, now, number)
        self._hint.set()
        return found

    async def _replay(self, event_id: str, handler: str | None, now: float, consumer: int) -> bool:
        query = partial(self._queries.replay, consumer=consumer, event_id=event_id, handler=handler, now=now)
        return await self._run(query) or await self._read_again(event_id, now)

    async def _read_again(self, event_id: str, now: float) -> bool:
        """Have an event handled that could not be read before."""
        found = await self._run(partial(self._queries.unreadable, event_id=event_id), writes=False)
        if found is None:
            return False
        number, body = found
        try:
            event = parse(body)
        except MalformedEventError:
            return False
        new = NewEvent.of(event, body, utc_datetime(now))
        return await self._run(partial(self._queries.make_readable, number=number, new=new, now=now))

    async def replay_all(
        self,
        *,
        state: EventState | None = None,
        event_type: str | None = None,
        handler: str | None = None,
        now: float,
        consumer: str = DEFAULT,
    ) -> int:
        """Replay every event with this state and type, and count them."""
        number, _ = await self._consumer(consumer)
        known = await self._check_handler(handler, number)
        count = 0
        async for event in self.events(state=state, event_type=event_type, consumer=consumer):
            if known is None or _came_before(event, known):
                count += await self._replay(event.event_id, handler, now, number)
        self._hint.set()
        return count

    async def note(self, number: int, note: Note) -> None:
        """Keep what a person did to an event."""
        await self._run(partial(self._queries.note, number=number, note=note))

    async def notes(self, number: int) -> list[Note]:
        """List what people did to an event, the first thing first."""
        return await self._run(partial(self._queries.notes, number=number), writes=False)

    async def revision(self) -> str:
        """Give a text that differs once something has changed that a person may look at; it counts nothing."""
        return await self._run(self._queries.revision, writes=False)

    async def discard(self, event_id: str, *, reason: str, now: float, consumer: str = DEFAULT) -> bool:
        """Take an event out of the way, and keep its row."""
        number, _ = await self._consumer(consumer)
        return await self._run(
            partial(self._queries.discard, consumer=number, event_id=event_id, reason=reason, now=now)
        )

    async def purge(self, *, before: datetime) -> int:
        """Delete the bodies of done and discarded events that were received before a time."""
        total, count = 0, PAGE
        while count == PAGE:
            count = await self._run(partial(self._queries.purge, before=before))
            total += count
        await self._shrink()
        return total

    async def erase(self, payment_id: str) -> int:
        """Delete the bodies of one payment's events; see :class:`leadpay.inbox.store.Inbox`."""
        count = await self._run(partial(self._queries.erase, ordering_key=payment_id))
        await self._shrink()
        return count

    async def _shrink(self) -> None:
        """Give disk space back, and have nothing that was deleted stay in a log; a server does this by itself."""

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        return await self._run(self._queries.watermark, writes=False)

    async def set_watermark(self, time: datetime) -> None:
        """Move the watermark, forwards only."""
        await self._run(partial(self._queries.set_watermark, time=time))

    async def probe(self) -> None:
        """Raise unless it is open, and can write."""
        await self._run(self._queries.probe)

    async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
        """Add to what is known of signing secrets."""
        await self._run(partial(self._queries.record_secrets, uses=uses))

    async def secrets(self) -> list[SecretUse]:
        """List what is known of signing secrets, from all receivers."""
        return await self._run(self._queries.secrets, writes=False)


def _came_before(event: StoredEvent, handler: KnownHandler) -> bool:
    """Whether an event was through before a handler was registered, and would have been its to handle."""
    if event.state == "waiting" or handler.name in event.handler_runs or not handler.takes_type(event.type):
        return False
    # Every run of an event that is as old as the handler has a row.
    return event.number <= handler.since or event.state == "unhandled"
