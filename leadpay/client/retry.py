"""When to try again: an immutable policy. Pure."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

from leadpay.errors import ConfigurationError

MAX_RETRY_AFTER_DIGITS: Final = 9
"""Most digits of a ``Retry-After`` in seconds that is read: thirty years, and a bound on big integers."""

_SECONDS: Final = re.compile(rf"[0-9]{{1,{MAX_RETRY_AFTER_DIGITS}}}(\.[0-9]{{0,9}})?")

MIN_PAUSE: Final = 0.01
"""Shortest pause after an attempt that was not executed, in seconds: their number is not bounded, so that a policy
without pauses would never let go of the processor."""

MIN_ATTEMPT: Final = 0.05
"""The time that must be left for another attempt, in seconds: one that cannot end in time tells nothing."""


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Exponential pauses with full jitter. The call's deadline bounds them in time.

    Attempts that may have been executed are bounded in number, too. Those that were not, without a connection or with
    a 429, go on as long as there is time.

    Full jitter: each pause is drawn evenly between zero and the exponential one, so that calls that failed together
    don't come back together. What the bank asks for in ``Retry-After`` is added to it.
    """

    max_attempts: int = 5
    """Attempts that may be executed. Five, with the pauses below, span a short outage within a payment's 20 seconds."""
    base: float = 0.25
    """The first pause is drawn from zero to so many seconds; the limit doubles for each later one."""
    cap: float = 8.0
    """The longest pause without a ``Retry-After``, in seconds."""

    def __attrs_post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ConfigurationError("max_attempts: must be an int of at least 1")
        if not (0 <= self.base <= self.cap < float("inf")):
            raise ConfigurationError("base and cap: must be seconds, with 0 <= base <= cap")

    def wait(
        self, attempt: int, *, left: float, random: float, retry_after: float | None = None, executed: int | None = None
    ) -> float | None:
        """Say how long to wait before the next attempt.

        Args:
            attempt: how many attempts there have been.
            left: seconds until the call's deadline.
            random: a number from 0 up to, not including, 1.
            retry_after: seconds that the bank asked for, if it did.
            executed: how many attempts there have been that may have been executed, if the last one was one of them;
                None if the last attempt was not executed, so that only the time bounds what follows.

        Returns:
            Seconds to wait, or None to give up: too many attempts, or no time would be left after the pause.
        """
        if executed is not None and executed >= self.max_attempts:
            return None
        # The exponent is bounded, since a float cannot hold a large power.
        jitter = random * min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        least = retry_after or 0.0
        pause = least + jitter
        if executed is None:
            # Never give up while there is time: the pause is shortened instead.
            pause = max(min(pause, least + (left - least) / 2), MIN_PAUSE)
        return pause if pause < left - MIN_ATTEMPT else None


class OneAttempt(RetryPolicy):
    """No second attempt: for the outbox, whose attempts are written down one by one and pause together."""

    def wait(self, *_: object, **__: object) -> None:
        """Give up."""


def retry_after(header: str | None, *, date: str | None = None, now: float) -> float | None:
    """Read a ``Retry-After`` header, in seconds or as an HTTP date.

    Args:
        header: its value; None if there was none.
        date: the ``Date`` header of the same response: the clock by which a date is meant.
        now: the present time in seconds since 1970, if there is no readable ``Date``.

    Returns:
        Seconds to wait, not below 0; None if there is no readable value.
    """
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = http_date(text)
    if until is None:
        return None
    since = http_date(date)
    return max(0.0, until - (now if since is None else since))


def http_date(header: str | None) -> float | None:
    """Read an HTTP date in seconds since 1970; None if it cannot be read."""
    try:
        when = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    # An HTTP date is in GMT, also if it has no time zone.
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
