"""The Federal Reserve's business days, by rule, and the deadlines of return requests. Pure.

The bank's page on return requests: the client must respond to an incoming one by 23:30 New York time on the tenth
business day, and Lead rejects it at midnight; the deadline of an outgoing one is 00:00 on the tenth business day.
"""

from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

NEW_YORK: Final = ZoneInfo("America/New_York")
"""The time zone in which the bank states its deadlines."""

BUSINESS_DAYS: Final = 10
"""How many business days there are to respond; the day of receipt is the first, if it is a business day.

The bank's example: received on Monday 2022-06-27, due on Monday 2022-07-11.
"""

_SATURDAY: Final = 5
_SUNDAY: Final = 6
_DAY: Final = timedelta(days=1)


class Deadline(NamedTuple):
    """The two times of an incoming return request that gets no response."""

    respond_by: datetime
    """The deadline that the request shows, in New York time."""
    rejected_at: datetime
    """When Lead rejects the request: the midnight after."""


@cache
def holidays(year: int) -> frozenset[date]:
    """The days of a year on which the Federal Reserve Banks are closed, weekends aside.

    A holiday on a Sunday is observed on the Monday after; one on a Saturday is not observed on another day. From
    the Federal Reserve's page on holiday schedules.
    """
    fixed = (date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25))
    moving = (
        _nth_weekday(year, 1, 0, 3),  # Birthday of Martin Luther King, Jr.
        _nth_weekday(year, 2, 0, 3),  # Washington's Birthday
        _last_monday_of_may(year),  # Memorial Day
        _nth_weekday(year, 9, 0, 1),  # Labor Day
        _nth_weekday(year, 10, 0, 2),  # Columbus Day
        _nth_weekday(year, 11, 3, 4),  # Thanksgiving Day
    )
    return frozenset(moving) | {day + _DAY if day.weekday() == _SUNDAY else day for day in fixed}


def is_business_day(day: date) -> bool:
    """Whether the Federal Reserve Banks are open on that day."""
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def business_day(start: date, number: int) -> date:
    """The n-th business day on or after ``start``, counting ``start`` itself if it is one.

    Args:
        start: the first day to count.
        number: n, 1 or more.
    """
    day = start
    while True:
        number -= is_business_day(day)
        if not number:
            return day
        day += _DAY


def incoming_deadline(received: datetime) -> Deadline:
    """The deadline of a return request that the counterparty sent us.

    Args:
        received: when it was received, with a time zone.
    """
    last = business_day(received.astimezone(NEW_YORK).date(), BUSINESS_DAYS)
    return Deadline(
        datetime.combine(last, time(23, 30), NEW_YORK),
        datetime.combine(last + _DAY, time(0), NEW_YORK),
    )


def outgoing_deadline(sent: datetime) -> datetime:
    """The network's deadline for a return request that we sent.

    Args:
        sent: when it was sent, with a time zone.
    """
    last = business_day(sent.astimezone(NEW_YORK).date(), BUSINESS_DAYS)
    return datetime.combine(last, time(0), NEW_YORK)


def _nth_weekday(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())
