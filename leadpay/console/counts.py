"""Counts that pages show: counted again only as often as counting is cheap."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from leadpay.clock import Clock

T = TypeVar("T")

SHARE: Final = 300
"""Counting takes at most one of so many parts of the time: what takes 0.1 seconds is counted every 30 seconds."""


class Counts(Generic[T]):
    """The newest result of a count.

    Args:
        count: counts.
        clock: measures how long that takes.
    """

    def __init__(self, count: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._known: tuple[T, float] | None = None

    async def get(self) -> T:
        """Give the counts, counted now or not long ago."""
        started = self._clock.monotonic()
        if self._known is not None and started < self._known[1]:
            return self._known[0]
        found = await self._count()
        ended = self._clock.monotonic()
        self._known = (found, ended + SHARE * (ended - started))
        return found

    def forget(self) -> None:
        """Count again next time: a person has changed something."""
        self._known = None
