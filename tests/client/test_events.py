"""The calls about events."""

from typing import Any

import pytest

from tests.support.scripted_transport import PAYMENT, Bank


@pytest.mark.asyncio
async def test_events_are_listed_and_read() -> None:
    """Both spellings of a type are sent in the current one."""
    event = {"id": "event_1", "event": "instant_payment.posted", "created_at": "2027-01-15T08:00:00Z"}
    bank = Bank({"objects": [{**event, "object": PAYMENT}], "has_more": False})
    types: list[Any] = ["instant_payment.counterparty_status_update", "ach.posted"]
    events = [one async for one in bank.events.list(types=types, object_id="instant_payment_1")]
    assert [one.id for one in events] == ["event_1"]
    assert bank.sent[0][0].path == (
        "/v1/event?events=instant_payment.counterparty_status_updated&events=ach.posted&object_id=instant_payment_1"
    )
    assert (await Bank({**event, "object": PAYMENT}).events.retrieve("event_1")).id == "event_1"
