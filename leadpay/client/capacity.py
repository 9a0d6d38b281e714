"""When an attempt may begin: few at a time, in the order of the calls, not during a pause, few a second."""

import asyncio
from random import Random
from typing import Final

from leadpay.clock import Clock
from leadpay.errors import ConfigurationError, RequestNotSentError

MAX_IN_FLIGHT: Final = 100
"""Most attempts of one client at a time. Further calls wait in the order in which they came, as long as their deadline
allows, and not in aiohttp's pool, whose wait counts as a failure to connect."""

MAX_SHARED_PAUSE: Final = 60.0
"""Longest pause, in seconds, by which one ``Retry-After`` holds back the other calls of a client: as long as a call may
take, so that one wrong header cannot stop a client for hours."""

PAUSE_JITTER: Final = 0.25
"""How much later than the end of a pause a call may begin, in seconds, so that not all begin at once."""


class Capacity:
    """Lets attempts begin.

    Args:
        clock: tells the time.
        rng: spreads what waits for the same moment.
        max_per_second: most attempts a second; no limit if left out.
    """

    def __init__(self, clock: Clock, rng: Random, max_per_second: float | None = None) -> None:
        is_number = isinstance(max_per_second, int | float) and not isinstance(max_per_second, bool)
        if max_per_second is not None and not (is_number and 0 < max_per_second < float("inf")):
            raise ConfigurationError("max_per_second: must be a positive number")
        self._clock = clock
        self._rng = rng
        self._interval = 0.0 if max_per_second is None else 1 / max_per_second
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._next_start = 0.0
        self._paused_until = 0.0
        self.release = self._slots.release
        """Say that an attempt has ended."""

    def pause(self, seconds: float) -> None:
        """Let no attempt begin for so many seconds, since the bank asked for it."""
        until = self._clock.monotonic() + min(seconds, MAX_SHARED_PAUSE)
        self._paused_until = max(self._paused_until, until)

    async def acquire(self, deadline: float) -> None:
        """Wait until an attempt may begin.

        Raises:
            RequestNotSentError: not before the deadline, on the clock's monotonic scale.
        """
        if self._slots.locked():
            try:
                async with asyncio.timeout(deadline - self._clock.monotonic()):
                    await self._slots.acquire()
            except TimeoutError:
                raise RequestNotSentError("the deadline passed in this client's queue", is_permanent=True) from None
        else:
            await self._slots.acquire()
        if self._interval or self._paused_until:
            try:
                await self._wait_for_start(deadline)
            except BaseException:
                self.release()
                raise

    async def _wait_for_start(self, deadline: float) -> None:
        now = self._clock.monotonic()
        if self._paused_until > now:
            pause = self._paused_until - now
            if self._paused_until >= deadline:
                raise RequestNotSentError(
                    "the bank asked for a pause that ends after the deadline", retry_after=pause, is_permanent=True
                )
            await self._clock.sleep(pause + self._rng.random() * min(PAUSE_JITTER, deadline - self._paused_until))
            now = self._clock.monotonic()
        if self._interval:
            start = max(now, self._next_start)
            if start >= deadline:
                raise RequestNotSentError("max_per_second allows no attempt before the deadline", is_permanent=True)
            self._next_start = start + self._interval
            if start > now:
                await self._clock.sleep(start - now)
