"""Pages and walks over cursors: against a script of answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.errors import (
    MalformedResponseError,
)
from tests.client.script import PAYMENT, Bank, payment


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
    """Paths begin at the body of the answer."""
    with pytest.raises(MalformedResponseError) as caught:
        await Bank(body).payments.list()
    assert {problem.parameter for problem in caught.value.problems} == paths


@pytest.mark.asyncio
async def test_events_are_listed_and_read() -> None:
    """Both spellings of a type are sent in the current one."""
    event = {"id": "event_1", "event": "instant_payment.posted", "created_at": "2027-01-15T08:00:00Z"}
    bank = Bank({"objects": [{**event, "object": PAYMENT}], "has_more": False})
    types = ["instant_payment.counterparty_status_update", "ach.posted"]
    events = [one async for one in bank.events.list(types=types, object_id="instant_payment_1")]
    assert [one.id for one in events] == ["event_1"]
    assert bank.sent[0][0].path == (
        "/v1/event?events=instant_payment.counterparty_status_updated&events=ach.posted&object_id=instant_payment_1"
    )
    assert (await Bank({**event, "object": PAYMENT}).events.retrieve("event_1")).id == "event_1"


@pytest.mark.asyncio
async def test_times_are_sent_in_utc() -> None:
    """Whatever their zone was."""
    bank = Bank(page(more=False))
    at: Callable[[int], datetime] = lambda hour: datetime(2027, 1, 1, hour, tzinfo=UTC)  # noqa: E731 - four of them
    await bank.payments.list(
        created_after=at(1), created_on_or_after=at(2), created_before=at(3), created_on_or_before=at(4)
    )
    assert "created_at%5Bafter%5D=2027-01-01T01%3A00%3A00Z" in bank.sent[0][0].path
