"""Fetch events that were missed from the bank's event list, into the same inbox.

The bank gives a webhook up after 24 attempts, three hours apart, and lists events for 90 days (its pages on webhooks
and events). An event that is in the inbox already is a duplicate there, so fetching too much does no harm.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import attrs

from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.converter import encode, unstructure
from leadpay.errors import ConfigurationError, LeadError
from leadpay.inbox.store import Inbox
from leadpay.models import Event
from leadpay.webhooks.dispatcher import traceback_without_messages

if TYPE_CHECKING:
    from leadpay.client import LeadClient
    from leadpay.client.pagination import AsyncPager, UnreadableObject

logger = logging.getLogger("leadpay.inbox")

RETENTION: Final = timedelta(days=90)
"""How long the bank lists events."""

NEAR_LIMIT: Final = timedelta(days=80)
"""From which age on a gap is near the bank's limit."""

OVERLAP: Final = timedelta(hours=1)
"""How far before the watermark a walk begins: for clocks that differ, and events that are listed late."""

STEP: Final = timedelta(hours=6)
"""How much is fetched before it is stored, oldest first: what an interrupted walk has to do again."""

INTERVAL_SECONDS: Final = 900.0
"""How often :func:`backfilling` walks the list, in seconds: much sooner than the bank's three hours."""

_GAP: Final = "the outage began at %s, and the bank lists %d days of events: older ones are gone for ever"

GROUP: Final = 100
"""How many events are handed to the inbox at once, to share commits."""


@attrs.frozen(kw_only=True)
class Backfilled:
    """The result of a walk through the bank's event list."""

    start: datetime
    end: datetime
    seen: int
    """How many events the bank listed."""
    recovered: int
    """How many of them were not in the inbox."""
    unreadable: int
    """How many of them cannot be read; the inbox keeps them as they are."""
    near_limit: bool
    """Whether the walk began so long ago that events may be gone for ever."""


Progress: TypeAlias = Callable[[Backfilled], object]
"""Is called with the result so far, whose ``end`` moves on."""


async def backfill(
    client: "LeadClient",
    inbox: Inbox,
    *,
    since: datetime | None = None,
    overlap: timedelta = OVERLAP,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Backfilled:
    """Walk the bank's event list up to now, and add to the inbox what it lacks.

    Without ``since`` it begins where the last walk ended, and the first time with the oldest event that the bank lists.
    If another system has handled events before, say in ``since`` from when on they are this inbox's to handle.

    Args:
        client: a LeadClient with the scope ``event/read``.
        inbox: an open inbox.
        since: an aware time to begin at, instead of the watermark.
        overlap: how far before the watermark to begin.
        clock: what tells the time.
        progress: is called after each few hours of events.

    Returns:
        How many were listed and how many recovered.

    Raises:
        ConfigurationError: ``since`` has no time zone, or the overlap is negative.
        LeadError: the bank or the inbox failed; the next walk goes on where this one stopped.
    """
    _check(since, overlap)
    clock = clock or SystemClock()
    now = utc_datetime(clock.now())
    mark = await inbox.watermark()
    if since is None and mark is None:
        logger.warning("the first walk: all events of the %d days that the bank lists are fetched", RETENTION.days)
    start = since or (now - RETENTION if mark is None else mark - overlap)
    # A walk by hand that begins after the watermark doesn't move it over the gap.
    moves_mark = since is None or mark is None or since <= mark
    is_late = now - start >= NEAR_LIMIT and (since is not None or mark is not None)
    done = Backfilled(start=start, end=start, seen=0, recovered=0, unreadable=0, near_limit=is_late)
    if done.near_limit:
        logger.error(_GAP, start.isoformat(timespec="minutes"), RETENTION.days)
    start = max(start, now - RETENTION)
    while start < now:
        end = start + STEP
        # The last stretch has no end, since the bank's clock may be ahead of ours.
        listed = client.events.list(created_on_or_after=start, created_before=end if end < now else None, limit=GROUP)
        found = await _read(listed)
        recovered = await _store(inbox, found, now)
        start = min(end, now)
        if moves_mark:
            await inbox.set_watermark(start)
        done = attrs.evolve(
            done,
            end=start,
            seen=done.seen + len(found.events) + len(found.unreadable),
            recovered=done.recovered + recovered,
            unreadable=done.unreadable + len(found.unreadable),
        )
        if progress is not None:
            progress(done)
    if moves_mark:
        await inbox.set_watermark(now)
    return done


@asynccontextmanager
async def backfilling(
    client: "LeadClient",
    inbox: Inbox,
    *,
    since: datetime | None = None,
    every: float = INTERVAL_SECONDS,
    overlap: timedelta = OVERLAP,
    clock: Clock | None = None,
) -> AsyncIterator[None]:
    """Backfill at once, and again every so often, while the context lasts; failures are logged and tried again.

    ::

        async with LeadClient.from_env() as lead, open_inbox(url) as inbox, backfilling(lead, inbox):
            ...

    Args:
        client: a LeadClient with the scope ``event/read``.
        inbox: an open inbox.
        since: an aware time at which the first walk of an inbox begins, see :func:`backfill`; later walks begin where
            the one before ended.
        every: seconds between walks.
        overlap: how far before the watermark each begins.
        clock: what tells the time.

    Raises:
        ConfigurationError: as :func:`backfill`.
    """
    _check(since, overlap)
    clock = clock or SystemClock()
    walk = partial(backfill, client, inbox, overlap=overlap, clock=clock)
    task = asyncio.create_task(_walk_forever(walk, inbox, since, every, clock))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _walk_forever(
    walk: Callable[..., Awaitable[Backfilled]], inbox: Inbox, first_since: datetime | None, every: float, clock: Clock
) -> None:
    while True:
        try:
            since = first_since if await inbox.watermark() is None else None
            done = await walk(since=since)
        except LeadError as error:
            logger.error("the bank's events could not be walked: %s", error)  # noqa: TRY400 - one line is enough
        except (Exception, asyncio.CancelledError) as error:
            # A cancellation that is not for this task is a failure of what the walk waited for.
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            logger.error("the bank's events could not be walked: %s", traceback_without_messages(error))  # noqa: TRY400 - its message may hold anything
        else:
            if done.recovered:
                logger.warning("recovered %d of %d events since %s", done.recovered, done.seen, done.start)
        await clock.sleep(every)


def _check(since: datetime | None, overlap: timedelta) -> None:
    if overlap < timedelta() or (since is not None and since.tzinfo is None):
        raise ConfigurationError("since must be an aware time, and overlap must not be negative")


class _Found(NamedTuple):
    """What the bank lists for a stretch of time, each ID once."""

    events: list[Event]
    unreadable: list["UnreadableObject"]


async def _read(listed: "AsyncPager[Event]") -> _Found:
    """Read a list to its end, and sort its events."""
    events: dict[str, Event] = {}
    unreadable: dict[str | bytes, UnreadableObject] = {}
    async for page in listed.pages():
        events |= {event.id: event for event in page.objects}
        unreadable |= {one.id or one.body: one for one in page.unreadable}
    return _Found(sorted(events.values(), key=lambda event: event.created_at), list(unreadable.values()))


async def _store(inbox: Inbox, found: _Found, now: datetime) -> int:
    """Add events in their order, and then what cannot be read; count what was new."""
    recovered = 0
    for first in range(0, len(found.events), GROUP):
        group = found.events[first : first + GROUP]
        bodies = (encode(unstructure(event)) for event in group)
        adding = (inbox.add(event, body, received_at=now) for event, body in zip(group, bodies, strict=True))
        # All of a group end before the first failure is raised.
        for new in await asyncio.gather(*adding, return_exceptions=True):
            if isinstance(new, BaseException):
                raise new
            recovered += new
    for one in found.unreadable:
        logger.error("the bank lists an event that cannot be read: %s", one)
        problems = [f"{reason} @ {path}" for path, reason in one.problems]
        recovered += await inbox.add_unreadable(one.id, one.body, problems, received_at=now)
    return recovered
