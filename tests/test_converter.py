"""JSON to models and back: nothing is coerced, and unknown fields are kept."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from types import SimpleNamespace
from typing import Any

import attrs
import cattrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadpay import converter
from leadpay.converter import (
    decode,
    encode,
    make_converter,
    read,
    read_event,
    structure,
    structure_event,
    unstructure,
)
from leadpay.enums import CounterpartyFilter, EventType, Status
from leadpay.errors import MalformedResponseError, Problem
from leadpay.models import (
    AccessToken,
    AccountNumber,
    AccountNumberEvent,
    Agent,
    Availability,
    Event,
    InstantPayment,
    InstantPaymentEvent,
    Party,
    PaymentIdentifiers,
    RelatedObjects,
)
from tests.support.account_numbers import ACCOUNT_NUMBER, ALLOWED
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
    """Every sample, older spellings and unknown values included, is read and written as it came."""
    data = PAYMENTS[name]
    payment = structure(data, InstantPayment)
    assert as_meant(unstructure(payment)) == as_meant(data)
    assert read(encode(data), InstantPayment) == make_converter().structure(data, InstantPayment) == payment
    assert type(payment) is InstantPayment
    assert type(payment.status) is Status
    assert type(unstructure(payment)["status"]) is str


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
        ("id", "", "must be an ID of 1 to 255 visible ASCII characters"),
        ("id", "instant_payment_\ud800", "must be an ID of 1 to 255 visible ASCII characters"),
        ("id", "instant_payment_" + "1" * 240, "must be an ID of 1 to 255 visible ASCII characters"),
        ("amount", Decimal("1e400"), "must be an integer, not a number out of range"),
        ("created_at", "0001-01-01T00:00:00+14:00", "must be a time in the years 2 to 9998"),
        ("created_at", "9999-12-31T23:59:60Z", "must be a time in ISO 8601"),
        ("created_at", None, "must be a string with a time, not null"),
        ("updated_at", "2022-06-27T11:22:61Z", "must be a time in ISO 8601"),
        ("return_requests", "x", "must be an array, not a string"),
        ("return_requests", {}, "must be an array, not an object"),
        ("return_requests[0]", None, "must be an object, not null"),
        ("return_requests[0].resolution.resolved_at", False, "must be a string with a time, not a boolean"),
        ("related_objects.return_payment_ids", "x", "must be an array, not a string"),
        ("related_objects.return_payment_ids[1]", 5, "must be a string, not an integer"),
    ],
)
def test_a_wrong_type_is_refused_with_its_path(path: str, value: Any, reason: str) -> None:
    """Nothing is coerced: the error names the path and the type that was expected."""
    data = changed(path, value)
    assert problems(lambda: structure(data, InstantPayment)) == [(f"$.{path}", reason)]


def test_all_faults_are_listed_at_once() -> None:
    """Several faults make several problems, and the error keeps the data."""
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


@pytest.mark.parametrize(
    ("data", "object_id", "payment_id"),
    [
        ({"id": "instant_payment_1"}, "instant_payment_1", "instant_payment_1"),
        ({"id": "event_1", "object": {"id": "instant_payment_1"}}, "event_1", "instant_payment_1"),
        ({"id": "event_1", "object": {"id": "ach_1"}}, "event_1", None),
        ({"id": "event_1", "object": []}, "event_1", None),
        ({"id": "instant_payment_\ud800"}, None, None),
        ({"id": 5}, None, None),
        ([], None, None),
    ],
)
def test_what_cannot_be_read_is_named(data: Any, object_id: str | None, payment_id: str | None) -> None:
    """The error has the IDs of the object and of the payment, where these can be read."""
    with pytest.raises(MalformedResponseError) as caught:
        structure(data, InstantPayment)
    assert (caught.value.object_id, caught.value.payment_id) == (object_id, payment_id)


@pytest.mark.parametrize("data", [None, [], "x", 5, True, 1.5])
def test_a_document_that_is_not_an_object_is_refused(data: Any) -> None:
    """The top of a document has to be an object too."""
    assert [path for path, _ in problems(lambda: structure(data, InstantPayment))] == ["$"]
    assert [path for path, _ in problems(lambda: structure_event(data))] == ["$"]


def test_other_types_are_named_by_their_class() -> None:
    """Data that no JSON parser makes is refused as well."""
    assert problems(lambda: structure({"name": b"x", "account_number": "1"}, Party)) == [
        ("$.name", "must be a string, not bytes")
    ]


def test_small_models_are_read() -> None:
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
    assert (event.event, event.event.as_sent) == (event.type, name)
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
    """Data of any product's event can be read as an Event, which keeps the object."""
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


@pytest.mark.parametrize("empty", [None, KeyError])
@pytest.mark.parametrize("name", ["return_requests", "payment_identifiers", "related_objects", "updated_at"])
def test_what_loses_nothing_may_be_missing_or_null(name: str, empty: Any) -> None:
    """Arrays and objects of optional fields are empty then, and nothing was updated after the creation."""
    payment = structure(changed(name, empty), InstantPayment)
    wanted = {
        "return_requests": (),
        "payment_identifiers": PaymentIdentifiers(),
        "related_objects": RelatedObjects(),
        "updated_at": payment.created_at,
    }
    assert getattr(payment, name) == wanted[name]
    assert payment.unknown_fields == {}
    again = structure(unstructure(payment), InstantPayment)
    assert again == payment


@pytest.mark.parametrize(("value", "wanted"), [("86400", 86400), ("0", 0), (5, 5), (None, None)])
def test_seconds_may_be_digits(value: Any, wanted: int | None) -> None:
    """A token's lifetime is no money, and its meaning is clear."""
    assert structure({"access_token": "x", "expires_in": value}, AccessToken).expires_in == wanted


@pytest.mark.parametrize("value", ["", "-5", "1.5", "٣", "9" * 19, 2**63, True, 1.5])
def test_other_seconds_are_refused(value: Any) -> None:
    """No guess is made."""
    assert [
        path for path, _ in problems(lambda: structure({"access_token": "x", "expires_in": value}, AccessToken))
    ] == ["$.expires_in"]


def test_a_party_s_account_number_may_have_the_key_of_the_bank_s_pages() -> None:
    """They write it with a space; it comes out as the description writes it, and other unknown fields are kept."""
    party = structure({"name": "Ada Lovelace", "account number": "123", "new": 1}, Party)
    assert unstructure(party) == {"name": "Ada Lovelace", "account_number": "123", "new": 1}
    assert structure({"name": "Ada Lovelace", "account number": "123"}, Party).unknown_fields == {}
    both = structure({"name": "Ada Lovelace", "account number": "9", "account_number": "123"}, Party)
    assert (both.account_number, both.unknown_fields) == ("123", {"account number": "9"})
    assert problems(lambda: structure({"name": "Ada Lovelace", "account number": 5}, Party)) == [
        ("$.account_number", "must be a string, not an integer")
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31t23:59:60.25z", datetime(2017, 1, 1, 0, 0, 0, 250000, tzinfo=UTC)),
        ("20161231T235960Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T18:59:60-05:00", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_leap_second_is_the_next_one(text: str, wanted: datetime) -> None:
    """As in POSIX, whose seconds leave leap seconds out."""
    assert structure(changed("created_at", text), InstantPayment).created_at == wanted


def test_the_type_of_an_event_can_be_stored() -> None:
    """It is stored beside the event, so it must be something that a database can hold and index."""
    for name in ("", "brand\ud800new", "x" * 256, "a\0b"):
        assert problems(partial(structure_event, event_data(name, {}))) == [
            ("$.event", "must have 1 to 255 visible characters")
        ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud800"', "\ud800"),
        (b'"J\xe9r\xf4me"', "J\udce9r\udcf4me"),
        (b'"\xed\xa0\x80"', "\udced\udca0\udc80"),
        (b"1e400", Decimal("1e400")),
        (b"-1e400", Decimal("-1e400")),
        (b"9" * 5000, Decimal("9" * 5000)),
        (b"1e99999999999999999999", float("inf")),
    ],
)
def test_what_only_a_tolerant_parser_reads_comes_back_out(text: bytes, value: Any) -> None:
    """Half of a surrogate pair, another encoding, a number that no float holds: in any field, known or not."""
    body = b'{"name": "Ada", "account_number": "1", "n": -12, "f": 1.5, "x": %s}' % text
    party = read(body, Party)
    assert party.unknown_fields == {"n": -12, "f": 1.5, "x": value}
    if value != float("inf"):
        assert decode(encode(unstructure(party))) == decode(body)
    if isinstance(value, str):
        assert read(b'{"name": %s, "account_number": "1"}' % text, Party).name == value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2022-06-27T11:22Z", datetime(2022, 6, 27, 11, 22, tzinfo=UTC)),
        ("2022-06-27t11:22:33z", datetime(2022, 6, 27, 11, 22, 33, tzinfo=UTC)),
        ("20220627T112233Z", datetime(2022, 6, 27, 11, 22, 33, tzinfo=UTC)),
        ("2022-06-27T11:22:33.1234567Z", datetime(2022, 6, 27, 11, 22, 33, 123456, tzinfo=UTC)),
    ],
)
def test_other_forms_of_iso_8601_are_read(text: str, wanted: datetime) -> None:
    """Seconds and separators may be missing, letters be in lower case, and digits after microseconds are dropped."""
    assert structure(changed("created_at", text), InstantPayment).created_at == wanted


def test_events_are_read_from_bytes() -> None:
    """``read_event`` reads what ``structure_event`` does, of any product."""
    for name in ("instant_payment.posted", "ach.posted"):
        data = event_data(name, PAYMENTS[FULL])
        assert read_event(encode(data)) == structure_event(data)


def test_the_docstring_shows_the_compiled_source() -> None:
    """The example at the top of the module is the function that reads an Agent."""
    source, _ = converter._reader_source(Agent)
    shown = "".join(f"    {line}\n" for line in source.splitlines())
    assert shown in (converter.__doc__ or "")


def test_a_model_does_not_share_its_unfrozen_twin() -> None:
    """What is read is an instance of the public class, and frozen."""
    agent = structure({"routing_number": "1"}, Agent)
    assert agent == Agent(routing_number="1")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        agent.__setattr__("routing_number", "2")


# cattrs


class Kind(StrEnum):
    """An enum of the user's."""

    RENT = "rent"


@attrs.frozen
class Booking:
    """A class of the user's that holds ours."""

    payment: InstantPayment
    returns: list[InstantPayment]
    parties: tuple[Party, ...] = ()
    status: Status = Status.CREATED
    kind: Kind = Kind.RENT
    numbers: tuple[str, int] = ("", 0)


def test_a_class_of_the_user_s_can_hold_our_models() -> None:
    """A cattrs converter reads and writes it, with its lists, enums and unknown values."""
    data = {
        "payment": PAYMENTS[FULL],
        "returns": [PAYMENTS[FULL]],
        "parties": [{"name": "Ada", "account_number": "1", "new": 1}],
        "status": "frozen",
        "kind": "rent",
        "numbers": ["a", 1],
    }
    booking = make_converter().structure(data, Booking)
    payment = structure(PAYMENTS[FULL], InstantPayment)
    assert (booking.payment, booking.returns) == (payment, [payment])
    assert booking.parties[0].unknown_fields == {"new": 1}
    assert (type(booking.parties), type(booking.status), booking.kind) == (tuple, Status, Kind.RENT)
    assert as_meant(make_converter().unstructure(booking)) == {**as_meant(data), "numbers": ("a", 1)}


def test_a_list_of_our_models_is_read() -> None:
    """The converter takes ``list[InstantPayment]`` as it is, and nothing but an array for it."""
    payment = structure(PAYMENTS[FULL], InstantPayment)
    assert make_converter().structure([PAYMENTS[FULL]] * 2, list[InstantPayment]) == [payment, payment]
    with pytest.raises(TypeError, match="must be an array, not an object"):
        make_converter().structure({}, list[InstantPayment])


def test_faults_in_a_class_of_the_user_s_have_their_whole_paths() -> None:
    """Cattrs' own ``transform_error`` lists every fault, inside our models too."""
    bad = {**changed("return_requests[0].status", 1), "amount": "1"}
    data = {"payment": bad, "returns": [PAYMENTS[FULL], None, bad], "status": 5}
    with pytest.raises(cattrs.ClassValidationError) as caught:
        make_converter().structure(data, Booking)
    lines = cattrs.transform_error(caught.value, format_exception=lambda error, _: str(error))
    assert sorted(lines) == [
        "must be a string, not an integer @ $.payment.return_requests[0].status",
        "must be a string, not an integer @ $.returns[2].return_requests[0].status",
        "must be a string, not an integer @ $.status",
        "must be an integer, not a string @ $.payment.amount",
        "must be an integer, not a string @ $.returns[2].amount",
        "must be an object, not null @ $.returns[1]",
    ]


# Properties

texts = st.text(max_size=8)
stamps = st.sampled_from(
    ["2022-06-27T11:22:33Z", "2022-06-27T11:22:33.123456+00:00", "2022-07-11T23:30:00-04:00", "2024-02-29T00:00:00.5Z"]
)
extras = st.dictionaries(
    st.sampled_from(["accepted_amount", "return_", "new", "_unknown_fields", "unknown_fields"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=3), max_leaves=4
    ),
    max_size=2,
)


def record(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects whose optional fields may be missing or null, with unknown fields."""
    maybe = {name: st.none() | strategy for name, strategy in optional.items()}
    return st.builds(lambda known, extra: {**extra, **known}, st.fixed_dictionaries(required, optional=maybe), extras)


reasons = (
    st.sampled_from(["duplicate", "duplication", "fraudulent", "not_justified", "unknown_sender", "other"]) | texts
)
party = record({"name": texts, "account_number": texts}, {})
agent = record({"routing_number": texts}, {})
resolution = record(
    {"resolved_at": stamps, "resolved_by": texts}, {"rejection_reason": reasons, "rejection_details": texts}
)
return_request = record(
    {"status": texts | st.just("pending"), "reason": reasons, "created_at": stamps},
    {"details": texts, "deadline": stamps, "resolution": resolution},
)
payments = record(
    {
        "id": st.text(alphabet="abz09_", min_size=1, max_size=8),
        **dict.fromkeys(("account_id", "account_number_id", "direction", "currency_code"), texts),
        "status": st.sampled_from(["posted", "created", "frozen"]),
        "amount": st.integers(0, 2**63 - 1),
        **dict.fromkeys(("debtor", "creditor"), party),
        **dict.fromkeys(("debtor_agent", "creditor_agent"), agent),
        "payment_identifiers": record({}, dict.fromkeys(("end_to_end_id", "uetr", "transaction_id"), texts)),
        "related_objects": record(
            {}, {"original_payment_id": texts, "return_payment_ids": st.lists(texts, max_size=2)}
        ),
        "return_requests": st.lists(return_request, max_size=2),
        **dict.fromkeys(("created_at", "updated_at"), stamps),
    },
    {
        "counterparty_status": texts,
        "description": texts,
        "rejection": record({"rejected_by": texts, "reason": reasons}, {"details": texts}),
        "return": record({"reason": reasons}, {"details": texts}),
    },
)


@settings(max_examples=300, deadline=None)
@given(data=payments)
def test_generated_payments_round_trip(data: dict[str, Any]) -> None:
    """Valid data is read from bytes, by ``structure`` and by cattrs alike, and comes back out as it was meant."""
    payment = structure(data, InstantPayment)
    assert read(json.dumps(data).encode(), InstantPayment) == payment
    assert make_converter().structure(data, InstantPayment) == payment
    assert as_meant(unstructure(payment)) == as_meant(data)
    assert structure(unstructure(payment), InstantPayment) == payment


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(inside for key, value in inner for inside in places(value, (*path, key)))]


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Copy data with one value replaced."""
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


junk: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "2022-06-27", "2022-06-27T00:00:00", [], [None], {}, b"x", 10**30]
)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(PAYMENTS)), value=junk)
def test_junk_anywhere_is_kept_or_refused_at_its_place(data: Any, name: str, value: Any) -> None:
    """One replaced value is either valid there, or the only fault; cattrs finds the same faults."""
    place = data.draw(st.sampled_from(places(PAYMENTS[name])))
    mutated = replaced(PAYMENTS[name], place, value)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    payment: InstantPayment | None = None
    problems: tuple[Problem, ...] = ()
    try:
        payment = structure(mutated, InstantPayment)
    except MalformedResponseError as error:
        problems = error.problems
    if payment is not None:
        assert make_converter().structure(mutated, InstantPayment) == payment
        assert as_meant(unstructure(payment)) == as_meant(mutated)
        return
    assert problems
    assert all(problem.parameter.startswith(f"${path}") for problem in problems)
    with pytest.raises((cattrs.ClassValidationError, TypeError)) as caught:
        make_converter().structure(mutated, InstantPayment)
    listed = cattrs.transform_error(caught.value)
    assert [line.rpartition(" @ ")[2] for line in listed] == [problem.parameter for problem in problems]


# JSON


class Text(str):
    """A string with a class of its own, such as a template's."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Number(int):
    """An integer with a class of its own."""


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ({Text("a"): Text("é"), "b": [Number(2**70)]}, '{"a":"é","b":[1180591620717411303424]}'),
        ([Status.POSTED, Status("frozen"), True, None], '["posted","frozen",true,null]'),
    ],
)
def test_subclasses_are_written_as_plain_values(data: Any, body: str) -> None:
    """Strings and integers with a class of their own, bools and enums are written by value."""
    assert encode(data) == body.encode()


def test_a_type_that_json_lacks_is_refused() -> None:
    """The error names its class, and not its contents."""
    with pytest.raises(TypeError, match=r"^JSON has no SimpleNamespace$"):
        encode({"a": SimpleNamespace(secret="s3cret")})


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":1', b"NaN", b"-Infinity", b"[" * 100_000])
def test_invalid_json_is_refused_without_quoting_it(body: Any) -> None:
    """The error has no cause either, which could quote a name."""
    with pytest.raises(ValueError, match=r"^must be JSON in UTF-8$") as caught:
        decode(body)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_an_account_number_is_read_and_written() -> None:
    """Its controls are typed; those of other products and the metadata are kept as they came."""
    number = structure(ACCOUNT_NUMBER, AccountNumber)
    controls = number.instant_payment_controls
    assert controls is not None
    assert controls.incoming is not None
    assert controls.incoming.counterparty_filter is CounterpartyFilter.ALLOWLIST_ONLY
    [allowed] = controls.incoming.counterparty_account_numbers_allowlist or ()
    assert (allowed.account_number, allowed.routing_number) == (ALLOWED, "111000111")
    assert number.metadata == {"branch": "north"}
    assert number.unknown_fields == {}
    assert as_meant(unstructure(number)) == as_meant(ACCOUNT_NUMBER)


def test_an_account_number_needs_its_ids_and_its_status() -> None:
    """The bank's description requires no field; without these three, it is no account number."""
    short = {key: ACCOUNT_NUMBER[key] for key in ("id", "account_id", "status")}
    assert unstructure(structure(short, AccountNumber)) == short
    assert problems(lambda: structure({"metadata": {"a": 1}}, AccountNumber)) == [
        ("$.account_id", "required field missing"),
        ("$.id", "required field missing"),
        ("$.metadata", "must be a string, not an integer"),
        ("$.status", "required field missing"),
    ]


def test_events_about_account_numbers_hold_one() -> None:
    """Whatever happened to it; an object that is no account number is kept as JSON data."""
    for name in ("account_number.created", "account_number.brand_new"):
        event = structure_event(event_data(name, ACCOUNT_NUMBER))
        assert isinstance(event, AccountNumberEvent)
        assert event.account_number == structure(ACCOUNT_NUMBER, AccountNumber)
        assert event.type.is_account_number
        assert event.payment_id is None
        assert type(structure_event(event_data(name, {"id": "x"}))) is Event
