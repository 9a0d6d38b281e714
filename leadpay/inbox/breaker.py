"""When a handler that fails slowly again and again is paused, and when it is tried again. Pure."""

from typing import Final

SLOW_SECONDS: Final = 0.5
"""From how long on a failed attempt counts as slow, in seconds: as long as a statement may run in SQLite. A quick
failure holds no slot that others need."""

SLOW_FAILURES: Final = 5
"""After how many slow failures in a row a handler is paused: a single payment may fail so for reasons of its own."""

PAUSES: Final = (30.0, 60.0, 120.0, 300.0)
"""How long a handler is paused the first time, the second time and so on, in seconds, until it succeeds again."""


class Breaker:
    """A circuit breaker for one handler in one worker.

    After :data:`SLOW_FAILURES` slow failures in a row it opens: no attempt begins, and none is used up. After the pause
    one attempt is made as a probe. If that fails slowly too, the next pause begins. Any other result closes it.
    """

    def __init__(self) -> None:
        self.failures = 0
        """Slow failures in a row."""
        self.open_until = 0.0
        """When the pause ends; 0 if the breaker is closed."""
        self._pauses = 0
        self._is_probing = False

    def allows(self, now: float) -> bool:
        """Whether an attempt may begin."""
        return self.open_until == 0 or (now >= self.open_until and not self._is_probing)

    def begin(self) -> bool:
        """Take note that an attempt begins, and say whether it is a probe."""
        is_probe = self._is_probing = self.open_until > 0
        return is_probe

    def end(self, *, is_probe: bool, failed: bool | None, seconds: float, now: float) -> float | None:
        """Take note of how an attempt ended.

        Args:
            is_probe: what ``begin`` said.
            failed: whether it failed; to defer and to discard are no failures. None if it was cancelled.
            seconds: how long it took.
            now: the time.

        Returns:
            How long the handler is paused from now on, if a pause begins.
        """
        if is_probe:
            self._is_probing = False
        if failed is None:
            return None
        if not failed or seconds < SLOW_SECONDS:
            self.failures = self._pauses = 0
            self.open_until = 0.0
            return None
        self.failures += 1
        if self.failures < SLOW_FAILURES or (self.open_until > 0 and not is_probe):
            return None
        pause = PAUSES[min(self._pauses, len(PAUSES) - 1)]
        self._pauses += 1
        self.open_until = now + pause
        return pause
