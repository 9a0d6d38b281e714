"""Reading the body of a verified webhook."""

from collections.abc import Callable
from typing import Any

import pytest

from leadpay.errors import MalformedEventError
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.event import parse

MakeBody = Callable[..., bytes]


def test_an_event_about_a_payment_holds_the_payment(make_body: MakeBody) -> None:
    """Its object is a model, also for a type that is not on the bank's list."""
    for name in ("instant_payment.posted", "instant_payment.brand_new"):
        event = parse(make_body(name))
        assert isinstance(event, InstantPaymentEvent)
        assert event.payment.debtor.name == "Gertrude Bell"


def test_any_other_event_keeps_its_object_as_json_data(make_body: MakeBody) -> None:
    """Events of other products reach the same endpoint."""
    event = parse(make_body("ach.posted"))
    assert type(event) is Event
    assert event.object["direction"] == "incoming"


@pytest.mark.parametrize("body", [b"", b"Gertrude{", b'{"id": NaN}'])
def test_a_body_that_is_not_json_is_malformed(body: bytes) -> None:
    """The problem is at the root, and the body is not quoted."""
    with pytest.raises(MalformedEventError) as caught:
        parse(body)
    assert [(problem.parameter, problem.reason) for problem in caught.value.problems] == [
        ("$", "must be JSON in UTF-8"),
    ]


@pytest.mark.parametrize(
    ("changes", "path"), [({"amount": "4400112233"}, "$.object.amount"), ({"debtor": None}, "$.object.debtor")]
)
def test_a_wrong_field_is_named_by_its_path(make_body: MakeBody, changes: dict[str, Any], path: str) -> None:
    """The error has the path, the IDs that can be read, and no value."""
    with pytest.raises(MalformedEventError) as caught:
        parse(make_body(**changes))
    assert (caught.value.event_id, caught.value.payment_id) == ("event_1", "instant_payment_out1")
    assert path in [problem.parameter for problem in caught.value.problems]
    assert "4400112233" not in str(caught.value)
