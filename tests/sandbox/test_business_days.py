"""Deadlines by the Federal Reserve's calendar."""

from datetime import UTC, date, datetime, timedelta

import pytest

from leadpay.sandbox.business_days import holidays, incoming_deadline, is_business_day, outgoing_deadline

CLOSED = {
    2024: "01-01 01-15 02-19 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
    2025: "01-01 01-20 02-17 05-26 06-19 07-04 09-01 10-13 11-11 11-27 12-25",
    2026: "01-01 01-19 02-16 05-25 06-19 09-07 10-12 11-11 11-26 12-25",
    2027: "01-01 01-18 02-15 05-31 07-05 09-06 10-11 11-11 11-25",
    2028: "01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-23 12-25",
    2029: "01-01 01-15 02-19 05-28 06-19 07-04 09-03 10-08 11-12 11-22 12-25",
    2030: "01-01 01-21 02-18 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
}
"""The weekdays on which the Federal Reserve Banks are closed."""


@pytest.mark.parametrize("year", CLOSED)
def test_the_weekdays_without_business_are_the_published_ones(year: int) -> None:
    """Every other weekday of the year is a business day."""
    closed = {date.fromisoformat(f"{year}-{day}") for day in CLOSED[year].split()}
    days = [date(year, 1, 1) + timedelta(days=number) for number in range(366)]
    weekdays = [day for day in days if day.year == year and day.weekday() < 5]
    assert {day for day in weekdays if not is_business_day(day)} == closed
    assert closed <= holidays(year)


def test_the_banks_own_example() -> None:
    """A request of 2022-06-27 is due on 2022-07-11 at 23:30, and rejected at midnight."""
    deadline = incoming_deadline(datetime(2022, 6, 27, 11, 22, 33, tzinfo=UTC))
    assert deadline.respond_by.isoformat() == "2022-07-11T23:30:00-04:00"
    assert deadline.rejected_at.isoformat() == "2022-07-12T00:00:00-04:00"


@pytest.mark.parametrize(
    ("received", "incoming", "outgoing"),
    [
        ("2025-03-03T15:00:00+00:00", "2025-03-14T23:30:00-04:00", "2025-03-14T00:00:00-04:00"),
        ("2025-10-27T15:00:00+00:00", "2025-11-07T23:30:00-05:00", "2025-11-07T00:00:00-05:00"),
        ("2025-01-05T04:30:00+00:00", "2025-01-17T23:30:00-05:00", "2025-01-17T00:00:00-05:00"),
        ("2025-01-07T04:30:00+00:00", "2025-01-17T23:30:00-05:00", "2025-01-17T00:00:00-05:00"),
    ],
)
def test_deadlines_are_in_new_york_time(received: str, incoming: str, outgoing: str) -> None:
    """Daylight saving time may begin or end in between, and a request of a weekend counts from Monday."""
    received_at = datetime.fromisoformat(received)
    assert incoming_deadline(received_at).respond_by.isoformat() == incoming
    assert outgoing_deadline(received_at).isoformat() == outgoing
