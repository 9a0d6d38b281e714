"""Time as an argument: code that needs the time takes a Clock, so that tests do not wait."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and sleeps."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back, to measure durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for this many seconds."""
        ...


class SystemClock:
    """The clock of this machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Sleep for this many seconds."""
        await asyncio.sleep(seconds)


def utc_datetime(seconds: float) -> datetime:
    """Convert seconds since 1970 to a datetime in UTC that is never later.

    ``fromtimestamp`` rounds to microseconds, also upwards: an event that is due when it is received would then be due
    a moment later.

    Args:
        seconds: since 1970.
    """
    rounded = datetime.fromtimestamp(seconds, UTC)
    return rounded if rounded.timestamp() <= seconds else rounded - timedelta(microseconds=1)
