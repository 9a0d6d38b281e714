"""Counts that pages show: counted again only as often as counting is cheap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from leadpay.clock import Clock

T = TypeVar("T")

SHARE: Final = 300
"""Counting takes at most one of so many parts of the time: what takes 0.1 seconds is counted every 30 seconds."""


SLOW: Final = 0.05
"""Seconds from which a page does not wait for a count: it shows the last one, and is told of the new one."""


class Counts(Generic[T]):
    """The newest result of a count.

    Args:
        count: counts.
        clock: measures how long that takes.
    """

    def __init__(self, count: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._known: tuple[T] | None = None
        self._cost = self._until = 0.0
        self._counting: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Give the counts, counted now or not long ago."""
        if self._known is not None and self._clock.monotonic() < self._until:
            return self._known[0]
        if self._known is None or self._cost < SLOW:
            return await self._count_now()
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count_now())
            self._counting.add_done_callback(_retrieve)
        return self._known[0]

    async def _count_now(self) -> T:
        started = self._clock.monotonic()
        found = await self._count()
        ended = self._clock.monotonic()
        self._known, self._cost, self._until = (found,), ended - started, ended + SHARE * (ended - started)
        return found

    def forget(self) -> None:
        """Count again next time: a person has changed something."""
        self._until = 0.0


def _retrieve(task: "asyncio.Task[T]") -> None:
    """Take note of a failure: the next count tells of it, if it lasts."""
    if not task.cancelled():
        task.exception()
