"""The sandbox's own lists of values, compared with the SDK's: each was written down independently."""

from enum import StrEnum

import pytest

from leadpay import enums
from leadpay.sandbox import constants, controls


@pytest.mark.parametrize(
    ("enum", "values"),
    [
        (enums.Direction, constants.DIRECTIONS),
        (enums.Status, constants.STATUSES),
        (enums.CounterpartyStatus, constants.COUNTERPARTY_STATUSES),
        (enums.ReturnRequestStatus, constants.RETURN_REQUEST_STATUSES),
        (enums.AccountNumberStatus, constants.ACCOUNT_NUMBER_STATUSES),
        (enums.CounterpartyFilter, controls.FILTERS),
        (enums.RejectedBy, constants.REJECTED_BY),
        (enums.ResolvedBy, constants.RESOLVED_BY),
        (enums.RejectionReason, constants.REJECTION_REASONS),
        (enums.ReturnReason, constants.RETURN_REASONS),
        (enums.ReturnRequestReason, constants.REQUEST_REASONS),
        (enums.ReturnRequestRejectionReason, constants.REQUEST_REJECTION_REASONS),
    ],
)
def test_both_halves_know_the_same_values(enum: type[StrEnum], values: tuple[str, ...]) -> None:
    """In their current spelling."""
    assert {str(getattr(one, "current", one)) for one in enum} == set(values)


def test_both_halves_know_the_same_event_types() -> None:
    """In their current spelling."""
    assert {str(getattr(one, "current", one)) for one in enums.EventType} == set(constants.EVENT_TYPES)
