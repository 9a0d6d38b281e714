"""The properties of the records, and their times."""

from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.sandbox.models import Account, Party, Payment, Reason, utc_datetime
from leadpay.sandbox.transitions import outgoing_request, resolved

NOW = datetime(2025, 1, 6, 15, tzinfo=UTC)


def make_payment(**changes: Any) -> Payment:
    """A posted outgoing payment."""
    party = Party("Alex Smith", "1234567890")
    fields: dict[str, Any] = {
        "id": "instant_payment_1",
        "account": Account("account_number_1", "account_1", party),
        "direction": "outgoing",
        "status": "posted",
        "amount": 5000,
        "debtor": party,
        "debtor_agent": "990000001",
        "creditor": party,
        "creditor_agent": "111000111",
        "end_to_end_id": "E2E",
        "uetr": "00000000-0000-4000-8000-000000000000",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Payment(**{**fields, **changes})


def test_times_are_cut_to_milliseconds() -> None:
    """What the bank prints is what it compares."""
    assert utc_datetime(1_736_175_600.123_999) == datetime(2025, 1, 6, 15, 0, 0, 123_000, UTC)


def test_only_the_last_return_request_can_be_active() -> None:
    """It is active until it is resolved."""
    assert make_payment().active_request is None
    request = outgoing_request(Reason("duplication"), NOW)
    assert make_payment(return_requests=(request,)).active_request == request
    ended = resolved((request,), "accepted", "counterparty", NOW)
    assert make_payment(return_requests=ended).active_request is None


@pytest.mark.parametrize(
    ("status", "counterparty_status", "effective"),
    [
        ("created", None, True),
        ("posted", "posted", True),
        ("posted", "rejected", False),
        ("rejected", None, False),
        ("canceled", None, False),
    ],
)
def test_a_payment_is_effective_until_a_side_rejects_it(
    status: str, counterparty_status: str | None, effective: bool
) -> None:
    """A canceled one is not effective either."""
    assert make_payment(status=status, counterparty_status=counterparty_status).is_effective == effective


def test_no_name_and_no_account_number_is_in_a_repr() -> None:
    """Neither a party's nor a payment's."""
    shown = repr(make_payment(description="For Alex Smith"))
    assert "Alex" not in shown
    assert "1234567890" not in shown
