"""Reading a list of the bank's objects."""

from datetime import UTC, datetime

import pytest

from leadpay.cli.listing import collect, filters, page_size
from leadpay.models import InstantPayment
from tests.support.scene import Scene


@pytest.mark.parametrize(("limit", "size"), [(0, 100), (1, 1), (100, 100), (250, 100)])
def test_a_page_is_not_larger_than_needed(limit: int, size: int) -> None:
    """No limit takes the largest page that the bank allows."""
    assert page_size(limit) == size


def test_options_that_are_missing_are_left_out() -> None:
    """Times become aware, and have the names that ``list()`` takes."""
    since = datetime(2025, 1, 6, tzinfo=UTC)
    assert filters(since=since, until=None, status="posted", direction=None) == {
        "created_on_or_after": since,
        "status": "posted",
    }
    assert filters(since=None, until=datetime(2025, 1, 6))["created_before"].tzinfo is not None  # noqa: DTZ001 - local time


@pytest.mark.asyncio
@pytest.mark.parametrize("as_json", [False, True])
async def test_reading_stops_at_the_limit(scene: Scene, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is printed while reading goes on, and is not collected."""
    for amount in range(3):
        await scene.send(amount=amount)
    found = await collect(scene.lead.instant_payments.list(limit=2), 2, as_json=as_json)
    assert [one.amount for one in found if isinstance(one, InstantPayment)] == ([] if as_json else [2, 1])
    assert len(capsys.readouterr().out.splitlines()) == (2 if as_json else 0)
