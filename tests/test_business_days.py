"""Business days and deadlines, against the holidays that the Federal Reserve publishes."""

import random
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from leadpay import Direction
from leadpay.business_days import (
    NEW_YORK,
    add_business_days,
    holidays,
    is_business_day,
    return_request_deadline,
)
from leadpay.sandbox.business_days import incoming_deadline, outgoing_deadline

CLOSED = {
    2022: "01-17 02-21 05-30 06-20 07-04 09-05 10-10 11-11 11-24 12-26",
    2023: "01-02 01-16 02-20 05-29 06-19 07-04 09-04 10-09 11-23 12-25",
    2024: "01-01 01-15 02-19 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
    2025: "01-01 01-20 02-17 05-26 06-19 07-04 09-01 10-13 11-11 11-27 12-25",
    2026: "01-01 01-19 02-16 05-25 06-19 09-07 10-12 11-11 11-26 12-25",
    2027: "01-01 01-18 02-15 05-31 07-05 09-06 10-11 11-11 11-25",
    2028: "01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-23 12-25",
    2029: "01-01 01-15 02-19 05-28 06-19 07-04 09-03 10-08 11-12 11-22 12-25",
    2030: "01-01 01-21 02-18 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
}
"""Weekdays on which the Federal Reserve Banks are closed, from their "Holiday Schedules".

Holidays on a Saturday have no row: 2022-01-01, 2023-11-11, 2026-07-04, 2027-06-19, 2027-12-25, 2028-01-01, 2028-11-11.
"""
CLOSED_DAYS = {date.fromisoformat(f"{year}-{day}") for year, days in CLOSED.items() for day in days.split()}
FIRST, LAST = date(min(CLOSED), 1, 1), date(max(CLOSED), 12, 31)
ALL_DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
OPEN_DAYS = [day for day in ALL_DAYS if day.weekday() < 5 and day not in CLOSED_DAYS]
CLOCK_CHANGES = {  # the second Sunday of March, the first Sunday of November; both at 02:00
    2022: ("03-13", "11-06"),
    2023: ("03-12", "11-05"),
    2024: ("03-10", "11-03"),
    2025: ("03-09", "11-02"),
    2026: ("03-08", "11-01"),
    2027: ("03-14", "11-07"),
    2028: ("03-12", "11-05"),
    2029: ("03-11", "11-04"),
    2030: ("03-10", "11-03"),
}


def new_york_offset(day: date) -> timedelta:
    """The offset from UTC in New York at 23:30 of a day."""
    begin, end = (date.fromisoformat(f"{day.year}-{change}") for change in CLOCK_CHANGES[day.year])
    return timedelta(hours=-4 if begin <= day < end else -5)


def receipt_times(number: int) -> list[datetime]:
    """Random times whose deadline is still in the tables, in random zones, many of them at a clock change."""
    rng = random.Random(10)  # noqa: S311 - no secret
    changes = [
        datetime.fromisoformat(f"{year}-{change}T07:00:00+00:00")
        for year, pair in CLOCK_CHANGES.items()
        for change in pair
    ]
    last = (LAST - FIRST).days - 20
    times = []
    for _ in range(number):
        base = rng.choice(changes) if rng.random() < 0.2 else datetime(FIRST.year, 1, 2, tzinfo=UTC)
        spread = 15 * 86_400 if base.month > 1 else last * 86_400
        moment = base + timedelta(seconds=rng.randrange(-spread if base.month > 1 else 0, spread))
        zone = timezone(timedelta(minutes=rng.randrange(-14 * 60, 14 * 60 + 1)))
        if moment.date() < LAST - timedelta(days=20):
            times.append(moment.astimezone(zone))
    return times


@pytest.mark.parametrize("year", CLOSED)
def test_the_weekdays_without_business_are_the_published_ones(year: int) -> None:
    """Every other weekday of the year is a business day, the Fridays before Saturday holidays among them."""
    weekdays = [day for day in ALL_DAYS if day.year == year and day.weekday() < 5]
    assert {day for day in weekdays if not is_business_day(day)} == {day for day in CLOSED_DAYS if day.year == year}
    assert not any(is_business_day(day) for day in ALL_DAYS if day.year == year and day.weekday() >= 5)


@pytest.mark.parametrize(
    "holiday", ["2022-01-01", "2023-11-11", "2026-07-04", "2027-06-19", "2027-12-25", "2028-01-01", "2028-11-11"]
)
def test_a_holiday_on_a_saturday_is_not_moved(holiday: str) -> None:
    """The Friday before and the Monday after are business days."""
    saturday = date.fromisoformat(holiday)
    assert saturday in holidays(saturday.year)
    assert is_business_day(saturday - timedelta(days=1))
    assert is_business_day(saturday + timedelta(days=2))


def test_juneteenth_is_a_holiday_since_2021() -> None:
    """In 2020 the banks were open on 19 June."""
    assert is_business_day(date(2020, 6, 19))
    assert date(2021, 6, 19) in holidays(2021)


def test_business_days_are_counted_both_ways() -> None:
    """Counting n forward from any day gives the n-th business day after it, counting back the n-th before."""
    rng = random.Random(5)  # noqa: S311 - no secret
    for _ in range(1000):
        number = rng.randrange(1, 40)
        day = rng.choice(ALL_DAYS[80:-80])
        after = bisect_left(OPEN_DAYS, day + timedelta(days=1))
        before = bisect_left(OPEN_DAYS, day)
        assert add_business_days(day, number) == OPEN_DAYS[after + number - 1]
        assert add_business_days(day, -number) == OPEN_DAYS[before - number]
        assert add_business_days(day, 0) == day


@pytest.mark.parametrize(
    ("received", "incoming", "outgoing"),
    [
        # The bank's own example.
        ("2022-06-27T11:22:33+00:00", "2022-07-11T23:30:00-04:00", "2022-07-11T00:00:00-04:00"),
        # Daylight saving time begins, and ends, before the deadline.
        ("2025-03-03T15:00:00+00:00", "2025-03-14T23:30:00-04:00", "2025-03-14T00:00:00-04:00"),
        ("2025-10-27T15:00:00+00:00", "2025-11-07T23:30:00-05:00", "2025-11-07T00:00:00-05:00"),
        # Sunday in New York, where Monday is the first day, and Monday evening, when it is Tuesday in UTC.
        ("2025-01-06T04:30:00+00:00", "2025-01-17T23:30:00-05:00", "2025-01-17T00:00:00-05:00"),
        ("2025-01-07T04:30:00+00:00", "2025-01-17T23:30:00-05:00", "2025-01-17T00:00:00-05:00"),
        # Friday before Saturday 4 July 2026, which counts.
        ("2026-07-03T12:00:00+00:00", "2026-07-16T23:30:00-04:00", "2026-07-16T00:00:00-04:00"),
    ],
)
def test_a_deadline_by_example(received: str, incoming: str, outgoing: str) -> None:
    """It is at 23:30 in New York for what we received, at 00:00 for what we sent."""
    received_at = datetime.fromisoformat(received)
    assert return_request_deadline(received_at).isoformat() == incoming
    assert return_request_deadline(received_at, Direction.INCOMING).isoformat() == incoming
    assert return_request_deadline(received_at, "outgoing").isoformat() == outgoing


def test_ten_thousand_random_receipts_agree_with_the_tables() -> None:
    """The tenth business day, by the published holidays, and the offset of New York, by the dates of its changes."""
    times = receipt_times(10_000)
    assert len(times) > 9_500
    for received_at in times:
        utc = received_at.astimezone(UTC)
        # 07:00 UTC is 02:00 or 03:00 in New York: on the days of a change, both offsets give one date after it.
        day = (utc + new_york_offset(utc.date() - timedelta(days=utc.hour < 7))).date()
        due = OPEN_DAYS[bisect_left(OPEN_DAYS, day) + 9]
        incoming = return_request_deadline(received_at)
        assert (incoming.date(), incoming.hour, incoming.minute) == (due, 23, 30)
        assert incoming.utcoffset() == new_york_offset(due)
        outgoing = return_request_deadline(received_at, "outgoing")
        assert (outgoing.date(), outgoing.hour, outgoing.minute) == (due, 0, 0)
        # No clock change falls on a business day, so midnight has the offset of the evening.
        assert outgoing.utcoffset() == new_york_offset(due)
        # The sandbox has rules of its own, written independently.
        assert (incoming, outgoing) == (incoming_deadline(received_at).respond_by, outgoing_deadline(received_at))


def test_a_time_without_a_zone_has_no_deadline() -> None:
    """The day in New York is not known."""
    with pytest.raises(ValueError, match="received_at: must have a time zone"):
        return_request_deadline(datetime(2026, 1, 5, 12))  # noqa: DTZ001 - this is what is refused


def test_an_unknown_direction_has_no_deadline() -> None:
    """A word that is no direction is refused."""
    with pytest.raises(ValueError, match="direction: must be 'incoming' or 'outgoing'"):
        return_request_deadline(datetime(2026, 1, 5, 12, tzinfo=UTC), "sideways")  # type: ignore[arg-type]  # is refused


@pytest.mark.parametrize("received_at", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_the_end_of_time_has_no_deadline(received_at: datetime) -> None:
    """A date that Python does not have is a ValueError."""
    with pytest.raises(ValueError, match="received_at: the deadline is not in the years"):
        return_request_deadline(received_at)


def test_a_datetime_is_not_taken_for_a_date() -> None:
    """Its day depends on the time zone, and it equals no holiday."""
    christmas = datetime(2026, 12, 25, tzinfo=NEW_YORK)
    with pytest.raises(TypeError, match="not a datetime"):
        is_business_day(christmas)
    with pytest.raises(TypeError, match="not a datetime"):
        add_business_days(christmas, 1)
