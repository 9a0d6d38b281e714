"""What a client asks for, once validated. Frozen, and free of JSON."""

from typing import NamedTuple

import attrs

from leadpay.sandbox.models import Party


@attrs.frozen(kw_only=True)
class Order:
    """A payment to be sent."""

    account_number_id: str
    amount: int
    """Cents."""
    creditor: Party
    creditor_agent: str
    description: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Arrival:
    """A payment that somebody else sends us."""

    creditor_account_number_id: str
    amount: int
    """Cents."""
    debtor: Party
    debtor_agent: str
    description: str | None = attrs.field(default=None, repr=False)
    end_to_end_id: str | None = None


class Reason(NamedTuple):
    """Why somebody returns, asks back, or refuses to."""

    reason: str
    additional_information: str | None = None
