"""One time limit for many waits, kept by one timer.

aiohttp's own limit, like ``asyncio.timeout``, puts a timer into the event loop for each request, and soon takes it out
again, which is 8 % of a request's CPU. But waits that may last equally long are due in the order in which they began.
No context manager: its object and its two methods would take as long as all that is here.
"""

import asyncio
from itertools import count
from typing import Any, Final, TypeAlias

Wait: TypeAlias = tuple[float, asyncio.Task[Any], int, int]
"""When it must end on the loop's clock, who waits, how often that task had been cancelled when it began, and a number,
since a task can begin twice in one tick of a clock."""


class TimeLimit:
    """Stops whatever takes longer than so many seconds; for any number of tasks of one event loop.

    Like this::

        wait = limit.begin()
        try:
            result = await work()
        except BaseException as error:
            limit.end(wait, error)
            raise
        limit.end(wait)

    Args:
        seconds: how long a wait may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._waits: dict[Wait, None] = {}
        """In the order of their ends."""

    def begin(self) -> Wait:
        """Let the time of the present task run from now."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker; nobody awaits without one
        loop = task.get_loop()
        end = loop.time() + self._seconds
        wait = (end, task, task.cancelling(), next(self._numbers))
        self._waits[wait] = None
        if self._timer is None:
            self._timer = loop.call_at(end, self._look, loop)
        return wait

    def end(self, wait: Wait, error: BaseException | None = None) -> None:
        """Let the time run no more.

        Args:
            wait: what began.
            error: what it ended in, if not well.

        Raises:
            TimeoutError: the error is nothing but this limit's cancelling.
        """
        if self._waits.pop(wait, self) is None:
            return
        # It was overdue. Somebody else's cancelling, if there is one, goes first.
        _, task, cancelling, _ = wait
        if task.uncancel() <= cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop whoever is overdue, and come back when the next one may be."""
        self._timer = None
        now = loop.time()
        for wait in list(self._waits):
            end, task, _, _ = wait
            if end > now:
                self._timer = loop.call_at(end, self._look, loop)
                break
            del self._waits[wait]
            task.cancel()
