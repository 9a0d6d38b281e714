"""The bank's JSON."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from leadpay.sandbox import serialization
from leadpay.sandbox.models import Event, Reason, Rejection
from leadpay.sandbox.transitions import incoming_request, resolved
from tests.sandbox.test_models import NOW, make_payment


def test_times_are_utc_or_have_an_offset() -> None:
    """UTC is written with Z and milliseconds, a deadline with New York's offset."""
    assert serialization.timestamp(datetime(2025, 1, 6, 15, 0, 0, 120_000, UTC)) == "2025-01-06T15:00:00.120Z"
    new_york = datetime(2025, 1, 17, 23, 30, tzinfo=ZoneInfo("America/New_York"))
    assert serialization.timestamp(new_york) == "2025-01-17T23:30:00-05:00"


def test_fields_without_a_value_are_left_out() -> None:
    """Only counterparty_status is null."""
    shown = serialization.payment(make_payment())
    assert {"description", "return", "rejection"}.isdisjoint(shown)
    assert set(shown["payment_identifiers"]) == {"end_to_end_id", "uetr"}
    assert shown["related_objects"] == {"return_payment_ids": []}
    assert (shown["return_requests"], shown["counterparty_status"]) == ([], None)


def test_fields_with_a_value_are_shown() -> None:
    """Every optional part of a payment has its place."""
    requests = resolved((incoming_request(Reason("duplication", "Twice"), NOW),), "rejected", "client", NOW)
    payment = make_payment(
        description="Rent",
        transaction_id="TXN1",
        original_payment_id="instant_payment_0",
        return_=Reason("other"),
        rejection=Rejection("lead", "other", "Another reason"),
        return_requests=requests,
    )
    shown = serialization.payment(payment)
    assert shown["description"] == "Rent"
    assert shown["payment_identifiers"]["transaction_id"] == "TXN1"
    assert shown["related_objects"]["original_payment_id"] == "instant_payment_0"
    assert shown["return"] == {"reason": "other"}
    assert shown["rejection"] == {"rejected_by": "lead", "reason": "other", "details": "Another reason"}
    [request] = shown["return_requests"]
    assert request["details"] == "Twice"
    assert request["resolution"] == {"resolved_at": "2025-01-06T15:00:00.000Z", "resolved_by": "client"}


def test_an_event_contains_its_payment() -> None:
    """The object is the payment that is given."""
    payment = make_payment()
    shown = serialization.event(Event("event_1", "instant_payment.posted", payment.id, NOW), payment)
    assert (shown["event"], shown["object"]) == ("instant_payment.posted", serialization.payment(payment))
