"""One time limit for many waits, kept by one timer.

aiohttp's own limit, like ``asyncio.timeout``, puts a timer into the event loop for each request, and soon takes it out
again, which is 8 % of a request's CPU. But waits that may last equally long are due in the order in which they began.
"""

import asyncio
from types import TracebackType
from typing import Any, Final


class TimeLimit:
    """Stops whatever takes longer than so many seconds: ``with Block(limit): ...`` around something that is awaited.

    One limit serves any number of tasks of one event loop.

    Args:
        seconds: how long a block may take; TimeoutError is raised from one whose time is over.
    """

    __slots__ = ("running", "seconds", "timer")

    def __init__(self, seconds: float) -> None:
        self.seconds: Final = seconds
        self.timer: asyncio.TimerHandle | None = None
        self.running: dict[Block, None] = {}
        """In the order of their ends."""

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop whoever is overdue, and come back when the next one may be."""
        self.timer = None
        now = loop.time()
        for block in list(self.running):
            if block.end > now:
                self.timer = loop.call_at(block.end, self.look, loop)
                break
            del self.running[block]
            block.task.cancel()


class Block:
    """What one task does within a limit."""

    __slots__ = ("_cancelling", "_limit", "end", "task")

    end: float
    """On the loop's clock."""
    task: asyncio.Task[Any]

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        limit = self._limit
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker; nobody awaits without one
        loop = task.get_loop()
        self.task = task
        self._cancelling = task.cancelling()
        self.end = loop.time() + limit.seconds
        limit.running[self] = None
        if limit.timer is None:
            limit.timer = loop.call_at(self.end, limit.look, loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._limit.running.pop(self, self) is None:
            return
        # It was overdue. Somebody else's cancelling, if there is one, goes first.
        if self.task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
