"""Fetch events that were missed from the bank's event list, into the same inbox.

The bank gives a webhook up after 24 attempts, three hours apart, and lists events for 90 days (its pages on webhooks
and events). An event that is in the inbox already is a duplicate there, so fetching too much does no harm.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.converter import encode, unstructure
from leadpay.errors import ConfigurationError, LeadError
from leadpay.inbox.store import Inbox
from leadpay.models import Event
from leadpay.webhooks.dispatcher import traceback_without_messages

if TYPE_CHECKING:
    from leadpay.client import LeadClient

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

    Without ``since`` it begins where the last walk ended, and the first time with the oldest event in the inbox: an
    older event was not this inbox's to handle.

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
    if overlap < timedelta() or (since is not None and since.tzinfo is None):
        raise ConfigurationError("since must be an aware time, and overlap must not be negative")
    clock = clock or SystemClock()
    now = utc_datetime(clock.now())
    mark = await inbox.watermark()
    start = since or await _start(inbox, mark, now, overlap)
    # A walk by hand that begins after the watermark doesn't move it over the gap.
    moves_mark = since is None or mark is None or since <= mark
    done = Backfilled(start=start, end=start, seen=0, recovered=0, near_limit=now - start >= NEAR_LIMIT)
    if done.near_limit:
        logger.error(_GAP, start.isoformat(timespec="minutes"), RETENTION.days)
    start = max(start, now - RETENTION)
    while start < now:
        end = start + STEP
        # The last stretch has no end, since the bank's clock may be ahead of ours.
        listed = client.events.list(created_on_or_after=start, created_before=end if end < now else None, limit=GROUP)
        found = {event.id: event async for event in listed}
        recovered = await _store(inbox, sorted(found.values(), key=lambda event: event.created_at), now)
        start = min(end, now)
        if moves_mark:
            await inbox.set_watermark(start)
        done = attrs.evolve(done, end=start, seen=done.seen + len(found), recovered=done.recovered + recovered)
        if progress is not None:
            progress(done)
    if moves_mark:
        await inbox.set_watermark(now)
    return done


_GAP: Final = "the outage began at %s, and the bank lists %d days of events: older ones are gone for ever"


@asynccontextmanager
async def backfilling(
    client: "LeadClient",
    inbox: Inbox,
    *,
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
        every: seconds between walks.
        overlap: how far before the watermark each begins.
        clock: what tells the time.
    """
    task = asyncio.create_task(_walk_forever(client, inbox, every, overlap, clock or SystemClock()))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _walk_forever(client: "LeadClient", inbox: Inbox, every: float, overlap: timedelta, clock: Clock) -> None:
    while True:
        try:
            done = await backfill(client, inbox, overlap=overlap, clock=clock)
        except LeadError as error:
            logger.error("the bank's events could not be walked: %s", error)  # noqa: TRY400 - one line is enough
        except Exception as error:  # noqa: BLE001 - a walk that fails for any reason is tried again
            logger.error("the bank's events could not be walked: %s", traceback_without_messages(error))  # noqa: TRY400 - its message may hold anything
        else:
            if done.recovered:
                logger.warning("recovered %d of %d events since %s", done.recovered, done.seen, done.start)
        await clock.sleep(every)


async def _start(inbox: Inbox, mark: datetime | None, now: datetime, overlap: timedelta) -> datetime:
    """Find where to begin: at the watermark, else at the oldest event in the inbox, else now."""
    if mark is not None:
        return mark - overlap
    oldest = now
    async for event in inbox.events():
        oldest = min(oldest, event.created_at)
    return oldest


async def _store(inbox: Inbox, events: Sequence[Event], now: datetime) -> int:
    """Add events in their order, and count those that were new."""
    recovered = 0
    for first in range(0, len(events), GROUP):
        group = events[first : first + GROUP]
        bodies = (encode(unstructure(event)) for event in group)
        adding = (inbox.add(event, body, received_at=now) for event, body in zip(group, bodies, strict=True))
        # All of a group end before the first failure is raised.
        for new in await asyncio.gather(*adding, return_exceptions=True):
            if isinstance(new, BaseException):
                raise new
            recovered += new
    return recovered
