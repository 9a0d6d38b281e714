"""Limit how many log lines strangers can cause. Pure."""

from typing import Final

LOG_LINES: Final = 10
"""How many lines of one kind are logged in a window; the rest is counted. Strangers must not be able to fill a disk."""

LOG_SECONDS: Final = 60.0
"""How long a window is, in seconds: a person who reads the log learns within a minute what goes on."""


class LogLimiter:
    """Admits the first lines of each kind in a window, and counts those that it leaves out.

    Args:
        lines: how many lines of one kind are admitted in a window.
        seconds: how long a window is.
    """

    def __init__(self, lines: int = LOG_LINES, seconds: float = LOG_SECONDS) -> None:
        self._lines = lines
        self._seconds = seconds
        self._windows: dict[str, tuple[float, int]] = {}

    def admit(self, kind: str, text: str, now: float) -> str | None:
        """Return the text to log, or None to leave it out.

        Args:
            kind: what is counted together; there must be few kinds, and no stranger may make new ones.
            text: the line. The first of a window also says how many of the last window were left out.
            now: a time in seconds that never goes back.
        """
        start, count = self._windows.get(kind, (now, 0))
        if now - start >= self._seconds:
            left_out = max(0, count - self._lines)
            start, count = now, 0
            if left_out:
                text = f"{text} (and {left_out} more lines like this one were left out)"
        self._windows[kind] = start, count + 1
        return text if count < self._lines else None
