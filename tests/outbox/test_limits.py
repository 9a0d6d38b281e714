from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from leadpay.outbox.limits import Guards, Limits, day_of


@pytest.mark.parametrize("limit", [-1, 1.0, True, "5"])
def test_a_limit_is_an_int_of_cents(limit: Any) -> None:
    """Floats and bools are no money."""
    for name in ("per_payment", "per_day", "per_creditor_per_day"):
        with pytest.raises(ConfigurationError, match=f"{name}: must be an int"):
            Limits(**{name: limit})


def test_limits_are_for_every_account_number_or_by_account_number() -> None:
    """One that is not named has none."""
    some = Limits(per_day=5)
    assert Guards(limits=some).limits_of("account_number_1") is some
    assert Guards(limits={"account_number_1": some}).limits_of("account_number_1") is some
    assert Guards(limits={"account_number_1": some}).limits_of("account_number_2") == Limits()
    assert Guards().limits_of("account_number_1") == Limits()


def test_a_day_begins_at_midnight_in_new_york() -> None:
    """In summer that is four hours after midnight UTC, in winter five."""
    before = day_of(datetime(2026, 7, 1, 3, 59, 59, tzinfo=UTC))
    assert day_of(datetime(2026, 7, 1, 4, tzinfo=UTC)) == before + 1
    assert day_of(datetime(2026, 1, 1, 4, tzinfo=UTC)) + 1 == day_of(datetime(2026, 1, 1, 5, tzinfo=UTC))
