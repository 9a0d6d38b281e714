"""Properties of the retry policy, whatever the numbers and the headers."""

from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from leadpay.client.retry import RetryPolicy, retry_after

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
    pause = policy.wait(attempt, left=left, random=random, retry_after=asked)
    if attempt >= 1000:
        assert pause is None
    if pause is not None:
        assert (asked or 0) <= pause < left
        assert pause <= max(policy.cap, asked or 0)


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
