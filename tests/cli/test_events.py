"""``leadpay events``: a table for people, JSON for programs."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from leadpay.cli.events import event_row
from leadpay.converter import structure_event
from leadpay.enums import EventType
from leadpay.models import Event
from leadpay.sandbox import sample
from tests.support.scene import Scene


@pytest.mark.asyncio
async def test_events_are_listed_and_shown(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """They are filtered by type and object; names are masked, except in JSON."""
    payment = await online.send_to("1234567890")
    await invoke("events", "list", "--type", "instant_payment.posted", "--object-id", payment.id)
    _, row = capsys.readouterr().out.splitlines()
    event_id = row.split()[2]
    assert row.split()[3:] == ["instant_payment.posted", payment.id]
    await invoke("events", "list", "--json")
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == [
        "instant_payment.counterparty_status_updated",
        "instant_payment.posted",
    ]
    await invoke("events", "show", event_id)
    assert "object.creditor.name                      …\n" in capsys.readouterr().out
    await invoke("events", "show", event_id, "--json")
    assert json.loads(capsys.readouterr().out)["object"]["creditor"]["name"] == "Alex Smith"


def test_an_event_of_another_product_has_a_row() -> None:
    """Its object may have an ID, or be no object at all."""
    when = datetime(2025, 1, 6, tzinfo=UTC)
    found = [
        Event(id="event_1", event=EventType("ach.posted"), created_at=when, object=one) for one in ({"id": "a"}, 1)
    ]
    assert [event_row(event)[3] for event in found] == ["a", ""]


@pytest.mark.asyncio
async def test_an_unreadable_event_is_a_row_of_its_own(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are shown, and the command succeeds."""
    await online.send_to("1234567890")
    online.bank.faults.add("unreadable_object")
    assert await invoke("events", "list") is None
    _, readable, unreadable = capsys.readouterr().out.splitlines()
    assert "instant_payment." in readable
    assert unreadable.endswith(" must be a string, not an integer @ $.object.status")
    assert unreadable.split()[1] == "unreadable"


def test_an_event_about_an_account_number_has_its_id() -> None:
    """As one about a payment has the payment's."""
    data = sample("account_number.created", now=0.0, new_uuid=uuid4)
    assert event_row(structure_event(data))[2:] == ("account_number.created", data["object"]["id"])


@pytest.mark.asyncio
async def test_an_event_is_sent_again(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Signed anew, as the bank lists it; a refusal is exit code 1."""
    await online.receive()
    [event] = (await online.lead.events.list(limit=1)).objects
    online.endpoint.events.clear()
    assert await invoke("events", "resend", event.id, "--to", online.endpoint.url) == 0
    assert [one["id"] for one in online.endpoint.events] == [event.id]
    assert capsys.readouterr().out == f"{event.type} {event.id} -> 200\n"
    online.endpoint.statuses = [401]
    wrong = ("--secret", "whsec_wrong", "--json")
    assert await invoke("events", "resend", event.id, "--to", online.endpoint.url, *wrong) == 1
    assert json.loads(capsys.readouterr().out)["status"] == 401
