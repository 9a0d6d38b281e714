"""JSON data to models and back: nothing coerced, and nothing forgotten."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.converter import _structure_plainly, read, structure, structure_event, unstructure
from leadpay.enums import EventType, Status
from leadpay.errors import MalformedResponseError
from leadpay.fastpath import from_data
from leadpay.models import AccessToken, Availability, Event, InstantPayment, InstantPaymentEvent, Party
from tests.support.payments import FULL, PAYMENTS, as_meant


def changed(path: str, value: Any) -> Any:
    """Give the full payment with one thing put in its place; a path is written as in error messages."""
    data = json.loads(json.dumps(PAYMENTS[FULL]))
    *steps, last = [
        int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")
    ]
    place = data
    for step in steps:
        place = place[step]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return data


def problems(read: Callable[[], Any]) -> list[tuple[str, str]]:
    """Give what is wrong, as (path, reason), in the order of the paths."""
    with pytest.raises(MalformedResponseError) as caught:
        read()
    return sorted((path, reason) for path, reason in caught.value.problems)


@pytest.mark.parametrize("name", PAYMENTS)
def test_sample_payloads_come_back_out(name: str) -> None:
    """Every sample, older spellings and unknown words included, is read and written as it came."""
    data = PAYMENTS[name]
    payment = from_data(InstantPayment)(data)
    assert as_meant(unstructure(payment)) == as_meant(data)
    plain = _structure_plainly(data, InstantPayment)
    assert payment == structure(data, InstantPayment) == plain
    assert type(payment.status) is type(plain.status) is Status


def test_unknown_fields_are_kept_at_every_level() -> None:
    """What we don't know is seen in unknown_fields, as it came, nulls too."""
    payment = structure({**PAYMENTS[FULL], "extra": {"a": [None]}, "return_": 1, "nothing": None}, InstantPayment)
    assert payment.unknown_fields == {"extra": {"a": [None]}, "return_": 1, "nothing": None}
    old = structure(PAYMENTS["everything at once, in the older spellings"], InstantPayment)
    resolution = old.return_requests[0].resolution
    assert resolution is not None
    assert resolution.unknown_fields == {"accepted_amount": 129900}
    assert unstructure(payment)["extra"] == {"a": [None]}
    assert unstructure(payment)["nothing"] is None


def test_an_empty_list_comes_back_as_a_list() -> None:
    """Empty is not the same as missing."""
    related = changed("related_objects.return_payment_ids", [])
    assert unstructure(structure(related, InstantPayment))["related_objects"]["return_payment_ids"] == []


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("id", None, "must be a string, not null"),
        ("id", 7, "must be a string, not an integer"),
        ("id", KeyError, "required field missing"),
        ("amount", 12.7, "must be an integer, not a number with a fraction"),
        ("amount", "5000", "must be an integer, not a string"),
        ("amount", True, "must be an integer, not a boolean"),
        ("amount", None, "must be an integer, not null"),
        ("amount", 2**63, "must be an integer of 64 bits"),
        ("amount", -(2**63) - 1, "must be an integer of 64 bits"),
        ("amount", 10**400, "must be an integer of 64 bits"),
        ("status", 3, "must be a string, not an integer"),
        ("status", ["posted"], "must be a string, not an array"),
        ("debtor", "Ada", "must be an object, not a string"),
        ("creditor.name", {}, "must be a string, not an object"),
        ("return.reason", KeyError, "required field missing"),
        ("return", [], "must be an object, not an array"),
        ("created_at", 1656328953, "must be a string with a time, not an integer"),
        ("created_at", "yesterday", "must be a time in ISO 8601"),
        ("created_at", "2022-06-27T11:22:33", "must be a time with an offset from UTC"),
        ("return_requests", None, "must be an array, not null"),
        ("return_requests", {}, "must be an array, not an object"),
        ("return_requests[0]", None, "must be an object, not null"),
        ("return_requests[0].resolution.resolved_at", False, "must be a string with a time, not a boolean"),
        ("related_objects.return_payment_ids", "x", "must be an array, not a string"),
        ("related_objects.return_payment_ids[1]", 5, "must be a string, not an integer"),
    ],
)
def test_a_wrong_type_is_refused_with_its_path(path: str, value: Any, reason: str) -> None:
    """Nothing is coerced: the error names the path and what was wanted, in both ways of reading."""
    data = changed(path, value)
    with pytest.raises(Exception):  # noqa: B017 - the fast path gives way with whatever it stumbled over
        from_data(InstantPayment)(data)
    assert problems(lambda: structure(data, InstantPayment)) == [(f"$.{path}", reason)]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Several mistakes make several problems, and the data is kept for whoever looks into it."""
    data = {**changed("return_requests[0].status", 1), "id": None, "amount": 1.5}
    with pytest.raises(MalformedResponseError) as caught:
        structure(data, InstantPayment)
    assert {problem.parameter for problem in caught.value.problems} == {
        "$.id",
        "$.amount",
        "$.return_requests[0].status",
    }
    assert caught.value.body is data
    assert "Gertrude" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", 5, True, 1.5])
def test_what_is_no_object_is_refused(data: Any) -> None:
    """The top of a document has to be an object too."""
    assert [path for path, _ in problems(lambda: structure(data, InstantPayment))] == ["$"]
    assert [path for path, _ in problems(lambda: structure_event(data))] == ["$"]


def test_other_types_are_named_by_their_class() -> None:
    """Data that no JSON parser makes is refused as well."""
    assert problems(lambda: structure({"name": b"x", "account_number": "1"}, Party)) == [
        ("$.name", "must be a string, not bytes")
    ]


def test_small_answers_are_read() -> None:
    """Booleans have to be booleans, and optional fields may be missing."""
    assert structure({"available": True, "routing_number": "1"}, Availability).available is True
    assert problems(lambda: structure({"available": 1, "routing_number": "1"}, Availability)) == [
        ("$.available", "must be a boolean, not an integer")
    ]
    assert structure({"access_token": "x", "expires_in": 5}, AccessToken).expires_in == 5


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2022-06-27T11:22:33Z", "2022-06-27T11:22:33Z"),
        ("2022-06-27T11:22:33+00:00", "2022-06-27T11:22:33Z"),
        ("2022-06-27T11:22:33.5Z", "2022-06-27T11:22:33.500000Z"),
        ("2022-07-11T23:30:00-04:00", "2022-07-11T23:30:00-04:00"),
    ],
)
def test_times_are_aware_and_come_out_as_the_same_instant(text: str, wanted: str) -> None:
    """Offsets are kept, and UTC is written as Z."""
    payment = structure(changed("created_at", text), InstantPayment)
    assert payment.created_at.tzinfo is not None
    assert unstructure(payment)["created_at"] == wanted
    assert payment.created_at.astimezone(UTC) == datetime.fromisoformat(wanted)


def event_data(name: Any, payload: Any) -> dict[str, Any]:
    """Make the body of a webhook, as data."""
    return {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": name, "object": payload}


def test_events_about_payments_hold_a_payment() -> None:
    """An instant payment's event gives the payment, in either spelling of its type."""
    name = "instant_payment.counterparty_status_update"
    event = structure_event(event_data(name, PAYMENTS[FULL]))
    assert isinstance(event, InstantPaymentEvent)
    assert event.payment == structure(PAYMENTS[FULL], InstantPayment)
    assert event.event == name
    assert event.type is EventType.INSTANT_PAYMENT_COUNTERPARTY_STATUS_UPDATED
    assert as_meant(unstructure(event)) == as_meant(event_data(name, PAYMENTS[FULL]))


def test_other_events_hold_the_data_as_it_came() -> None:
    """An object of another product, or of a new kind of event about payments, is kept as JSON data."""
    for name in ("ach.posted", "brand.new", "instant_payment.brand_new"):
        data = event_data(name, {"id": "x", "deep": {"list": [1, None]}})
        event = structure_event(data)
        assert type(event) is Event
        assert unstructure(event)["object"] == data["object"]
    assert isinstance(structure_event(event_data("instant_payment.brand_new", PAYMENTS[FULL])), InstantPaymentEvent)


def test_an_event_can_be_asked_for_by_its_plain_class() -> None:
    """Data of any product's event is an Event, whose object is the data."""
    data = event_data("ach.posted", {"id": "x", "deep": {"list": [1, None]}})
    assert structure(data, Event) == structure_event(data)
    assert structure(data, Event).object == data["object"]


def test_deeply_nested_data_comes_back_out() -> None:
    """An object that is nested as deeply as the parser allows does not exhaust the stack."""
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    data = event_data("ach.posted", deep)
    assert unstructure(structure_event(data))["object"] is deep


def test_malformed_events_are_refused() -> None:
    """A known event about a payment needs a readable payment, and every event a name and an object."""
    assert problems(lambda: structure_event(event_data("instant_payment.posted", changed("id", None)))) == [
        ("$.object.id", "must be a string, not null")
    ]
    assert problems(lambda: structure_event(event_data(5, []))) == [
        ("$.event", "must be a string, not an integer"),
        ("$.object", "must be an object, not an array"),
    ]


@pytest.mark.parametrize("text", ["2022-06-27T11:22Z", "20220627T112233Z", "2022-06-27T11:22:33.1234567Z"])
def test_other_times_of_iso_8601_are_read_alike_too(text: str) -> None:
    """What only the plain converter reads is read, and more digits than microseconds are rounded on every path."""
    data = changed("created_at", text)
    plain = _structure_plainly(data, InstantPayment)
    assert read(json.dumps(data).encode(), InstantPayment) == structure(data, InstantPayment) == plain
