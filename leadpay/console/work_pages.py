"""What waits for a person, and how the queues do."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from leadpay.console import charts
from leadpay.console.app import Console, Pages, Section
from leadpay.console.events_view import payment_of
from leadpay.console.inbox_pages import EXPLANATIONS, NEEDS_PERSON

if TYPE_CHECKING:
    from leadpay.inbox import Inbox, StoredEvent
    from leadpay.inbox.store import Consumer
    from leadpay.models import InstantPayment
    from leadpay.outbox import Instruction, Outbox
    from leadpay.webhooks.secrets import SecretUse

ROWS: Final = 8
"""Rows of each kind of work; its own page has the rest."""

RECENT: Final = 1_000
"""Events that the chart of what was received looks at."""

WINDOW: Final = 3600.0
"""Seconds that the charts show at most."""

POINTS: Final = 60
"""Points of a chart."""

SAMPLE_SECONDS: Final = WINDOW / POINTS
"""Seconds between two looks at the queues, while the console runs."""


@attrs.frozen
class Sample:
    """The queues at one time."""

    at: float
    waiting: int
    queued: int


class WorkPages(Pages):
    """The pages.

    Args:
        console: what all pages share.
        inbox: the stored events.
        outbox: the instructions.
    """

    def __init__(self, console: Console, inbox: "Inbox | None", outbox: "Outbox | None") -> None:
        self._console = console
        self._inbox = inbox
        self._outbox = outbox
        self._samples: deque[Sample] = deque(maxlen=POINTS)
        self._stats = None if inbox is None else console.counts("default", inbox.stats)
        self._consumers = None if inbox is None else console.counts("consumers", inbox.consumers)
        self._outbox_stats = None if outbox is None else console.counts("outbox", outbox.stats)
        self.sections = (
            Section("/work", "Work", "work", waiting=self._need_person),
            Section("/health", "Health", "health"),
        )
        self.lifespan = self.sampling
        # What was counted too early for a page is shown once it has been counted again.
        self.sources = tuple(counts.get for counts in (self._stats, self._outbox_stats) if counts is not None)

    def routes(self) -> list[web.RouteDef]:
        """List the routes."""
        return [web.get("/work", self._work), web.get("/health", self._health)]

    async def sampling(self, _: web.Application) -> AsyncIterator[None]:
        """Look at the queues again and again, while the application runs."""
        task = asyncio.create_task(self._keep_sampling())
        yield
        task.cancel()
        await asyncio.wait([task])

    async def _keep_sampling(self) -> None:
        while True:
            # A store that is away leaves a gap in the chart.
            with suppress(Exception):
                await self.sample()
            await self._console.clock.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        """Look at the queues, and remember it."""
        waiting, queued = 0, 0
        if self._stats is not None:
            waiting = (await self._stats.get()).by_state.get("waiting", 0)
        if self._outbox_stats is not None:
            queued = (await self._outbox_stats.get()).by_state.get("queued", 0)
        self._samples.append(Sample(self._console.clock.now(), waiting, queued))

    async def _need_person(self) -> int:
        count = 0
        if self._stats is not None:
            by_state = (await self._stats.get()).by_state
            count += sum(by_state.get(state, 0) for state in NEEDS_PERSON)
        if self._outbox_stats is not None:
            stats = await self._outbox_stats.get()
            count += stats.needs_person + stats.by_state.get("held", 0)
        return count

    async def _work(self, request: web.Request) -> web.StreamResponse:
        now = self._console.clock.now()
        counts: dict[str, int] = {}
        events: dict[str, list[tuple[StoredEvent, InstantPayment | None]]] = {}
        instructions: dict[str, list[Instruction]] = {}
        if self._inbox is not None and self._stats is not None:
            counts |= (await self._stats.get()).by_state
            for state in (*NEEDS_PERSON, "waiting"):
                found = [event async for event in self._inbox.events(state=state, limit=ROWS)]
                events[state] = [(event, payment_of(event)) for event in found]
        if self._outbox is not None and self._outbox_stats is not None:
            stats = await self._outbox_stats.get()
            counts |= {"in_doubt": stats.needs_person, "held": stats.by_state.get("held", 0)}
            instructions["in_doubt"] = [
                one async for one in self._outbox.instructions(state="in_doubt", needs_person=True, limit=ROWS)
            ]
            instructions["held"] = [one async for one in self._outbox.instructions(state="held", limit=ROWS)]
        return await self._console.page(
            request,
            "work.html",
            events=events,
            instructions=instructions,
            counts=defaultdict(int, counts),
            explanations=EXPLANATIONS,
            now_seconds=now,
        )

    async def _health(self, request: web.Request) -> web.StreamResponse:
        now = self._console.clock.now()
        consumers: Sequence[Consumer] = ()
        secrets: Sequence[SecretUse] = ()
        received, span = [0], WINDOW
        if self._inbox is not None and self._consumers is not None:
            consumers = await self._consumers.get()
            secrets = await self._inbox.secrets()
            received, span = await self._received(self._inbox, now)
        stats = None if self._outbox_stats is None else await self._outbox_stats.get()
        return await self._console.page(
            request,
            "health.html",
            now_seconds=now,
            has_inbox=self._inbox is not None,
            consumers=consumers,
            secrets=secrets,
            received=received,
            received_chart=charts.area(received, f"Events received in each of {POINTS} parts of the time shown"),
            span=span,
            samples=list(self._samples),
            waiting_chart=charts.area([one.waiting for one in self._samples], "Waiting events, one point a minute"),
            queued_chart=charts.area([one.queued for one in self._samples], "Queued instructions, one point a minute"),
            outbox=stats,
        )

    async def _received(self, inbox: "Inbox", now: float) -> tuple[list[int], float]:
        """How many events were received in each part of the last hour, or of the time that the newest ones span."""
        times = [event.received_at.timestamp() async for event in inbox.events(limit=RECENT)]
        is_whole = len(times) < RECENT or times[-1] <= now - WINDOW
        span = WINDOW if is_whole else max(now - times[-1], 1.0)
        return charts.buckets(times, now - span, now + 1e-3, POINTS), span
