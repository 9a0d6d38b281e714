"""A lock that threads get in the order in which they asked for it."""

import threading
from collections import deque


class FairLock:
    """Lets the threads of one process write to a file in turns.

    SQLite's own lock goes to the thread that asks at the right moment: one that always has something to write
    keeps another one out for seconds.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_held = False

    def acquire(self, seconds: float) -> bool:
        """Wait for the lock, at most so many seconds, and say whether it was acquired."""
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=seconds):
            return True
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # It was handed over in the last moment.

    def release(self) -> None:
        """Hand the lock over to the thread that has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False
