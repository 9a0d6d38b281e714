"""What will happen later, in order. Pure: whoever holds a clock asks what is due."""

import heapq
from collections.abc import Callable
from typing import NamedTuple


class Entry(NamedTuple):
    """One thing to do."""

    due: float
    """Seconds since 1970."""
    number: int
    """Entries that are due at the same moment are done in the order in which they were added."""
    background: bool
    """Whether it is so far away (a deadline, a redelivery) that nobody waits for it."""
    action: Callable[[], object]


class Schedule:
    """A queue of entries, the next one first."""

    __slots__ = ("_entries", "_foreground", "added")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._foreground = 0
        self.added = 0
        """How many entries there have been: the number of the next one."""

    @property
    def next_due(self) -> float | None:
        """When the next entry is due, in seconds since 1970; None if there is none."""
        return self._entries[0].due if self._entries else None

    @property
    def awaited(self) -> bool:
        """Whether there is an entry that somebody may be waiting for."""
        return self._foreground > 0

    def add(self, due: float, action: Callable[[], object], *, background: bool = False) -> None:
        """Have something done.

        Args:
            due: when, in seconds since 1970.
            action: what.
            background: whether nobody is expected to wait for it.
        """
        heapq.heappush(self._entries, Entry(due, self.added, background, action))
        self._foreground += not background
        self.added += 1

    def run(self, now: float) -> int:
        """Do all that is due, and what thereby becomes due, in order.

        Args:
            now: the present moment in seconds since 1970.

        Returns:
            How many entries were done.
        """
        done = 0
        while self._entries and self._entries[0].due <= now:
            entry = heapq.heappop(self._entries)
            self._foreground -= not entry.background
            entry.action()
            done += 1
        return done

    def hurry(self, since: int, now: float) -> None:
        """Make what was added lately due at once.

        Args:
            since: the first number that is meant; see :attr:`added`.
            now: the present moment in seconds since 1970.
        """
        self._entries = [
            entry._replace(due=min(entry.due, now)) if entry.number >= since and not entry.background else entry
            for entry in self._entries
        ]
        heapq.heapify(self._entries)
