"""When a failed handler run is tried again. Pure."""

from collections.abc import Sequence
from typing import Final

RETRIES: Final = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 21_600.0, 43_200.0)
"""How long to wait before each further attempt, in seconds.

A payment takes about twenty seconds, so there are four more attempts within half a minute. A failure that lasts longer
is most often fixed by people, so the rest of the twelve attempts is spread over a day.
"""

DEFER_WARNING_SECONDS: Final = 86_400.0
"""After how long a warning is logged about an event that its handler still defers, and how often from then on, in
seconds. Deferring uses up no attempt, so without a warning an event could wait for ever unnoticed."""

JITTER: Final = 0.1
"""By which part a wait may be longer, so that runs that failed together are not retried together."""


def defers_too_long(age: float, seconds: float) -> bool:
    """Whether a deferral leads past the end of a day since the event was received: once a day for each event.

    Args:
        age: how long ago the event was received, in seconds.
        seconds: for how long it is deferred.
    """
    return (age + seconds) // DEFER_WARNING_SECONDS > max(age, 0.0) // DEFER_WARNING_SECONDS


def next_wait(retries: Sequence[float], attempts: int, random: float) -> float | None:
    """Give the wait after so many attempts.

    Args:
        retries: the waits in seconds, one for each further attempt.
        attempts: how many have been made.
        random: a number from 0 to 1.

    Returns:
        Seconds, or None if that was the last attempt.
    """
    if attempts > len(retries):
        return None
    return retries[attempts - 1] * (1 + JITTER * random)
