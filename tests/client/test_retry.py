"""The retry policy, and Retry-After."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.client.retry import MIN_PAUSE, RetryPolicy, retry_after
from leadpay.errors import (
    ConfigurationError,
)

seconds = st.floats(min_value=0, max_value=1e6)


@given(
    attempt=st.integers(min_value=1, max_value=10**6),
    left=st.floats(min_value=-100, max_value=1e6),
    random=st.floats(min_value=0, max_value=1, exclude_max=True),
    asked=st.none() | seconds,
    base=st.floats(min_value=0, max_value=10),
    more=st.floats(min_value=0, max_value=100),
)
def test_a_pause_is_never_shorter_than_asked_nor_longer_than_what_is_left(
    *, attempt: int, left: float, random: float, asked: float | None, base: float, more: float
) -> None:
    """And of our own choosing never above the cap; past the last attempt there is none."""
    policy = RetryPolicy(max_attempts=1000, base=base, cap=base + more)
    pause = policy.wait(attempt, left=left, random=random, retry_after=asked, executed=attempt)
    if attempt >= 1000:
        assert pause is None
    if pause is not None:
        assert (asked or 0) <= pause < left
        assert pause <= policy.cap + (asked or 0)


@given(st.text())
def test_any_header_gives_seconds_or_nothing(header: str) -> None:
    """What a proxy writes into it never breaks a call."""
    found = retry_after(header, now=1_800_000_000.0)
    assert found is None or found >= 0


@given(st.integers(min_value=0, max_value=999_999_999))
def test_seconds_are_read_as_they_are(asked: int) -> None:
    """Up to thirty years."""
    assert retry_after(str(asked), now=0.0) == asked


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_date_is_read_to_the_second(moment: datetime) -> None:
    """An HTTP date a minute ahead asks for a minute."""
    whole = moment.replace(microsecond=0)
    assert retry_after(format_datetime(whole, usegmt=True), now=whole.timestamp() - 60) == 60


def test_pauses_grow_up_to_the_cap_and_stay_below_the_deadline() -> None:
    """Full jitter: from nothing to the exponential pause."""
    policy = RetryPolicy(max_attempts=100, base=1.0, cap=8.0)
    assert [policy.wait(n, left=60, random=1.0, executed=n) for n in (1, 2, 3, 4, 5, 99)] == [1, 2, 4, 8, 8, 8]
    assert policy.wait(4, left=60, random=0.0, executed=4) == 0
    assert policy.wait(4, left=8, random=1.0, executed=4) is None
    assert policy.wait(100, left=60, random=0.0, executed=100) is None
    assert policy.wait(1, left=60, random=0.5, retry_after=30.0, executed=1) == 30.5
    assert policy.wait(1, left=60, random=0.5, retry_after=0.1, executed=1) == 0.6


@pytest.mark.parametrize(
    "bad", [{"max_attempts": 0}, {"max_attempts": 2.5}, {"base": -1}, {"base": 9.0}, {"cap": float("inf")}]
)
def test_a_policy_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    """When it is made, not when it is needed."""
    with pytest.raises(ConfigurationError):
        RetryPolicy(**bad)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("1" * 10, None),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("1.5.5", None),
        (".5", None),
        ("-5", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:01:40 -0000", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:10 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    """Seconds, or a date; what cannot be read asks for nothing."""
    assert retry_after(header, now=60.0) == seconds


@given(
    attempt=st.integers(min_value=1, max_value=10**6),
    left=st.floats(min_value=1.0, max_value=1e6),
    random=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_an_attempt_that_was_not_executed_is_repeated_as_long_as_there_is_time(
    *, attempt: int, left: float, random: float
) -> None:
    """No number of attempts ends the call, and the pause leaves time for another one."""
    pause = RetryPolicy(max_attempts=1).wait(attempt, left=left, random=random)
    assert pause is not None
    assert MIN_PAUSE <= pause <= max(left / 2, MIN_PAUSE)
    asked = RetryPolicy().wait(attempt, left=left, random=random, retry_after=left / 3)
    assert asked is not None
    assert left / 3 <= asked < left
    assert RetryPolicy().wait(attempt, left=left, random=random, retry_after=left) is None


def test_a_date_is_compared_with_the_clock_that_wrote_it() -> None:
    """The response's own Date, and not our clock, which may be wrong."""
    asked, date = "Thu, 01 Jan 1970 01:01:40 GMT", "Thu, 01 Jan 1970 01:00:00 GMT"
    assert retry_after(asked, date=date, now=1_800_000_000.0) == 100
    assert retry_after(asked, date="soon", now=3600.0) == 100
