"""The models: frozen, without personal data in their reprs; and exact money."""

import copy
import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from leadpay.converter import structure, structure_event, unstructure
from leadpay.enums import EventType
from leadpay.errors import InvalidRequestError
from leadpay.models import (
    MAX_AMOUNT,
    AccessToken,
    AccountNumber,
    Event,
    InstantPayment,
    Model,
    Party,
    ReturnRequest,
    cents,
)
from tests.support.account_numbers import ACCOUNT_NUMBER, ALLOWED, CUSTOMER, NUMBER

PAYMENTS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "payments.json").read_text())


def payment(name: str, **changes: Any) -> InstantPayment:
    """Read one of the samples, with changes."""
    return structure({**PAYMENTS[name], **changes}, InstantPayment)


@pytest.mark.parametrize(
    ("amount", "wanted"),
    [
        ("19.99", 1999),
        ("0", 0),
        ("0.1", 10),
        ("007.500", 750),
        (Decimal("19.99"), 1999),
        (Decimal("1E+2"), 10000),
        (Decimal("0E+99999999999"), 0),
        (Decimal("92233720368547758.07"), MAX_AMOUNT),
        ("0.01" + "0" * 28, 1),
    ],
)
def test_dollars_become_cents_exactly(amount: Any, wanted: int) -> None:
    """Strings and Decimals of dollars are turned into whole cents."""
    assert cents(amount) == wanted


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (19.99, "not float"),
        (True, "not bool"),
        (5, "not int"),
        (None, "not NoneType"),
        ("", "digits"),
        ("-1", "digits"),
        ("1e3", "digits"),
        ("1.", "digits"),
        ("$5", "digits"),
        ("1\n", "digits"),
        ("١", "digits"),  # noqa: RUF001 - a digit, but not one of ours
        (Decimal(-1), "not negative"),
        (Decimal("NaN"), "not negative"),
        (Decimal("sNaN"), "not negative"),
        (Decimal("Infinity"), "not negative"),
        ("0.001", "fraction of a cent"),
        (Decimal("1E-30"), "fraction of a cent"),
        (Decimal("1E-99999999"), "digits after the point"),
        ("0.01" + "0" * 29, "digits after the point"),
        (Decimal("1E+99999999"), "larger"),
        (Decimal("92233720368547758.08"), "larger"),
    ],
)
def test_an_inexact_amount_is_refused(amount: Any, reason: str) -> None:
    """Floats, bools, ints and inexact or endless amounts are refused with the reason."""
    with pytest.raises(InvalidRequestError, match=reason) as caught:
        cents(amount)
    assert caught.value.problems[0].parameter == "amount"


def test_models_cannot_be_changed_and_have_no_room_for_more() -> None:
    """Every model is frozen and slotted."""
    one = payment("outgoing, just created")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.__setattr__("amount", 1)
    for cls in (Model, *Model.__subclasses__()):
        assert "__dict__" not in dir(cls), cls


@pytest.mark.parametrize("name", PAYMENTS)
def test_models_survive_pickling_and_copying(name: str) -> None:
    """A payment that crosses a process is the same payment, unknown values and fields included."""
    one = payment(name)
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):  # noqa: S301 - our own pickle
        assert again == one
        assert again.unknown_fields == one.unknown_fields
        assert again.status.is_known == one.status.is_known
    assert hash(one) == hash(payment(name))


@pytest.mark.parametrize("name", PAYMENTS)
def test_reprs_show_no_name_or_number(name: str) -> None:
    """Values end up in logs, so neither a payment nor an event shows people, text or unknown fields."""
    data = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "instant_payment.posted"}
    shown = repr(payment(name)) + repr(structure_event({**data, "object": PAYMENTS[name]}))
    for private in ("Gertrude", "Ada", "4400112233", "9988776655", "March rent", "too much", "SALA", "savings"):
        assert private not in shown


def test_reprs_show_no_token() -> None:
    """A token and an account are hidden when they are constructed directly, too."""
    token = AccessToken(access_token="hush", unknown_fields={"refresh_token": "hush"})
    assert "hush" not in repr(token)
    assert token.unknown_fields == {"refresh_token": "hush"}
    assert repr(Party(name="Ada", account_number="1")) == "Party()"
    assert Party(name="Ada", account_number="1").unknown_fields == {}


def test_a_posted_payment_has_not_arrived_until_the_other_side_says_so() -> None:
    """Our side and theirs are told apart."""
    moved = {name: (payment(name).funds_moved, payment(name).has_arrived) for name in PAYMENTS}
    assert moved["outgoing, just created"] == (False, False)
    assert moved["outgoing, arrived"] == (True, True)
    assert moved["outgoing, posted and then rejected there"] == (True, False)
    assert moved["incoming, asked back"] == (True, True)


def test_returns_and_their_originals_point_at_each_other() -> None:
    """A return names its original, an original its returns, and the rest names none."""
    back = payment("incoming, the return of one of ours")
    assert (back.is_return, back.original_payment_id, back.return_payment_ids) == (True, "instant_payment_out1", ())
    out = payment("outgoing, posted and then rejected there")
    assert (out.is_return, out.original_payment_id) == (False, None)
    assert out.return_payment_ids == ("instant_payment_back1",)


def test_the_active_return_request_is_the_open_one() -> None:
    """Among several requests, the open one is found; without one there is None."""
    asked = payment("incoming, asked back")
    assert asked.active_return_request is asked.return_requests[1]
    assert not asked.return_requests[0].is_active
    assert payment("outgoing, just created").active_return_request is None


def return_request(**fields: Any) -> ReturnRequest:
    """Read a return request of the bank's own example."""
    data = {"status": "response_needed", "reason": "duplication", "created_at": "2022-06-27T11:22:33Z", **fields}
    return structure(data, ReturnRequest)


RESOLVED = {"resolved_at": "2022-06-28T11:22:33Z", "resolved_by": "client"}


@pytest.mark.parametrize(
    ("status", "resolution", "is_active"),
    [
        ("pending", None, True),
        ("response_needed", None, True),
        ("accepted", None, False),
        ("rejected", RESOLVED, False),
        ("response_required", None, True),
        ("response_required", RESOLVED, False),
    ],
)
def test_a_return_request_that_is_not_resolved_is_active(status: str, resolution: Any, is_active: bool) -> None:
    """A status that this version does not know says nothing, so its resolution decides."""
    assert return_request(status=status, resolution=resolution).is_active is is_active


@pytest.mark.parametrize(
    ("status", "deadline"),
    [
        ("response_needed", "2022-07-11T23:30:00-04:00"),
        ("response_required", "2022-07-11T23:30:00-04:00"),
        ("pending", "2022-07-11T00:00:00-04:00"),
    ],
)
def test_a_return_request_without_a_deadline_has_a_computed_one(status: str, deadline: str) -> None:
    """By the Federal Reserve's business days; it is marked, and not written back."""
    computed = return_request(status=status)
    assert (computed.deadline, computed.deadline_is_computed) == (datetime.fromisoformat(deadline), True)
    assert "deadline" not in unstructure(computed)
    sent = return_request(status=status, deadline="2022-07-05T23:30:00-04:00")
    assert (sent.deadline, sent.deadline_is_computed) == (datetime.fromisoformat("2022-07-05T23:30:00-04:00"), False)
    assert unstructure(sent)["deadline"] == "2022-07-05T23:30:00-04:00"


def test_every_event_has_the_id_of_its_payment_or_none() -> None:
    """``payment_id`` can be read from every event, of any product."""
    data = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "instant_payment.posted"}
    one = payment("outgoing, just created")
    assert structure_event({**data, "object": PAYMENTS["outgoing, just created"]}).payment_id == one.id
    when = datetime(2024, 3, 1, tzinfo=UTC)
    assert Event(id="event_1", event=EventType.ACH_POSTED, created_at=when, object={}).payment_id is None


def test_an_account_number_shows_no_number_and_no_customer() -> None:
    """Neither its own number nor those on its allow-lists are in a repr; metadata is not either."""
    number = structure({**ACCOUNT_NUMBER, "nickname": "Gertrude"}, AccountNumber)
    assert number.account_number == NUMBER
    for private in (NUMBER, ALLOWED, CUSTOMER, "north", "Gertrude"):
        assert private not in repr(number)
    assert hash(number) == hash(copy.deepcopy(number))


def test_only_an_active_account_number_is_active() -> None:
    """A status that is not known is not taken for active."""
    for status in ("unassigned", "inactive", "canceled", "frozen"):
        assert not structure({**ACCOUNT_NUMBER, "status": status}, AccountNumber).is_active
    assert structure(ACCOUNT_NUMBER, AccountNumber).is_active
