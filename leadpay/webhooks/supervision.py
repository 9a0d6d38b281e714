"""Await a handler: measure how long it blocks the event loop, and leave it if it does not obey its cancellation."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Final

BLOCKING_SECONDS: Final = 0.5
"""From how long on it is reported that a handler blocked the event loop, in seconds: all webhooks wait meanwhile."""

CANCEL_SECONDS: Final = 5.0
"""How long a handler may go on after it was cancelled, in seconds: enough to close a connection."""

_abandoned: list[Any] = []
"""Handlers that were left in the middle. Python complains when it deletes one that refuses to end."""


class Supervised:
    """Awaits what a handler returned, step by step.

    A handler that was cancelled and does not end within :data:`CANCEL_SECONDS` is closed, or left where it waits. Else
    it would keep its slot, and the process could not stop.
    """

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False
        self.is_abandoned = False
        """Whether it was left in the middle."""
        self.blocked_seconds = 0.0
        """The longest time between two of its awaits: for so long, nothing else in the event loop could run."""

    def __await__(self) -> Generator[Any, Any, None]:
        """Run the handler."""
        running = self._awaitable.__await__()
        now = asyncio.get_running_loop().time
        error: BaseException | None = None
        try:
            while True:
                start = now()
                try:
                    waits_for = next(running) if error is None else running.throw(error)
                except StopIteration:
                    return
                finally:
                    self.blocked_seconds = max(self.blocked_seconds, now() - start)
                error = None
                try:
                    yield waits_for
                except BaseException as thrown:
                    if isinstance(thrown, asyncio.CancelledError):
                        self._cancel()
                    if self._is_late:
                        self.is_abandoned = True
                        _close(running)
                        raise
                    error = thrown
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _cancel(self) -> None:
        """Begin to count the time, at the first cancellation that the handler has not dealt with.

        A timeout or a task group within the handler cancels the task too, and takes that back.
        """
        task: Any = asyncio.current_task()
        if self._is_late:
            task.uncancel()  # Our own call of cancel(), which only served to wake the task up.
        elif self._timer is None or task.cancelling() <= 1:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = task.get_loop().call_later(CANCEL_SECONDS, self._wake, task)

    def _wake(self, task: "asyncio.Task[Any]") -> None:
        if task.cancelling():
            self._is_late = True
            task.cancel()


def _close(running: Generator[Any, Any, Any]) -> None:
    """Let the handler release what it can release without waiting."""
    try:
        running.close()
    except Exception:  # noqa: BLE001 - it awaits even now, or fails, which no caller can use
        _abandoned.append(running)
