from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadpay.converter import structure
from leadpay.models import InstantPayment
from leadpay.outbox.content import Digests
from leadpay.outbox.evidence import SLACK, decide, fitting, shown, window
from leadpay.outbox.store import Instruction
from tests.support.payments import FULL, PAYMENTS

TIME = datetime(2026, 1, 1, 12, tzinfo=UTC)
DIGESTS = Digests("one")
LIFETIME = timedelta(hours=12)
SENT: dict[str, Any] = {
    **PAYMENTS[FULL],
    "direction": "outgoing",
    "created_at": TIME.isoformat(),
    "related_objects": {},
    "return": None,
}


def paid(**changes: Any) -> InstantPayment:
    """Give a payment like the one that was sent."""
    return structure({**SENT, **changes}, InstantPayment)


def instruction(**changes: Any) -> Instruction:
    """Make the instruction that is in doubt."""
    content = {
        "account_number_id": SENT["account_number_id"],
        "amount": SENT["amount"],
        "creditor": SENT["creditor"],
        "creditor_agent": SENT["creditor_agent"],
    }
    usual: dict[str, Any] = {"number": 1, "reference": "a", "operation": "send", "state": "in_doubt"}
    given: dict[str, Any] = {"idempotency_key": "k", "created_at": TIME, "updated_at": TIME}
    return Instruction(**{**usual, **given, "content": content, "first_attempt_at": TIME, **changes})


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"amount": 1}, False),
        ({"account_number_id": "account_number_other"}, False),
        ({"creditor": {"name": "X", "account_number": "1"}}, False),
        ({"creditor": {"name": "Another spelling", "account_number": SENT["creditor"]["account_number"]}}, True),
        ({"creditor_agent": {"routing_number": "000000000"}}, False),
        ({"direction": "incoming"}, False),
        ({"return": {"reason": "duplication"}}, False),
        ({"created_at": (TIME - SLACK).isoformat()}, True),
        ({"created_at": (TIME - 2 * SLACK).isoformat()}, False),
        ({"created_at": (TIME + LIFETIME + 2 * SLACK).isoformat()}, False),
    ],
)
def test_a_payment_fits_by_account_number_counterparty_amount_and_time(changes: dict[str, Any], fits: bool) -> None:
    """A name may be written in another way."""
    assert bool(fitting(instruction(), [paid(**changes)], DIGESTS, LIFETIME)) is fits


def test_nothing_fits_an_instruction_whose_content_is_erased() -> None:
    """A person decides then."""
    assert fitting(instruction(content=None), [paid()], DIGESTS, LIFETIME) == []


def test_a_window_without_an_attempt_begins_with_the_instruction() -> None:
    """With some slack for clocks that differ."""
    assert window(instruction(first_attempt_at=None), LIFETIME)[0] == TIME - SLACK


def test_one_free_payment_without_a_rival_decides() -> None:
    """Two payments, a payment of another instruction, or a rival leave it to a person."""
    one, other = paid(), paid(id="instant_payment_other")
    assert decide(instruction(), [one], [], 0) is one
    assert decide(instruction(), [one, other], [other.id], 0) is one
    assert decide(instruction(), [one, other], [], 0) is None
    assert decide(instruction(), [one], [one.id], 0) is None
    assert decide(instruction(), [one], [], 1) is None
    assert decide(instruction(), [], [], 0) is None
    assert decide(instruction(operation="cancel"), [one], [one.id], 1) is one


def test_evidence_shows_no_name() -> None:
    """IDs, times and statuses are enough for a person to look."""
    evidence = shown([paid()], [SENT["id"]], 2, looked_at=TIME)
    assert (evidence["payments"][0]["id"], evidence["payments"][0]["belongs_to_another"]) == (SENT["id"], True)
    assert (evidence["others_in_doubt"], evidence["looked_at"]) == (2, "2026-01-01T12:00:00+00:00")
    assert SENT["creditor"]["name"] not in str(evidence)
