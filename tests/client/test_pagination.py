"""Pages, and walks over cursors."""

from typing import Any

import pytest

from leadpay.errors import (
    MalformedResponseError,
)
from tests.support.scripted_transport import Bank, payment


def page(*ids: str, more: bool) -> dict[str, Any]:
    """One page of payments."""
    return {"objects": [payment(id=f"instant_payment_{one}") for one in ids], "has_more": more}


@pytest.mark.asyncio
async def test_a_list_is_walked_past_empty_pages() -> None:
    """The cursor is the last object's ID; an empty page is asked for again."""
    bank = Bank(page("1", "2", more=True), page(more=True), page("3", more=False))
    walked = [one.id async for one in bank.payments.list(direction="outgoing", limit=2)]
    assert walked == ["instant_payment_1", "instant_payment_2", "instant_payment_3"]
    queries = [request.path.partition("?")[2] for request, _, _ in bank.sent]
    assert queries[0] == "limit=2&direction=outgoing"
    assert queries[1] == queries[2] == "limit=2&direction=outgoing&starting_after=instant_payment_2"


@pytest.mark.asyncio
async def test_a_page_can_be_awaited_and_walked_on() -> None:
    """It has its objects, and ``async for`` goes on from them; backwards too."""
    bank = Bank(page("3", "4", more=True), page("1", more=False))
    first = await bank.payments.list(ending_before="instant_payment_5")
    assert ([one.id for one in first.objects], first.has_more) == (["instant_payment_3", "instant_payment_4"], True)
    assert [one.id async for one in first] == ["instant_payment_3", "instant_payment_4", "instant_payment_1"]
    assert bank.sent[1][0].path.endswith("ending_before=instant_payment_3")
    last = await Bank(page(more=False)).payments.list()
    assert await last.next_page() is None


@pytest.mark.asyncio
@pytest.mark.parametrize("stuck", [page(more=True), page("1", more=True)])
async def test_a_list_that_does_not_advance_ends_in_an_error(stuck: dict[str, Any]) -> None:
    """Never in a loop."""
    with pytest.raises(MalformedResponseError, match="has_more"):
        async for _ in Bank(stuck).payments.list():
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize("lead_in", [0, 1, 5])
@pytest.mark.parametrize("length", [1, 2, 3, 7])
async def test_a_list_that_goes_round_in_a_circle_ends_in_an_error(lead_in: int, length: int) -> None:
    """However many pages the circle has, and wherever it begins, it is not gone round more than a few times."""
    straight = [page(f"on_{number}", more=True) for number in range(lead_in)]
    circle = [page(f"round_{number}", more=True) for number in range(length)]
    bank = Bank(*straight, *circle * 20)
    with pytest.raises(MalformedResponseError, match="has been before"):
        async for _ in bank.payments.list():
            pass
    assert len(bank.sent) <= 3 * (lead_in + length) + 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ([], {"$.objects", "$.has_more"}),
        ({"objects": {}, "has_more": 1}, {"$.objects", "$.has_more"}),
        ({"objects": [payment(), payment(id=None), 7], "has_more": False}, {"$.objects[1].id", "$.objects[2]"}),
    ],
)
async def test_a_page_that_cannot_be_read_names_every_path(body: Any, paths: set[str]) -> None:
    """Paths begin at the body of the response."""
    with pytest.raises(MalformedResponseError) as caught:
        await Bank(body).payments.list()
    assert {problem.parameter for problem in caught.value.problems} == paths
