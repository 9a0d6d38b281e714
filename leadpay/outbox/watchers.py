"""Tell the tasks that wait for an instruction that it changed, and senders that there is work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from leadpay.outbox.queries import WORK


class Watchers:
    """Which tasks wait for which instruction, in one event loop."""

    def __init__(self) -> None:
        self._changed: dict[int, set[asyncio.Event]] = {}
        self._work = asyncio.Event()

    def announce(self, payload: str) -> None:
        """Take what a database announced: an instruction's number, or that there is work."""
        if payload == WORK:
            self._work.set()
        elif payload.isdecimal():
            self.changed([int(payload)])

    def changed(self, numbers: Iterable[int], *, has_work: bool = False) -> None:
        """Wake up who waits for these instructions and, with ``has_work``, a sender."""
        for number in numbers:
            for event in self._changed.get(number, ()):
                event.set()
        if has_work:
            self._work.set()

    def all_changed(self) -> None:
        """Wake up everyone: announcements may have been missed."""
        self.changed(list(self._changed), has_work=True)

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when there is work."""
        await _wait(self._work, seconds)

    @asynccontextmanager
    async def watch(self, number: int) -> AsyncIterator[Callable[[float], Coroutine[Any, Any, None]]]:
        """Give a coroutine function that waits so many seconds, or less if this instruction changed."""
        event = asyncio.Event()
        self._changed.setdefault(number, set()).add(event)
        try:
            yield lambda seconds: _wait(event, seconds)
        finally:
            self._changed[number].discard(event)
            if not self._changed[number]:
                del self._changed[number]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
