"""The events that an exam delivers."""

from uuid import uuid4

import pytest

from leadpay.converter import encode
from leadpay.exam.lives import KNOWN_WORD, NAMES, UNKNOWN_WORD, make_life
from leadpay.sandbox.constants import EVENT_TYPES
from leadpay.webhooks.event import parse


def test_every_type_of_event_occurs() -> None:
    """In both directions where it can, and as a return."""
    lives = [make_life(name, uuid4) for name in NAMES]
    assert {event["event"] for life in lives for event in life.events} == set(EVENT_TYPES)
    payments = [event["object"] for life in lives for event in life.events if "direction" in event["object"]]
    kinds = {(one["direction"], one.get("return") is not None) for one in payments}
    assert kinds == {("outgoing", False), ("outgoing", True), ("incoming", False), ("incoming", True)}


@pytest.mark.parametrize("name", NAMES)
def test_every_event_can_be_read_in_every_form(name: str) -> None:
    """Also with unknown words; times grow, and IDs are new each time."""
    life = make_life(name, uuid4, {"account_number_id": "account_number_mine"})
    for form in (life, life.newer(), life.unknown_status(), life.unknown_everywhere()):
        events = [parse(encode(event)) for event in form.events]
        assert [one.created_at for one in events] == sorted(one.created_at for one in events)
        assert len({one.payment_id for one in events}) == 1
    assert not set(life.ids) & set(make_life(name, uuid4).ids)
    if len(life.events) > 1:
        assert life.events[0]["object"]["account_number_id"] == "account_number_mine"


def test_newer_objects_and_unknown_words() -> None:
    """Each event has the last object; only a counterparty status that is not final becomes unknown."""
    life = make_life(NAMES[1], uuid4)
    assert life.has_open_status
    assert [one["object"].get("counterparty_status") for one in life.newer().events] == ["rejected"] * 3
    words = [one["object"].get("counterparty_status") for one in life.unknown_status().events]
    assert words == [None, UNKNOWN_WORD, "rejected"]
    assert [one["object"].get("counterparty_status") for one in life.events] == [None, KNOWN_WORD, "rejected"]
    last = life.unknown_everywhere().events[-1]["object"]
    assert (last["status"], last["counterparty_status"], last["rejection"]["reason"]) == (UNKNOWN_WORD,) * 3
    assert not make_life("an incoming return", uuid4).has_open_status
