"""When to try again: an immutable policy. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import attrs

from leadpay.errors import ConfigurationError

MAX_RETRY_AFTER_DIGITS: Final = 9
"""Most digits of a ``Retry-After`` in seconds that is read: thirty years, and a bound on big integers."""


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Exponential pauses with full jitter, bounded in number; the call's deadline bounds them in time.

    Full jitter: each pause is drawn evenly between zero and the exponential one, so that calls that failed together
    don't come back together. A pause is never shorter than the bank asks for in ``Retry-After``.
    """

    max_attempts: int = 5
    """Attempts in all. Five, with the pauses below, span a short outage within the twenty seconds of a payment."""
    base: float = 0.25
    """The first pause is drawn from zero to so many seconds; the limit doubles for each later one."""
    cap: float = 8.0
    """The longest pause without a ``Retry-After``, in seconds."""

    def __attrs_post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ConfigurationError("max_attempts: must be an int of at least 1")
        if not (0 <= self.base <= self.cap < float("inf")):
            raise ConfigurationError("base and cap: must be seconds, with 0 <= base <= cap")

    def wait(self, attempt: int, *, left: float, random: float, retry_after: float | None = None) -> float | None:
        """Say how long to wait before the next attempt.

        Args:
            attempt: how many attempts there have been.
            left: seconds until the call's deadline.
            random: a number from 0 up to, not including, 1.
            retry_after: seconds that the bank asked for, if it did.

        Returns:
            Seconds to wait, or None to give up: too many attempts, or no time would be left after the pause.
        """
        if attempt >= self.max_attempts:
            return None
        # The exponent is bounded, since a float cannot hold a large power.
        pause = random * min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        pause = max(pause, retry_after or 0.0)
        return pause if pause < left else None


def retry_after(header: str | None, *, now: float) -> float | None:
    """Read a ``Retry-After`` header, in seconds or as an HTTP date.

    Args:
        header: its value; None if there was none.
        now: the present time in seconds since 1970.

    Returns:
        Seconds to wait, not below 0; None if there is no readable value.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= MAX_RETRY_AFTER_DIGITS else None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # An HTTP date is in GMT, also if it has no time zone.
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.fromtimestamp(now, UTC)).total_seconds())
