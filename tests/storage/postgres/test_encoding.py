"""Text and times that PostgreSQL refuses as they are."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.storage.postgres.encoding import MAX_KEY, date, escaped, key, plain, utc, within


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_comes_back_and_has_no_nul(text: str) -> None:
    """Every text without lone surrogates."""
    assert "\0" not in escaped(text)
    assert plain(escaped(text)) == text


@given(st.text())
def test_a_key_is_short_and_encoding_it_again_changes_nothing(text: str) -> None:
    """However long an ID is, it can be indexed, and what was read can be looked up."""
    encoded = key(text)
    assert len(encoded.encode()) <= MAX_KEY
    assert key(plain(encoded)) == encoded


def test_long_keys_that_differ_at_the_end_differ() -> None:
    """They end in a hash of the whole."""
    assert key("x" * 1_000 + "a") != key("x" * 1_000 + "b")


@pytest.mark.parametrize(
    "time", [datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), datetime.max.replace(tzinfo=UTC)]
)
def test_times_stay_within_the_years_of_every_zone(time: datetime) -> None:
    """PostgreSQL's sessions may have any time zone."""
    assert 2 <= within(time).year <= 9998


def test_seconds_become_times_and_naive_times_are_utc() -> None:
    """To the microsecond, and far away for ever."""
    assert date(1.000001) == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert date(1e300).year == 9998
    assert utc(datetime(2024, 1, 1)) == datetime(2024, 1, 1, tzinfo=UTC)  # noqa: DTZ001 - the subject
