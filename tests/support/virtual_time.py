"""An event loop whose time is virtual: it jumps to the next timer when nothing else is left to do."""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.support.inbox import NOW


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs as fast as it can. While ``busy`` counts work in threads or at a server, it waits for that instead."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self.busy = 0
        """How much is under way that this loop cannot see, such as work in a thread."""
        real = selectors.DefaultSelector()
        super().__init__(real)
        self._select, real.select = real.select, self._jump  # type: ignore[method-assign]

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Give a loop, and close it at the end."""
        loop = cls()
        try:
            yield loop
        finally:
            loop.close()

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._seconds

    def block(self, seconds: float) -> None:
        """Let time pass while nothing else runs, as a synchronous call does."""
        self._seconds += seconds

    def _jump(self, timeout: float | None = None) -> Any:
        if timeout is None or (self.busy and timeout > 0):
            return self._select(None)
        found = self._select(0)
        if not found:
            self._seconds += timeout
        return found


class VirtualClock:
    """The clock of a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds since 1970."""
        return NOW + self._loop.time()

    def monotonic(self) -> float:
        """Seconds."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
