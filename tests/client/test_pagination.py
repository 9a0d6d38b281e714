"""Pages, and walks over cursors."""

from typing import Any

import pytest

from leadpay.converter import decode
from leadpay.errors import MalformedResponseError
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
    """It has its objects as the bank orders them, and ``async for`` goes on from them."""
    bank = Bank(page("4", "3", more=True), page("1", more=False))
    first = await bank.payments.list()
    assert ([one.id for one in first.objects], first.has_more) == (["instant_payment_4", "instant_payment_3"], True)
    assert [one.id async for one in first] == ["instant_payment_4", "instant_payment_3", "instant_payment_1"]
    assert bank.sent[1][0].path.endswith("starting_after=instant_payment_3")
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
async def test_a_walk_backwards_is_in_one_order() -> None:
    """Each page has the newest first, and the next page is newer: so each page is reversed."""
    bank = Bank(page("4", "3", more=True), page("6", "5", more=False))
    pager = bank.payments.list(ending_before="instant_payment_2")
    assert [one.id[-1] async for one in pager] == ["3", "4", "5", "6"]
    assert bank.sent[1][0].path.endswith("ending_before=instant_payment_4")
    bank = Bank(page("4", "3", more=True), page("6", "5", more=False))
    first = await bank.payments.list(ending_before="instant_payment_2")
    assert [one.id[-1] for one in first.objects] == ["4", "3"]
    assert [one.id[-1] async for one in first] == ["3", "4", "5", "6"]


@pytest.mark.asyncio
async def test_an_unreadable_object_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """The others are given, the page holds it, and the log says so once for a list."""
    bad = payment(id="instant_payment_3", amount="5000", creditor={"name": "Canary", "account_number": "\ud800"})
    script = [
        {"objects": [payment(id="instant_payment_4"), bad], "has_more": True},
        {"objects": [7, payment(id="instant_payment_1"), {"id": 5}], "has_more": False},
    ]
    bank = Bank(*script)
    assert [one.id[-1] async for one in bank.payments.list()] == ["4", "1"]
    assert bank.sent[1][0].path.endswith("starting_after=instant_payment_3")
    [warning] = caplog.messages
    assert warning == (
        "1 of a list's objects cannot be read, see Page.unreadable: "
        "instant_payment_3: must be an integer, not a string @ $.amount"
    )
    pages = [one async for one in Bank(*script).payments.list().pages()]
    first, second, third = (one for page in pages for one in page.unreadable)
    assert [page.ordered for page in pages] == [page.objects for page in pages]
    assert (first.id, first.payment_id, second.id, third.id) == ("instant_payment_3", "instant_payment_3", None, None)
    assert decode(first.body) == bad
    assert [problem.parameter for problem in first.problems] == ["$.amount"]
    assert "Canary" not in repr(pages) + repr(first)
    assert str(second) == "an object without an ID: must be an object, not an integer @ $"


@pytest.mark.asyncio
@pytest.mark.parametrize("has_more", [None, "true", 1, KeyError])
async def test_a_list_that_does_not_say_whether_there_is_more_is_walked_to_an_empty_page(has_more: Any) -> None:
    """Nothing is left out."""
    pages = [page("2", more=True), page("1", more=True), page(more=True)]
    script = [{**one, "has_more": has_more} for one in pages]
    if has_more is KeyError:
        script = [{"objects": one["objects"]} for one in pages]
    assert [one.id[-1] async for one in Bank(*script).payments.list()] == ["2", "1"]


@pytest.mark.asyncio
async def test_a_page_without_any_id_is_no_end() -> None:
    """There is nothing to go on from, which is an error and not the end of the list."""
    first = await Bank({"objects": [None], "has_more": True}).payments.list()
    with pytest.raises(MalformedResponseError, match="no ID to go on from"):
        await first.next_page()


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [[], {"objects": {}, "has_more": True}, {"objects": None, "has_more": False}, 5, {}])
async def test_what_is_no_list_is_an_error(body: Any) -> None:
    """An empty list would say that there is nothing."""
    with pytest.raises(MalformedResponseError) as caught:
        await Bank(body).payments.list()
    assert [problem.parameter for problem in caught.value.problems] == ["$.objects"]
