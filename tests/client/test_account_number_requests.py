"""The requests about account numbers: checked before they leave, and naming only what was given."""

import json
from typing import Any

import pytest

from leadpay.client import account_number_requests as requests
from leadpay.client.requests import RetrySafety
from leadpay.converter import structure
from leadpay.models import AccountNumber, AllowedCounterparty, CounterpartyControls, InstantPaymentControls
from tests.support.account_numbers import ACCOUNT_NUMBER, ALLOWED
from tests.support.validation import problems_of

ID = "account_number_xyz123"
COUNTERPARTY = AllowedCounterparty(account_number=ALLOWED, routing_number="111000111")


def controls(**fields: Any) -> InstantPaymentControls:
    """Controls of incoming payments."""
    return InstantPaymentControls(incoming=CounterpartyControls(**fields))


@pytest.mark.parametrize(
    ("given", "metadata", "body"),
    [
        (
            controls(counterparty_filter="reject_all"),
            None,
            {"instant_payment_controls": {"incoming": {"counterparty_filter": "reject_all"}}},
        ),
        (
            controls(counterparty_account_numbers_allowlist=()),
            None,
            {"instant_payment_controls": {"incoming": {"counterparty_account_numbers_allowlist": []}}},
        ),
        (None, {"a": "1"}, {"metadata": {"a": "1"}}),
        (None, {}, {"metadata": {}}),
    ],
)
def test_an_update_names_only_what_was_given(given: Any, metadata: Any, body: Any) -> None:
    """What is left out is not sent, so it stays."""
    request = requests.update(ID, given, metadata, "key")
    assert (request.method, request.path) == ("PATCH", f"/v1/account_number/{ID}")
    assert json.loads(request.body or b"") == body
    assert request.safety is RetrySafety.VERIFY_FIRST


def test_an_entry_keeps_the_fields_that_we_do_not_know() -> None:
    """A list is written as a whole, so a new field of the bank would be lost otherwise."""
    entry = structure({"account_number": ALLOWED, "routing_number": "111000111", "alias": "rent"}, AllowedCounterparty)
    request = requests.update(ID, controls(counterparty_account_numbers_allowlist=[entry]), None, "key")
    [sent] = json.loads(request.body or b"")["instant_payment_controls"]["incoming"][
        "counterparty_account_numbers_allowlist"
    ]
    assert sent == {"account_number": ALLOWED, "routing_number": "111000111", "alias": "rent"}


ALLOWLIST = "instant_payment_controls.incoming.counterparty_account_numbers_allowlist"


@pytest.mark.parametrize(
    ("given", "metadata", "parameter", "reason"),
    [
        (None, None, "instant_payment_controls", "nothing to update"),
        (controls(), None, "instant_payment_controls", "nothing to update"),
        ({"incoming": {}}, None, "instant_payment_controls", "must be InstantPaymentControls, not dict"),
        (InstantPaymentControls(incoming={}), None, "instant_payment_controls.incoming", "not dict"),  # type: ignore[arg-type]  # is refused
        (controls(counterparty_filter="some"), None, "instant_payment_controls.incoming.counterparty_filter", "one of"),
        (controls(counterparty_filter=5), None, "instant_payment_controls.incoming.counterparty_filter", "one of"),
        (controls(counterparty_account_numbers_allowlist=(COUNTERPARTY,) * 21), None, ALLOWLIST, "at most 20"),
        (controls(counterparty_account_numbers_allowlist=COUNTERPARTY), None, ALLOWLIST, "must be a tuple"),
        (controls(counterparty_account_numbers_allowlist=(ALLOWED,)), None, f"{ALLOWLIST}[0]", "not str"),
        (None, "a=1", "metadata", "not str"),
        (None, {"a": 1}, "metadata", "valid Unicode"),
        (None, {"a": "\ud800"}, "metadata", "valid Unicode"),
    ],
)
def test_an_invalid_update_is_not_sent(given: Any, metadata: Any, parameter: str, reason: str) -> None:
    """The problem names the field, and no number."""
    problems = problems_of(requests.update, ID, given, metadata, "key")
    assert reason in problems[parameter]
    assert ALLOWED not in str(problems)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account_number": "1234567"}, "account_number"),
        ({"account_number": ID}, "account_number"),
        ({"account_number": 12345678}, "account_number"),
        ({"routing_number": "12345678"}, "routing_number"),
        ({"routing_number": 111000111}, "routing_number"),
    ],
)
def test_an_entry_has_the_numbers_of_an_account(changes: dict[str, Any], field: str) -> None:
    """An account number of 8 to 17 letters and digits, and a routing number of nine digits."""
    entry = AllowedCounterparty(**{"account_number": ALLOWED, "routing_number": "111000111", **changes})
    given = controls(counterparty_account_numbers_allowlist=(entry,))
    assert list(problems_of(requests.update, ID, given, None, "key")) == [f"{ALLOWLIST}[0].{field}"]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("instant_payment_1", ", not the ID of a payment"),
        ("account_1", ", not the ID of an account"),
        ("event_1", ", not the ID of an event"),
        ("440011223344", ", not the number itself: account_numbers.list(account_number=...) finds its ID"),
        ("x/y", ""),
        (None, ""),
    ],
)
def test_another_id_is_told_as_what_it_is(wrong: Any, hint: str) -> None:
    """The message says what was given, and never the value."""
    wanted = {"account_number_id": f"must be an ID such as account_number_xyz123{hint}"}
    assert problems_of(requests.retrieve, wrong) == wanted
    assert problems_of(requests.update, wrong, None, {}, "key") == wanted
    assert problems_of(requests.set_status, "cancel", "canceled", wrong, None, "key") == wanted


def test_a_change_of_status_expects_it() -> None:
    """A response with another status is no response to it; metadata is sent if it was given."""
    request = requests.set_status("activate", "active", ID, {"a": "1"}, "key")
    assert (request.method, request.path) == ("POST", f"/v1/account_number/{ID}/activate")
    assert request.expected == {"id": ID, "status": "active"}
    assert json.loads(request.body or b"") == {"metadata": {"a": "1"}}
    assert requests.set_status("cancel", "canceled", ID, None, "key").body is None


def test_differences_are_what_is_not_shown() -> None:
    """The order of a list, and metadata that was there before, make no difference."""
    number = structure(ACCOUNT_NUMBER, AccountNumber)
    given = number.instant_payment_controls
    assert list(requests.differences(number, given, {"branch": "north"})) == []
    assert list(requests.differences(number, controls(), None)) == []
    other = controls(counterparty_filter="reject_all", counterparty_account_numbers_allowlist=())
    assert [problem.parameter for problem in requests.differences(number, other, {"a": "1"})] == [
        "$.instant_payment_controls.incoming.counterparty_filter",
        "$.instant_payment_controls.incoming.counterparty_account_numbers_allowlist",
        "$.metadata",
    ]
    bare = structure({key: ACCOUNT_NUMBER[key] for key in ("id", "account_id", "status")}, AccountNumber)
    assert len(list(requests.differences(bare, other, {"a": "1"}))) == 2
    assert requests.in_direction(bare, "incoming") is None
