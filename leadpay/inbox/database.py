"""What the inboxes in SQLite and in PostgreSQL share: one operation is one query of their ``queries`` module."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar

from leadpay.enums import EventType
from leadpay.inbox.store import Claim, EventState, HandlerRun, Stats, StoredEvent
from leadpay.models import Event
from leadpay.storage import Lease
from leadpay.webhooks.dispatcher import Dispatcher
from leadpay.webhooks.secrets import SecretUse

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
T = TypeVar("T")

Result: TypeAlias = T | Awaitable[T]
"""SQLite's queries run in a thread, PostgreSQL's are coroutines."""

PAGE: Final = 100
"""How many rows are read, or purged, at a time, so that a long walk takes little memory and holds others up little."""

LAST: Final = 2**63 - 1
"""No event has so great a number."""


class Queries(Protocol[C_contra]):
    """What a module of queries holds; each is done in a transaction of its own, or in a handler's."""

    def claim(self, connection: C_contra, *, limit: int, now: float, seconds: float) -> Result[list[Claim]]:
        """Lease keys that are due, and read their events."""
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
    ) -> Result[bool]:
        """Record how a handler ended, and prolong the lease."""
        ...

    def release(
        self, connection: C_contra, *, lease: Lease, due_at: float | None, now: float, abandoned: int
    ) -> Result[bool]:
        """Give a key back, and say whether it is due at once."""
        ...

    def stats(self, connection: C_contra) -> Result[Stats]:
        """Count."""
        ...

    def page(
        self, connection: C_contra, *, wanted: Mapping[str, str | None], before: int, limit: int
    ) -> Result[list[tuple[int, StoredEvent]]]:
        """Read the newest events before a number, each with its number; ``wanted`` maps columns to values."""
        ...

    def replay(self, connection: C_contra, *, event_id: str, handler: str | None, now: float) -> Result[bool]:
        """Bring an event back."""
        ...

    def discard(self, connection: C_contra, *, event_id: str, reason: str, now: float) -> Result[bool]:
        """Take an event out of the way."""
        ...

    def purge(self, connection: C_contra, *, before: datetime) -> Result[int]:
        """Empty one page of bodies, and count them."""
        ...

    def watermark(self, connection: C_contra) -> Result[datetime | None]:
        """Read the watermark."""
        ...

    def set_watermark(self, connection: C_contra, *, time: datetime) -> Result[None]:
        """Move the watermark."""
        ...

    def record_secrets(self, connection: C_contra, *, uses: Sequence[SecretUse]) -> Result[None]:
        """Add to what is known of secrets."""
        ...

    def secrets(self, connection: C_contra) -> Result[list[SecretUse]]:
        """List what is known of secrets."""
        ...


class HandlerConnection(Protocol[C_co]):
    """``context.transaction`` as the inbox sees it."""

    async def commit(self, work: Callable[[C_co], Any]) -> Any:
        """Do this in the handler's transaction, and commit."""
        ...


class HandlerTransaction(Generic[C]):
    """One handler's transaction."""

    def __init__(self, connection: HandlerConnection[C], queries: Queries[C], lease: Lease) -> None:
        self.connection: Any = connection
        self._queries = queries
        self._lease = lease

    async def commit(self, event_id: str, run: HandlerRun, *, closes: EventState | None, now: float) -> bool:
        """Record the run in the same transaction and commit."""
        record = partial(
            self._queries.record_result, lease=self._lease, event_id=event_id, run=run, closes=closes, now=now
        )
        return bool(await self.connection.commit(record))


class DatabaseInbox(ABC, Generic[C]):
    """An inbox whose operations are queries."""

    def __init__(self, queries: Queries[C]) -> None:
        self._queries = queries
        self._hint = asyncio.Event()

    @abstractmethod
    async def _run(self, query: Callable[[C], Result[T]], *, writes: bool = True) -> T:
        """Do a query in a transaction, and commit."""

    @abstractmethod
    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open it."""

    @abstractmethod
    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""

    @abstractmethod
    def _handler_connection(self) -> AbstractAsyncContextManager[HandlerConnection[C]]:
        """Give what a handler gets as ``context.transaction``; it is rolled back unless it is committed."""

    # Working.

    async def claim(self, limit: int, *, now: float, lease: float) -> list[Claim]:
        """Lease up to so many ordering keys for so many seconds."""
        return await self._run(partial(self._queries.claim, limit=limit, now=now, seconds=lease))

    @asynccontextmanager
    async def transaction(self, lease: Lease) -> AsyncIterator[HandlerTransaction[C]]:
        """Give a transaction for one handler, that begins with its first statement."""
        async with self._handler_connection() as connection:
            yield HandlerTransaction(connection, self._queries, lease)

    async def record_result(
        self, lease: Lease, event_id: str, run: HandlerRun | None, *, closes: EventState | None, now: float
    ) -> bool:
        """Record how a handler ended, and prolong the lease."""
        return await self._run(
            partial(self._queries.record_result, lease=lease, event_id=event_id, run=run, closes=closes, now=now)
        )

    async def release(self, lease: Lease, *, due_at: float | None, now: float, abandoned: int = 0) -> None:
        """Give a key back."""
        if await self._run(partial(self._queries.release, lease=lease, due_at=due_at, now=now, abandoned=abandoned)):
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

    async def stats(self) -> Stats:
        """Count the events."""
        return await self._run(self._queries.stats, writes=False)

    async def events(
        self, *, state: EventState | None = None, event_type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Iterate over the events, newest receipt first, a page at a time."""
        # An older spelling of a type means the current one.
        wanted = {"state": state, "type": None if event_type is None else str(EventType(event_type))}
        before, left = LAST, LAST if limit is None else limit
        while left > 0:
            size = min(PAGE, left)
            page = await self._page(wanted, before, size)
            for number, event in page:
                before = number
                yield event
            left = left - size if len(page) == size else 0

    async def get(self, event_id: str) -> StoredEvent | None:
        """Look one event up."""
        page = await self._page({"id": event_id}, LAST, 1)
        return page[0][1] if page else None

    async def _page(self, wanted: Mapping[str, str | None], before: int, size: int) -> list[tuple[int, StoredEvent]]:
        return await self._run(partial(self._queries.page, wanted=wanted, before=before, limit=size), writes=False)

    async def replay(self, event_id: str, *, handler: str | None = None, now: float) -> bool:
        """Have an event handled again."""
        found = await self._run(partial(self._queries.replay, event_id=event_id, handler=handler, now=now))
        self._hint.set()
        return found

    async def replay_all(
        self,
        *,
        state: EventState | None = None,
        event_type: str | None = None,
        handler: str | None = None,
        now: float,
    ) -> int:
        """Replay every event with this state and type, and count them."""
        count = 0
        async for event in self.events(state=state, event_type=event_type):
            if handler not in event.handler_runs:
                count += await self.replay(event.event_id, handler=handler, now=now)
        return count

    async def discard(self, event_id: str, *, reason: str, now: float) -> bool:
        """Take a waiting, dead or unhandled event out of the way, and keep its row."""
        return await self._run(partial(self._queries.discard, event_id=event_id, reason=reason, now=now))

    async def purge(self, *, before: datetime) -> int:
        """Delete the bodies of done and discarded events that were received before a time."""
        total, count = 0, PAGE
        while count == PAGE:
            count = await self._run(partial(self._queries.purge, before=before))
            total += count
        return total

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        return await self._run(self._queries.watermark, writes=False)

    async def set_watermark(self, time: datetime) -> None:
        """Move the watermark, forwards only."""
        await self._run(partial(self._queries.set_watermark, time=time))

    async def record_secrets(self, uses: Sequence[SecretUse]) -> None:
        """Add to what is known of signing secrets."""
        await self._run(partial(self._queries.record_secrets, uses=uses))

    async def secrets(self) -> list[SecretUse]:
        """List what is known of signing secrets, from all receivers."""
        return await self._run(self._queries.secrets, writes=False)
