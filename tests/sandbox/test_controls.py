"""Controls: what is wrong with some, what a change leaves, and whom they admit."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from leadpay.sandbox.controls import DEFAULT, INSTANT_PAYMENTS, SCHEMAS, admits, find_problems, merge
from leadpay.sandbox.models import Party

ALLOWED = {"account_number": "9988776655", "routing_number": "111000111"}
TYPED = {"type": "us_domestic", **ALLOWED}
ABROAD = {
    "business_identifier_code": "CHASUS33",
    "account_identifier": {"type": "IBAN", "value": "GB29NWBK60161331926819"},
}
VALID: list[tuple[str, dict[str, Any]]] = [
    ("ach_controls", {"originator_id": "originator_1", "incoming": {"accept_debit": False}}),
    ("ach_controls", {"incoming": {"counterparty_company_ids_allowlist": ["1234567890"]}}),
    ("ach_controls", {"outgoing": {"counterparty_account_numbers_allowlist": [TYPED]}}),
    ("wire_controls", {"outgoing_international": {"counterparty_international_account_numbers_allowlist": [ABROAD]}}),
    ("internal_transfer_controls", {"incoming": {"counterparty_account_number_ids_allowlist": ["account_number_1"]}}),
    (INSTANT_PAYMENTS, DEFAULT),
    (INSTANT_PAYMENTS, {}),
]


@pytest.mark.parametrize(("name", "value"), VALID)
def test_valid_controls_have_no_problem(name: str, value: Any) -> None:
    """JSON Schema agrees."""
    assert list(find_problems(value, SCHEMAS[name], name)) == []
    Draft202012Validator(SCHEMAS[name]).validate(value)


def incoming(**fields: Any) -> dict[str, Any]:
    """Controls of incoming instant payments."""
    return {"incoming": fields}


ALLOWLIST = "counterparty_account_numbers_allowlist"


@pytest.mark.parametrize(
    ("name", "value", "parameter", "reason"),
    [
        (INSTANT_PAYMENTS, None, "", "type object"),
        (INSTANT_PAYMENTS, {"incoming": None}, ".incoming", "type object"),
        (INSTANT_PAYMENTS, {"sideways": {}}, ".sideways", "not a field"),
        (INSTANT_PAYMENTS, incoming(counterparty_filter="some"), ".incoming.counterparty_filter", "one of"),
        (INSTANT_PAYMENTS, incoming(counterparty_filter=None), ".incoming.counterparty_filter", "type string"),
        (INSTANT_PAYMENTS, incoming(**{ALLOWLIST: {}}), f".incoming.{ALLOWLIST}", "type array"),
        (INSTANT_PAYMENTS, incoming(**{ALLOWLIST: [ALLOWED] * 21}), f".incoming.{ALLOWLIST}", "at most 20"),
        (
            INSTANT_PAYMENTS,
            incoming(**{ALLOWLIST: [{"account_number": "12345678"}]}),
            f".incoming.{ALLOWLIST}[0].routing_number",
            "required",
        ),
        (
            INSTANT_PAYMENTS,
            incoming(**{ALLOWLIST: [{**ALLOWED, "account_number": "1234567"}]}),
            f".incoming.{ALLOWLIST}[0].account_number",
            "form",
        ),
        (
            INSTANT_PAYMENTS,
            incoming(**{ALLOWLIST: [{**ALLOWED, "routing_number": "11100011x"}]}),
            f".incoming.{ALLOWLIST}[0].routing_number",
            "form",
        ),
        ("ach_controls", incoming(accept_credit=1), ".incoming.accept_credit", "type boolean"),
        ("ach_controls", {"originator_id": "originator_a\u00a0b"}, ".originator_id", "form"),
        (
            "ach_controls",
            incoming(counterparty_company_ids_allowlist=["123456789٠"]),  # noqa: RUF001 - no ASCII digit
            ".incoming.counterparty_company_ids_allowlist[0]",
            "form",
        ),
        (
            "internal_transfer_controls",
            incoming(counterparty_account_number_ids_allowlist=["account_number_1\n"]),
            ".incoming.counterparty_account_number_ids_allowlist[0]",
            "form",
        ),
    ],
)
def test_a_problem_is_named(name: str, value: Any, parameter: str, reason: str) -> None:
    """By the path of the field, and without its value."""
    [problem] = find_problems(value, SCHEMAS[name], name)
    assert problem.parameter == f"{name}{parameter}"
    assert reason in problem.reason


def test_a_change_leaves_what_it_does_not_name() -> None:
    """In the other direction, and in the other fields of the same direction."""
    changed = merge(DEFAULT, {"incoming": {"counterparty_filter": "reject_all"}, "originator_id": "originator_1"})
    assert changed == {
        "incoming": {**DEFAULT["incoming"], "counterparty_filter": "reject_all"},
        "outgoing": DEFAULT["outgoing"],
        "originator_id": "originator_1",
    }
    assert DEFAULT["incoming"]["counterparty_filter"] == "accept_all"


@pytest.mark.parametrize(
    ("chosen", "on_list", "other"),
    [("accept_all", True, True), ("reject_all", False, False), ("allowlist_only", True, False)],
)
def test_a_filter_admits_all_none_or_those_on_the_list(chosen: str, on_list: bool, other: bool) -> None:
    """Both numbers must be those on the list; the other direction has its own filter."""
    direction = {"counterparty_filter": chosen, ALLOWLIST: [ALLOWED]}
    controls = {INSTANT_PAYMENTS: {"incoming": direction, "outgoing": DEFAULT["outgoing"]}}
    party = Party("Robin Brown", "9988776655")
    assert admits(controls, "incoming", party, "111000111") is on_list
    assert admits(controls, "incoming", party, "111000112") is other
    assert admits(controls, "incoming", Party("Robin Brown", "9988776656"), "111000111") is other
    assert admits(controls, "outgoing", party, "111000112")
