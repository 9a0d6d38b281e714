"""The Federal Reserve's business days, by rule, and the deadlines of return requests. Pure.

The bank states a deadline in ``ReturnRequest.deadline``. These functions compute one where the bank gives none, and
check the one that it gives.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from leadpay.enums import Direction, DirectionLiteral

NEW_YORK: Final = ZoneInfo("America/New_York")
"""The time zone of the bank's deadlines."""

RETURN_REQUEST_DAYS: Final = 10
"""Business days in which a return request is responded to. The day of receipt is the first, if it is a business day.

The bank's example: created on Monday 2022-06-27, due on Monday 2022-07-11.
"""

_RESPOND_BY: Final = {Direction.INCOMING: time(23, 30), Direction.OUTGOING: time(0)}
_JUNETEENTH_SINCE: Final = 2021
_SATURDAY: Final = 5
_SUNDAY: Final = 6
_DAY: Final = timedelta(days=1)


def is_business_day(day: date) -> bool:
    """Tell whether the Federal Reserve Banks are open on a day.

    Args:
        day: a date in New York.

    Raises:
        TypeError: it is a datetime, whose date depends on the time zone.
    """
    if isinstance(day, datetime):
        raise TypeError("day: must be a date in New York, not a datetime")
    return day.weekday() < _SATURDAY and day not in holidays(day.year)


def add_business_days(day: date, number: int) -> date:
    """Count business days forward or back.

    Args:
        day: where to start. It is not counted itself.
        number: 1 is the next business day, -1 the one before; 0 is the day itself, whether or not it is a business day.

    Raises:
        TypeError: the day is a datetime, whose date depends on the time zone.
        OverflowError: the result is not in the years 1 to 9999.
    """
    if isinstance(day, datetime):
        raise TypeError("day: must be a date in New York, not a datetime")
    step = _DAY if number > 0 else -_DAY
    left = abs(number)
    while left:
        day += step
        left -= is_business_day(day)
    return day


def return_request_deadline(
    received_at: datetime, direction: Direction | DirectionLiteral = Direction.INCOMING
) -> datetime:
    """Compute until when a return request can be responded to, in New York time.

    It is on the tenth business day; the day of receipt is the first, if it is a business day. A request that we
    received (``incoming``) is due at 23:30, and Lead rejects it at the midnight that follows. One that we sent
    (``outgoing``) is due at 00:00. From the bank's page "Receiving & Returning" and its description of ``deadline``.

    Args:
        received_at: when the request was created, with a time zone.
        direction: of the payment whose return is requested.

    Raises:
        ValueError: the time has no time zone, the direction is unknown, or the result is not in the years 1 to 9999.
    """
    respond_by = _RESPOND_BY.get(Direction(direction))
    if respond_by is None:
        raise ValueError("direction: must be 'incoming' or 'outgoing'")
    if received_at.tzinfo is None:
        raise ValueError("received_at: must have a time zone")
    try:
        day_before = received_at.astimezone(NEW_YORK).date() - _DAY
        return datetime.combine(add_business_days(day_before, RETURN_REQUEST_DAYS), respond_by, NEW_YORK)
    except OverflowError:
        raise ValueError("received_at: the deadline is not in the years 1 to 9999") from None


@lru_cache(maxsize=128)
def holidays(year: int) -> frozenset[date]:
    """List the holidays of a year on which the Federal Reserve Banks are closed.

    A holiday on a Sunday is moved to the Monday after. One on a Saturday is not moved: the banks are open on the Friday
    before. From the Federal Reserve's page "Holiday Schedules".

    Args:
        year: the rules are those since 1986; Juneteenth was added in 2021.
    """
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)]
    if year >= _JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    moving = (
        _nth_weekday(date(year, 1, 1), 0, 3),  # Birthday of Martin Luther King, Jr.
        _nth_weekday(date(year, 2, 1), 0, 3),  # Washington's Birthday
        _nth_weekday(date(year, 5, 25), 0, 1),  # Memorial Day: the last Monday of May
        _nth_weekday(date(year, 9, 1), 0, 1),  # Labor Day
        _nth_weekday(date(year, 10, 1), 0, 2),  # Columbus Day
        _nth_weekday(date(year, 11, 1), 3, 4),  # Thanksgiving Day
    )
    return frozenset(moving) | {day + _DAY if day.weekday() == _SUNDAY else day for day in fixed}


def _nth_weekday(start: date, weekday: int, number: int) -> date:
    """The n-th Monday (0), Tuesday (1) and so on, on or after a day."""
    return start + timedelta(days=(weekday - start.weekday()) % 7 + 7 * (number - 1))
