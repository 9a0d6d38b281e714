"""Time as an argument: whoever needs it takes a Clock, so that no test waits."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time and lets it pass."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        ...


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        await asyncio.sleep(seconds)


def moment(seconds: float) -> datetime:
    """Write a clock's present time as a date that is never later than it.

    ``fromtimestamp`` rounds to microseconds, upwards too: what is due when it came would not be due yet.

    Args:
        seconds: since 1970.
    """
    rounded = datetime.fromtimestamp(seconds, UTC)
    return rounded if rounded.timestamp() <= seconds else rounded - timedelta(microseconds=1)
