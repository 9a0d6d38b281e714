from typing import Any

import attrs
import pytest

from leadpay.converter import structure
from leadpay.models import InstantPayment
from leadpay.outbox.progress import POLL_PAUSES, next_poll, our_return_request, outcome_of, was_rejected_by_us, words
from tests.support.payments import FULL, PAYMENTS

PLAIN = attrs.evolve(structure(PAYMENTS[FULL], InstantPayment), return_requests=(), counterparty_status=None)
REQUEST: dict[str, Any] = {"reason": "duplication", "created_at": "2026-01-01T00:00:00Z"}
RESOLVED: dict[str, Any] = {"resolved_at": "2026-01-02T00:00:00Z", "resolved_by": "client"}


def paid(**changes: Any) -> InstantPayment:
    """Give a payment with other statuses or return requests."""
    return structure({**PAYMENTS[FULL], "return_requests": [], "counterparty_status": None, **changes}, InstantPayment)


@pytest.mark.parametrize(
    ("operation", "changes", "outcome"),
    [
        ("send", {"status": "created"}, None),
        ("send", {"status": "under_review"}, None),
        ("send", {"status": "as_never_before"}, None),
        ("send", {"status": "rejected"}, "rejected"),
        ("send", {"status": "canceled"}, "canceled"),
        ("send", {"status": "posted"}, None),
        ("send", {"status": "posted", "counterparty_status": "under_review"}, None),
        ("send", {"status": "posted", "counterparty_status": "posted"}, "arrived"),
        ("return", {"status": "posted", "counterparty_status": "rejected"}, "rejected"),
        ("cancel", {"status": "posted"}, None),
        ("cancel", {"status": "canceled"}, "canceled"),
        ("reject_return_request", {"status": "posted"}, "rejected"),
        ("request_return", {"status": "posted"}, None),
        ("request_return", {"return_requests": [{**REQUEST, "status": "pending"}]}, None),
        ("request_return", {"return_requests": [{**REQUEST, "status": "rejected"}]}, "rejected"),
        ("request_return", {"return_requests": [{**REQUEST, "status": "rejected", "reason": "narrative"}]}, None),
    ],
)
def test_a_payment_shows_how_its_instruction_ended(operation: Any, changes: dict[str, Any], outcome: str) -> None:
    """An unknown word leaves it open."""
    assert outcome_of(operation, {"reason": "duplication"}, paid(**changes)) == outcome


def test_money_that_came_back_is_the_end() -> None:
    """Whatever the payment's own statuses say."""
    assert outcome_of("send", None, paid(status="posted", counterparty_status="posted"), returned=True) == "returned"
    assert outcome_of("request_return", None, paid(status="posted"), returned=True) == "returned"


def test_our_return_request_is_the_latest_with_our_reason() -> None:
    """Without the content, the latest."""
    later = {"reason": "narrative", "created_at": "2026-02-01T00:00:00Z", "status": "pending"}
    payment = paid(return_requests=[{**REQUEST, "status": "pending"}, later])
    for content, reason in (({"reason": "duplication"}, "duplication"), (None, "narrative")):
        found = our_return_request(content, payment)
        assert found is not None
        assert found.reason == reason


@pytest.mark.parametrize(
    ("request_", "is_ours"),
    [
        (None, False),
        ({**REQUEST, "status": "response_needed"}, False),
        ({**REQUEST, "status": "accepted", "resolution": RESOLVED}, False),
        ({**REQUEST, "status": "rejected", "resolution": RESOLVED}, True),
        ({**REQUEST, "status": "rejected", "resolution": {**RESOLVED, "rejection_reason": "narrative"}}, False),
        ({**REQUEST, "status": "rejected", "resolution": {**RESOLVED, "resolved_by": "lead"}}, False),
    ],
)
def test_a_rejection_is_ours_if_the_client_made_it_with_our_reason(request_: Any, is_ours: bool) -> None:
    """The bank rejects by itself at the deadline."""
    payment = paid(return_requests=[] if request_ is None else [request_])
    assert was_rejected_by_us({"reason": "customer_requested"}, payment) is is_ours
    assert was_rejected_by_us(None, payment) is (is_ours)


def test_pauses_between_looks_grow() -> None:
    """Up to a day."""
    assert [next_poll(number) for number in (0, 1, 100)] == [2.0, 5.0, POLL_PAUSES[-1]]


def test_statuses_are_written_in_words() -> None:
    """For the audit trail."""
    assert words(None) is None
    assert words(paid(status="created")) == "created"
    assert words(paid(status="posted", counterparty_status="rejected")) == "posted, counterparty rejected"
