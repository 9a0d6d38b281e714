"""A sample event of every type."""

import uuid

import pytest

from leadpay.converter import structure_event
from leadpay.enums import EventType
from leadpay.models import AccountNumberEvent, InstantPaymentEvent
from leadpay.sandbox import sample
from leadpay.sandbox.constants import EVENT_TYPES
from leadpay.sandbox.samples import OUTCOMES

NOW = 1_736_175_600.0


@pytest.mark.parametrize(("name", "direction"), OUTCOMES)
def test_a_sample_of_each_type_fits_it(name: str, direction: str) -> None:
    """Its payment has the direction and the state of the type, and the SDK can read it."""
    event = structure_event(sample(name, now=NOW, new_uuid=uuid.uuid4, direction=direction, amount=123))
    assert isinstance(event, InstantPaymentEvent)
    assert (event.type, event.payment.direction, event.payment.amount) == (
        f"instant_payment.{name}",
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
    }[name]
    spellings = {"counterparty_status_updated": "posted", "return_request_status_updated": "accepted"}
    assert str(expected) == spellings.get(name, name.removeprefix("return_request_"))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_there_is_a_sample_of_every_type(event_type: str) -> None:
    """An event of another product has an object of that product."""
    event = structure_event(sample(event_type, now=NOW, new_uuid=uuid.uuid4))
    assert event.type == EventType(event_type)
    if isinstance(event, AccountNumberEvent):
        assert event.account_number.account_id == "account_xyz123"
    elif not isinstance(event, InstantPaymentEvent):
        assert event.object["id"].startswith(event_type.partition(".")[0])


def test_older_spellings_are_accepted_and_unknown_types_are_not() -> None:
    """A type that does not exist, or does not occur in that direction, is refused."""
    shown = sample("counterparty_status_update", now=NOW, new_uuid=uuid.uuid4)
    assert shown["event"] == "instant_payment.counterparty_status_updated"
    assert sample(".posted", now=NOW, new_uuid=uuid.uuid4)["event"] == "instant_payment.posted"
    with pytest.raises(ValueError, match="type: must be one of"):
        sample("..posted", now=NOW, new_uuid=uuid.uuid4)
    with pytest.raises(ValueError, match="type: must be one of"):
        sample("lost", now=NOW, new_uuid=uuid.uuid4)
    with pytest.raises(ValueError, match="direction"):
        sample("counterparty_status_updated", now=NOW, new_uuid=uuid.uuid4, direction="incoming")
