"""An event of every type, such as the bank would send."""

import uuid

import pytest

from leadpay.converter import structure_event
from leadpay.enums import EventType
from leadpay.models import InstantPaymentEvent
from leadpay.sandbox import sample
from leadpay.sandbox.constants import EVENT_TYPES
from leadpay.sandbox.samples import SCENARIOS

NOW = 1_736_175_600.0


@pytest.mark.parametrize(("word", "direction"), SCENARIOS)
def test_a_sample_of_each_type_fits_it(word: str, direction: str) -> None:
    """Its payment is in the direction and the state that the type speaks of, and can be read."""
    event = structure_event(sample(word, now=NOW, new_uuid=uuid.uuid4, direction=direction, amount=123))
    assert isinstance(event, InstantPaymentEvent)
    assert (event.type, event.payment.direction, event.payment.amount) == (
        f"instant_payment.{word}",
        direction,
        123,
    )
    payment = event.payment
    expected = {
        "under_review": payment.status,
        "posted": payment.status,
        "rejected": payment.status,
        "counterparty_status_updated": payment.counterparty_status,
        "return_request_response_needed": payment.return_requests and payment.return_requests[-1].status,
        "return_request_status_updated": payment.return_requests and payment.return_requests[-1].status,
    }[word]
    spellings = {"counterparty_status_updated": "posted", "return_request_status_updated": "accepted"}
    assert str(expected) == spellings.get(word, word.removeprefix("return_request_"))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_there_is_a_sample_of_every_type(event_type: str) -> None:
    """Other products' too, about an object of theirs."""
    event = structure_event(sample(event_type, now=NOW, new_uuid=uuid.uuid4))
    assert event.type == EventType(event_type)
    if not isinstance(event, InstantPaymentEvent):
        assert event.object["id"].startswith(event_type.partition(".")[0])


def test_older_spellings_are_understood_and_nonsense_is_not() -> None:
    """A type that doesn't exist, or doesn't occur in that direction, is refused by name."""
    shown = sample("counterparty_status_update", now=NOW, new_uuid=uuid.uuid4)
    assert shown["event"] == "instant_payment.counterparty_status_updated"
    with pytest.raises(ValueError, match="type: must be one of"):
        sample("lost", now=NOW, new_uuid=uuid.uuid4)
    with pytest.raises(ValueError, match="direction"):
        sample("counterparty_status_updated", now=NOW, new_uuid=uuid.uuid4, direction="incoming")
