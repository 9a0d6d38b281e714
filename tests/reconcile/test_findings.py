"""The rules of findings that need no bank."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import attrs
import pytest

from leadpay.models import InstantPayment
from leadpay.reconcile.findings import REMEDIES, Finding, FindingKind, in_order, overdue, totals
from leadpay.reconcile.workspace import Workspace
from tests.support.inbox import event_of

REJECTED = datetime(2026, 11, 24, 15, tzinfo=UTC)
"""Two days before Thanksgiving."""


@pytest.fixture
def space() -> Iterator[Workspace]:
    with closing(Workspace()) as opened:
        yield opened


def payment(**changes: Any) -> InstantPayment:
    """Make a payment."""
    event, _ = event_of("event_1", payment="instant_payment_1")
    found: InstantPayment = attrs.evolve(event.object, **changes)
    return found


def test_every_kind_has_a_remedy() -> None:
    """And a place in the order of a report."""
    assert set(REMEDIES) == set(get_args(FindingKind))
    one, two = Finding(kind="sum_differs", evidence="b"), Finding(kind="differs", payment_id="z", evidence="a")
    assert in_order([one, two]) == in_order([two, one]) == (two, one)
    assert two.remedy.startswith("leadpay payments show")


@pytest.mark.parametrize(("days", "is_late"), [(0, False), (8, False), (9, True)])
def test_a_return_is_overdue_after_business_days(days: int, is_late: bool) -> None:
    """Five of them from Tuesday, with a holiday and a weekend between, end on Wednesday of the week after."""
    found = overdue(payment(updated_at=REJECTED), REJECTED + timedelta(days=days), 5)
    assert (found is not None) is is_late
    assert found is None or found.evidence.endswith("its return was due by 2026-12-02")


def test_sums_are_exact_beyond_what_a_database_adds_up(space: Workspace) -> None:
    """Two of the bank's largest amounts are more than 64 bits; a repeated object counts once."""
    largest = payment(amount=2**63 - 1, status="posted", direction="incoming")
    rows = [space.known_row(attrs.evolve(largest, id=f"instant_payment_{number}")) for number in (1, 2, 2)]
    space.add("known", rows)
    space.add("known", [])
    [total] = totals(space)
    assert (total.incoming, total.net_cents) == (2, 2**64 - 2)
    assert space.count("known") == 2


def test_the_temporary_database_holds_no_names(space: Workspace) -> None:
    """Nor account numbers: only a hash whose key is forgotten."""
    one = payment()
    text = str(space.known_row(one))
    assert one.creditor.name not in text
    assert one.creditor.account_number not in text
    with closing(Workspace()) as other:
        assert other.known_row(one)[10] != space.known_row(one)[10]
