"""What happens later, in order. Pure: the caller has the clock, and asks for what is due."""

import heapq
from collections.abc import Callable
from typing import NamedTuple


class Timer(NamedTuple):
    """One action with its time."""

    due: float
    """Seconds since 1970."""
    number: int
    """Timers that are due at the same moment run in the order in which they were added."""
    background: bool
    """Whether it is so far away (a deadline, a redelivery) that waiting for the bank to be idle ignores it."""
    action: Callable[[], object]


class Timers:
    """A queue of timers, the next one first."""

    __slots__ = ("_foreground", "_timers", "added")

    def __init__(self) -> None:
        self._timers: list[Timer] = []
        self._foreground = 0
        self.added = 0
        """How many timers were added: the number of the next one."""

    @property
    def next_due(self) -> float | None:
        """When the next timer is due, in seconds since 1970; None if there is none."""
        return self._timers[0].due if self._timers else None

    @property
    def has_foreground(self) -> bool:
        """Whether there is a timer that is not in the background."""
        return self._foreground > 0

    def add(self, due: float, action: Callable[[], object], *, background: bool = False) -> None:
        """Add a timer.

        Args:
            due: when, in seconds since 1970.
            action: what to do.
            background: whether waiting for the bank to be idle ignores it.
        """
        heapq.heappush(self._timers, Timer(due, self.added, background, action))
        self._foreground += not background
        self.added += 1

    def run(self, now: float) -> int:
        """Run all timers that are due, and those that become due by it, in order.

        Args:
            now: the current time in seconds since 1970.

        Returns:
            How many ran.
        """
        done = 0
        while self._timers and self._timers[0].due <= now:
            timer = heapq.heappop(self._timers)
            self._foreground -= not timer.background
            timer.action()
            done += 1
        return done

    def run_now(self, since: int, now: float) -> None:
        """Make the timers that were added lately due at once, those in the background excepted.

        Args:
            since: the number of the first one; see :attr:`added`.
            now: the current time in seconds since 1970.
        """
        self._timers = [
            timer._replace(due=min(timer.due, now)) if timer.number >= since and not timer.background else timer
            for timer in self._timers
        ]
        heapq.heapify(self._timers)
