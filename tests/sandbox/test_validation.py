"""Which requests do not validate, and how the problem names each parameter."""

from datetime import UTC, datetime

import pytest

from leadpay.sandbox.problems import ApiProblem
from leadpay.sandbox.validation import MAX_AMOUNT, event_list, payment_list
from tests.support.api_client import INCOMING, ORDER, PAYMENTS, SIMULATE, TOKEN, ApiClient


@pytest.mark.parametrize(
    ("changes", "invalid"),
    [
        ({"amount": 12.5}, ["amount"]),
        ({"amount": True}, ["amount"]),
        ({"amount": MAX_AMOUNT + 1}, ["amount"]),
        ({"amount": -1}, ["amount"]),
        ({"currency_code": "EUR"}, ["currency_code"]),
        ({"account_number_id": 7}, ["account_number_id"]),
        ({"account_number_id": "xyz"}, ["account_number_id"]),
        ({"creditor": "Alex"}, ["creditor"]),
        ({"creditor": {"name": "Al"}}, ["creditor.name", "creditor.account_number"]),
        ({"creditor": {"name": "Alex", "account_number": "1" * 18}}, ["creditor.account_number"]),
        ({"creditor_agent": {"routing_number": "11100011"}}, ["creditor_agent.routing_number"]),
        ({"description": "x" * 141, "amount": None}, ["amount", "description"]),
    ],
)
def test_an_invalid_order_is_refused_and_every_field_named(
    api: ApiClient, changes: dict[str, object], invalid: list[str]
) -> None:
    """The status is 400, and no payment is made."""
    assert api.problem("POST", PAYMENTS, {**ORDER, **changes}) == (400, "parameters_invalid", invalid)
    assert len(api.bank.payments) == 0


def test_missing_fields_are_named(api: ApiClient) -> None:
    """An order, a simulation and a request for a token name every required field that is missing."""
    _, _, named = api.problem("POST", PAYMENTS, {})
    assert named == ["account_number_id", "amount", "creditor", "creditor_agent", "currency_code"]
    _, _, named = api.problem("POST", f"{SIMULATE}/incoming", {**INCOMING, "payment_identifiers": 1, "debtor": None})
    assert named == ["debtor", "payment_identifiers"]
    _, _, named = api.problem("POST", TOKEN, {"grant_type": "password"})
    assert named == ["grant_type", "client_id", "client_secret"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(api: ApiClient, body: bytes) -> None:
    """Text, lists, NaN, broken bytes and deep nesting are refused with 400."""
    assert api.problem("POST", PAYMENTS, body)[:2] == (400, "parameters_invalid")


@pytest.mark.parametrize("reason", ["narrative", "wrong_amount"])
def test_some_reasons_need_additional_information(api: ApiClient, reason: str) -> None:
    """It must not be missing, blank or too long."""
    path = f"{PAYMENTS}/{api.receive()['id']}/return"
    for text in ({}, {"additional_information": "  "}, {"additional_information": "x" * 141}):
        assert "additional_information" in api.problem("POST", path, {"reason": reason, **text})[2]


def test_an_unknown_reason_is_refused(api: ApiClient) -> None:
    """The problem names the field."""
    path = f"{PAYMENTS}/{api.receive()['id']}/return"
    assert api.problem("POST", path, {"reason": "bad_mood"})[2] == ["reason"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("status", "lost"),
        ("account_id", "xyz"),
        ("starting_after", "xyz"),
        ("created_at", "2025-01-01T00:00:00Z"),
        ("created_at[after]", "yesterday"),
        ("created_at[after]", "2025-13-01T00:00:00Z"),
        ("created_at[before]", "2025-01-01T00:00:00"),
    ],
)
def test_an_invalid_filter_is_named(name: str, value: str) -> None:
    """The status is 422, since the description of the lists has no 400."""
    with pytest.raises(ApiProblem) as caught:
        payment_list([(name, value)])
    assert (caught.value.status, [one.parameter for one in caught.value.invalid_parameters]) == (422, [name])


def test_both_cursors_at_once_are_refused() -> None:
    """No page lies between them."""
    sent = "instant_payment_1"
    with pytest.raises(ApiProblem, match="ending_before: cannot be used together"):
        payment_list([("starting_after", sent), ("ending_before", sent)])


def test_an_unknown_event_type_is_refused() -> None:
    """A typo does not give an empty list."""
    with pytest.raises(ApiProblem, match="events: is not a type of event"):
        event_list([("events", "gone")])


def test_a_time_may_have_an_offset_and_many_digits() -> None:
    """Digits after the sixth are cut off."""
    wanted, _ = event_list([("created_at[after]", "2025-01-06T10:00:01.000000999-05:00")])
    assert wanted.created_at.after == datetime(2025, 1, 6, 15, 0, 1, tzinfo=UTC)
