"""A description of the bank, compared with what this version knows."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from leadpay.description import compare
from leadpay.drift import Drift
from leadpay.sandbox.openapi import description

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> list[Drift]:
    """Change the sandbox's own description, and compare it."""
    document = copy.deepcopy(description())
    change(document)
    return compare(document)


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Find an object's properties in the sandbox's description."""
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def test_what_the_sandbox_describes_is_known() -> None:
    """Nothing is new, and nothing is missing."""
    assert changed(lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (
            lambda payment: payment["properties"].update(fee={"type": "integer"}),
            Drift("field", "InstantPayment", "fee"),
        ),
        (
            lambda payment: payment["properties"].pop("currency_code"),
            Drift("missing", "InstantPayment", "currency_code"),
        ),
        (
            lambda payment: payment["required"].remove("amount"),
            Drift("missing", "InstantPayment", "amount is no longer required"),
        ),
        (
            lambda payment: payment["properties"].update(amount={"type": "number"}),
            Drift("type", "InstantPayment", "amount is of type number"),
        ),
        (
            lambda payment: payment["properties"].update(status={"type": "string", "enum": ["posted", "held", None]}),
            Drift("word", "Status", "held"),
        ),
        (
            lambda payment: payment["properties"].update(return_requests={"type": "object"}),
            Drift("type", "InstantPayment", "return_requests is of type object"),
        ),
        (
            lambda payment: payment["properties"].update(
                debtor={
                    "allOf": [
                        {"$ref": "#/components/schemas/New"},
                        {
                            "properties": {"account_number": {"type": ["string", "null"]}},
                            "required": ["account_number"],
                        },
                    ],
                    "type": "object",
                }
            ),
            Drift("field", "Party", "alias"),
        ),
    ],
)
def test_what_is_new_or_gone_is_listed(change: Change, wanted: Drift) -> None:
    """Words, fields, missing fields and types, through references and parts."""

    def change_payment(document: dict[str, Any]) -> None:
        new = {"type": "object", "properties": {"name": {"type": "string"}, "alias": {}}, "required": ["name"]}
        document["components"]["schemas"]["New"] = new
        change(schema(document, "Payment"))

    assert changed(change_payment) == [wanted]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "describes none"),
        ({"paths": {"/v1/wires": {"get": {}}}}, "describes none"),
        ({"paths": {"/v1/event/{id}": {"get": {}}}}, "no schema"),
        ([], "is no OpenAPI document"),
        ({"paths": {"/v1/event/{id}": {"get": []}}}, "no schema"),
        ({"paths": {"/v1/event/{id}": []}}, "is no OpenAPI document"),
    ],
)
def test_what_describes_nothing_is_an_error(document: Any, reason: str) -> None:
    """An empty list would say that all is known."""
    with pytest.raises(ValueError, match=reason):
        compare(document)


@pytest.mark.parametrize("reference", ["#/components/schemas/Gone", "#/components/schemas/Payment/type/x", 5])
def test_a_reference_to_nothing_is_an_error(reference: Any) -> None:
    """The document cannot be compared."""
    with pytest.raises(ValueError, match="no object"):
        changed(lambda document: schema(document, "Payment")["properties"].update(debtor={"$ref": reference}))
