"""What a payment's own data tell of its life."""

from typing import Any

import pytest

from leadpay.console.timeline import Entry, countdown, entries_of, in_order
from leadpay.converter import structure
from leadpay.models import InstantPayment
from tests.support.inbox import PAYMENTS

BASE = PAYMENTS["incoming, asked back"]
REQUEST: dict[str, Any] = {
    "status": "response_needed",
    "reason": "duplication",
    "created_at": "2024-03-02T10:00:00Z",
    "deadline": "2024-03-04T10:00:00Z",
}
NOON = 1_709_373_600.0


def payment(*requests: dict[str, Any], **changes: Any) -> InstantPayment:
    """Make a payment."""
    return structure({**BASE, "return_requests": list(requests), **changes}, InstantPayment)


def test_a_return_request_has_its_verdict() -> None:
    """An open one is marked; a resolved one says by whom, and why if it was rejected."""
    resolution = {"resolved_at": "2024-03-03T10:00:00Z", "resolved_by": "client"}
    rejected = {"resolved_at": "2024-03-02T09:00:00Z", "resolved_by": "lead", "rejection_reason": "account_closed"}
    accepted = {**REQUEST, "status": "accepted", "resolution": resolution}
    earlier = {**REQUEST, "status": "rejected", "resolution": rejected, "created_at": "2024-03-02T08:00:00Z"}
    entries = in_order(entries_of(payment(accepted, earlier, REQUEST)))
    assert [(entry.title, entry.state, entry.tone) for entry in entries] == [
        ("Received", "", ""),
        ("The counterparty requests a return", "", ""),
        ("Return request rejected by lead", "rejected", "bad"),
        ("The counterparty requests a return", "", ""),
        ("The counterparty requests a return", "response_needed", "warn"),
        ("Return request accepted by client", "accepted", "good"),
    ]
    assert entries[2].note == "Reason: account closed"
    ours = entries_of(payment(REQUEST, direction="outgoing"))
    assert [entry.title for entry in ours] == ["Created", "We request a return"]
    assert len({entry.key for entry in entries}) == len(entries)
    assert isinstance(entries[0], Entry)


@pytest.mark.parametrize(
    ("now", "text", "urgent"),
    [
        (NOON, "2 d left", False),
        (NOON + 86_400 + 60, "23 h 59 m left", True),
        (NOON + 3 * 86_400, "the deadline has passed", True),
    ],
)
def test_the_countdown_of_a_return_request(now: float, text: str, urgent: bool) -> None:
    """It is urgent on its last day."""
    found = countdown(payment(REQUEST), now)
    assert found is not None
    assert (found.text, found.is_urgent) == (text, urgent)


def test_a_computed_deadline_is_marked() -> None:
    """And without an open request there is no countdown."""
    found = countdown(payment({**REQUEST, "deadline": None}), NOON)
    assert found is not None
    assert found.text.endswith("left, by our own calendar")
    assert countdown(payment(), NOON) is None
