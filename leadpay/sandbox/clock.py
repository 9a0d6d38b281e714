"""Two clocks: the machine's, and one that a test moves."""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, Protocol

START: Final = 1_736_175_600.0
"""The time at which a manual clock starts unless set: Monday, 2025-01-06, 10:00 in New York."""

LOOP_ITERATIONS: Final = 30
"""How many iterations of the event loop a manual clock grants at each time, so that tasks that were woken can run.

A request and its response over loopback take about twelve.
"""


class Clock(Protocol):
    """The time, and waiting; the same interface as the SDK's own clock."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never decrease, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        ...


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never decrease, for durations."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until :meth:`advance` is called.

    If the sandbox, the client and the receiver have the same clock, ten business days take milliseconds::

        clock = ManualClock()
        async with Sandbox(clock=clock) as bank:
            ...
            await clock.advance(14 * 86_400)
    """

    __slots__ = ("_hooks", "_now", "_numbers", "_sleepers", "_start")

    def __init__(self, start: float = START) -> None:
        self._start = self._now = start
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._hooks: list[Callable[[], Awaitable[None]]] = []

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
        """Move the time: everything that becomes due happens, in order, each at its own time.

        Args:
            seconds: how far, 0 or more; 0 does what is due now.

        Raises:
            ValueError: the number is negative.
        """
        if seconds < 0:
            raise ValueError("seconds: time does not go backwards")
        target = self._now + seconds
        await self._run_tasks()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await self._run_tasks()
        self._now = target
        await self._run_tasks()

    def on_advance(self, hook: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Await a hook at each time before the clock moves on. Returns a function that removes the hook."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    async def _run_tasks(self) -> None:
        for _ in range(LOOP_ITERATIONS):
            await asyncio.sleep(0)
        for hook in tuple(self._hooks):
            await hook()
