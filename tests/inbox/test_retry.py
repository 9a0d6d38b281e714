"""When a failed handler run is tried again."""

import pytest

from leadpay.inbox.retry import DEFER_WARNING_SECONDS, JITTER, RETRIES, defers_too_long, next_wait


@pytest.mark.parametrize(("attempts", "wait"), [(1, 5.0), (2, 60.0), (3, None), (9, None)])
def test_each_attempt_has_its_wait_and_the_last_has_none(attempts: int, wait: float | None) -> None:
    """The schedule is read by the number of attempts that were made."""
    assert next_wait((5.0, 60.0), attempts, 0.0) == wait


def test_a_wait_is_longer_by_up_to_a_tenth() -> None:
    """Runs that failed together are not retried together."""
    assert next_wait((10.0,), 1, 1.0) == pytest.approx(10 * (1 + JITTER))


def test_the_default_is_twelve_attempts_in_about_a_day() -> None:
    """Five of them within half a minute, since a payment takes about twenty seconds."""
    assert len(RETRIES) == 11
    assert sum(RETRIES[:4]) < 30
    assert 22 * 3600 < sum(RETRIES) < 25 * 3600


def test_a_long_deferral_is_worth_one_warning_a_day() -> None:
    """However often the handler defers, and also if the clock was set back."""
    day = DEFER_WARNING_SECONDS
    assert not defers_too_long(0.0, day - 1)
    assert defers_too_long(0.0, day)
    assert defers_too_long(-60.0, 3 * day)
    assert not defers_too_long(-60.0, 30)
    warned = [hour for hour in range(24 * 5) if defers_too_long(hour * 3_600.0, 3_600.0)]
    assert warned == [23, 47, 71, 95, 119]
