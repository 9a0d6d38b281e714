"""One time limit for many waits, kept by one timer.

aiohttp's own limit, like ``asyncio.timeout``, puts a timer into the event loop for each request, and soon takes it out
again, which is 8 % of a request's CPU. But waits that may last equally long are due in the order in which they began.
No context manager: its object and its two methods would take as long as all that is here.
"""

import asyncio
from itertools import count, takewhile
from typing import Any, Final, TypeAlias

Wait: TypeAlias = int
"""The number of a wait. No more: what has a task in hand while it raises makes a circle of the task and its error."""

_Task: TypeAlias = tuple[float, asyncio.Task[Any], int]
"""When a wait must end on the loop's clock, who waits, and how often that task had been cancelled when it began."""


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

    Its timer outlasts the last wait.

    Args:
        seconds: how long a wait may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._waits: dict[Wait, _Task] = {}
        """In the order of their ends."""
        self._stopped: dict[Wait, _Task] = {}
        """Those that were overdue, until they end."""

    def begin(self) -> Wait:
        """Let the time of the present task run from now."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker; nobody awaits without one
        loop = task.get_loop()
        end = loop.time() + self._seconds
        wait = next(self._numbers)
        self._waits[wait] = (end, task, task.cancelling())
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
        if self._waits.pop(wait, None) is None and self._take_back(wait) and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _take_back(self, wait: Wait) -> bool:
        """Undo the stop of a wait; say whether nobody else has cancelled its task: if so, that goes first."""
        _, task, cancelling = self._stopped.pop(wait)
        return task.uncancel() <= cancelling

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop whoever is overdue, and come back when the next one may be."""
        self._timer = None
        now = loop.time()
        try:
            for wait, waiting in list(takewhile(lambda item: item[1][0] <= now, self._waits.items())):
                self._stopped[wait] = self._waits.pop(wait)
                waiting[1].cancel()
        finally:
            # Whatever a task's own way to be cancelled raises: without a timer, all others would wait for ever.
            first = next(iter(self._waits.values()), None)
            if first is not None:
                self._timer = loop.call_at(first[0], self._look, loop)


class SingleTimeLimit(TimeLimit):
    """For one wait only: its timer goes with it, where else one would stay behind for each."""

    def end(self, wait: Wait, error: BaseException | None = None) -> None:
        """Let the time run no more, as above."""
        if self._timer is not None:
            self._timer.cancel()
        super().end(wait, error)
