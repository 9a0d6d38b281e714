"""Guards before money leaves: limits for each account number, and suspected duplicates. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from leadpay.errors import ConfigurationError

NEW_YORK: Final = ZoneInfo("America/New_York")
"""The bank's days begin at midnight in New York."""


def _positive(_: object, attribute: "attrs.Attribute[int | None]", value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 0):
        raise ConfigurationError(f"{attribute.name}: must be an int of cents that is not negative, or None")


@attrs.frozen(kw_only=True)
class Limits:
    """How much may be sent from one account number without a person's approval, in cents.

    An instruction above a limit is held. A day begins at midnight in New York, and an instruction counts on the day on
    which it is queued or approved. What is refused or withdrawn counts no more.

    Raises:
        ConfigurationError: a limit is no int, or is negative.
    """

    per_payment: int | None = attrs.field(default=None, validator=_positive)
    """For one payment."""
    per_day: int | None = attrs.field(default=None, validator=_positive)
    """For all payments of a day."""
    per_creditor_per_day: int | None = attrs.field(default=None, validator=_positive)
    """For all payments of a day to one account at one bank."""


@attrs.frozen(kw_only=True)
class Guards:
    """What an outbox checks before an instruction is queued.

    Raises:
        ConfigurationError: the time is not positive.
    """

    limits: Limits | Mapping[str, Limits] | None = None
    """For every account number, or by account number ID."""
    suspect_duplicates: timedelta | None = None
    """How long after a payment an equal one (account number, counterparty, amount) is held."""
    two_people: bool = False
    """Whether an approval must come from another person than who queued the instruction."""

    def __attrs_post_init__(self) -> None:
        if self.suspect_duplicates is not None and self.suspect_duplicates <= timedelta():
            raise ConfigurationError("suspect_duplicates: must be a positive timedelta, or None")

    def limits_of(self, account_number_id: str) -> Limits:
        """Give the limits of an account number."""
        if isinstance(self.limits, Mapping):
            return self.limits.get(account_number_id, _UNLIMITED)
        return self.limits or _UNLIMITED


_UNLIMITED: Final = Limits()


def day_of(time: datetime) -> int:
    """Number the day, in New York, that a time is in."""
    return time.astimezone(NEW_YORK).toordinal()
