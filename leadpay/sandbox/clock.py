"""Two clocks: the machine's, and one that moves only when told."""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, Protocol

START: Final = 1_736_175_600.0
"""Where a manual clock begins unless told: Monday, 2025-01-06, 10:00 in New York, in seconds since 1970."""

TURNS: Final = 30
"""How often the event loop may turn after each moment of a manual clock, so that whoever was woken can act.

A request and its answer over loopback take a dozen turns.
"""


class Clock(Protocol):
    """What tells the time and lets it pass; the same shape as the SDK's own."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        ...


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow, for durations."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        await asyncio.sleep(seconds)


class ManualClock:
    """Time that stands still until :meth:`advance` is called.

    Give the same clock to the sandbox, the client and the receiver, and ten business days pass in milliseconds::

        clock = ManualClock()
        async with Sandbox(clock=clock) as bank:
            ...
            await clock.advance(14 * 86_400)
    """

    __slots__ = ("_now", "_numbers", "_quiet", "_sleepers", "_start")

    def __init__(self, start: float = START) -> None:
        self._start = self._now = start
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._quiet: list[Callable[[], Awaitable[None]]] = []

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._now - self._start

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by so many seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass: everything that falls due happens, in order, each at its own moment.

        Args:
            seconds: how far to move, 0 or more; 0 does what is due now.

        Raises:
            ValueError: for a negative number.
        """
        if seconds < 0:
            raise ValueError("seconds: time does not run backwards")
        target = self._now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await self._settle()
        self._now = target
        await self._settle()

    def before_moving(self, quiet: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Have the clock wait for somebody's work at each moment; the function that comes back ends that."""
        self._quiet.append(quiet)
        return lambda: self._quiet.remove(quiet)

    async def _settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for quiet in tuple(self._quiet):
            await quiet()
