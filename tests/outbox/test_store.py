from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from leadpay.converter import structure
from leadpay.enums import CounterpartyStatus, Status
from leadpay.models import InstantPayment
from leadpay.outbox.store import Instruction, Until
from tests.support.payments import FULL, PAYMENTS

PAYMENT = structure(PAYMENTS[FULL], InstantPayment)
TIME = datetime(2026, 1, 1, tzinfo=UTC)


def instruction(**changes: Any) -> Instruction:
    """Make an instruction that was queued."""
    usual: dict[str, Any] = {"number": 1, "reference": "a", "operation": "send", "state": "queued"}
    given: dict[str, Any] = {"idempotency_key": "key", "created_at": TIME, "updated_at": TIME}
    return Instruction(**{**usual, **given, **changes})


POSTED = attrs.evolve(PAYMENT, status=Status.POSTED)
BOUNCED = attrs.evolve(POSTED, counterparty_status=CounterpartyStatus.REJECTED)


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, []),
        ({"state": "in_doubt"}, []),
        ({"state": "accepted"}, ["accepted"]),
        ({"state": "accepted", "payment": POSTED}, ["accepted", "posted"]),
        ({"state": "accepted", "payment": POSTED, "outcome": "arrived"}, ["accepted", "posted", "arrived", "final"]),
        ({"state": "accepted", "payment": BOUNCED, "outcome": "rejected"}, ["accepted", "posted", "arrived"]),
        ({"state": "accepted", "payment": BOUNCED, "outcome": "returned"}, ["accepted", "posted", "arrived", "final"]),
        ({"state": "withdrawn", "outcome": "withdrawn"}, ["accepted", "posted", "arrived", "final"]),
        (
            {"operation": "reject_return_request", "state": "accepted", "outcome": "rejected"},
            ["accepted", "posted", "arrived", "final"],
        ),
    ],
)
def test_a_wait_ends_when_it_is_reached_or_out_of_reach(changes: dict[str, Any], reached: list[Until]) -> None:
    """A payment that bounced after it was posted is final once the money is back."""
    words: tuple[Until, ...] = ("accepted", "posted", "arrived", "final")
    assert [until for until in words if instruction(**changes).has_reached(until)] == reached
