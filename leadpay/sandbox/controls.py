"""The controls of an account number: their schemas, how they are checked and changed, whom they admit. Pure.

The schemas are in the language of the bank's description, and are part of the one that the sandbox serves.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leadpay.sandbox.models import Party
from leadpay.sandbox.problems import InvalidParameter

Json = dict[str, Any]

MAX_ALLOWED: Final = 20
"""Longest allow-list. From the bank's description."""

FILTERS: Final = ("accept_all", "reject_all", "allowlist_only")
INSTANT_PAYMENTS: Final = "instant_payment_controls"

_ACCOUNT_NUMBER: Json = {"type": "string", "minLength": 8, "maxLength": 17, "pattern": "^[a-zA-Z0-9]+$"}
_ROUTING_NUMBER: Json = {"type": "string", "minLength": 9, "maxLength": 9, "pattern": "^[0-9]+$"}
_FILTER: Json = {"type": "string", "enum": list(FILTERS)}
_BOOLEAN: Json = {"type": "boolean"}


def _object(required: tuple[str, ...] = (), /, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _direction(allowlist: str, item: Json, **more: Json) -> Json:
    items: Json = {"type": "array", "maxItems": MAX_ALLOWED, "items": item}
    return _object((), counterparty_filter=_FILTER, **{allowlist: items}, **more)


_NUMBERS: Final = "counterparty_account_numbers_allowlist"
_DOMESTIC: Json = _object(
    ("account_number", "routing_number"), account_number=_ACCOUNT_NUMBER, routing_number=_ROUTING_NUMBER
)
_TYPED: Json = _object(
    ("type", "account_number", "routing_number"),
    type={"type": "string", "enum": ["us_domestic"]},
    account_number=_ACCOUNT_NUMBER,
    routing_number=_ROUTING_NUMBER,
)
_INTERNATIONAL: Json = _object(
    ("business_identifier_code", "account_identifier"),
    business_identifier_code={"type": "string", "pattern": "^[A-Za-z]{4}[A-Za-z]{2}[A-Za-z0-9]{2}([A-Za-z0-9]{3})?$"},
    account_identifier=_object(
        ("type", "value"),
        type={"type": "string", "enum": ["IBAN", "account_number"]},
        value={"type": "string", "minLength": 1, "maxLength": 34},
    ),
)
_OWN: Json = _direction(
    "counterparty_account_number_ids_allowlist", {"type": "string", "pattern": r"^account_number_\w+$"}
)

SCHEMAS: Final[Mapping[str, Json]] = {
    "ach_controls": _object(
        originator_id={"type": "string", "pattern": r"^originator_[^\s]{1,33}$"},
        incoming=_direction(
            "counterparty_company_ids_allowlist",
            {"type": "string", "pattern": r"^\d{10}$"},
            accept_credit=_BOOLEAN,
            accept_debit=_BOOLEAN,
        ),
        outgoing=_direction(_NUMBERS, _TYPED),
    ),
    "wire_controls": _object(
        incoming=_direction(_NUMBERS, _TYPED),
        outgoing=_direction(_NUMBERS, _TYPED),
        outgoing_international=_direction("counterparty_international_account_numbers_allowlist", _INTERNATIONAL),
    ),
    "internal_transfer_controls": _object(incoming=_OWN, outgoing=_OWN),
    INSTANT_PAYMENTS: _object(incoming=_direction(_NUMBERS, _DOMESTIC), outgoing=_direction(_NUMBERS, _DOMESTIC)),
}
"""The controls of each product."""

DEFAULT: Final[Json] = {
    direction: {"counterparty_filter": "accept_all", _NUMBERS: []} for direction in ("incoming", "outgoing")
}
"""The controls of instant payments that a new account number has."""

_TYPES: Final = {"object": dict, "array": list, "string": str, "boolean": bool}


def find_problems(value: object, schema: Json, path: str) -> Iterator[InvalidParameter]:
    """List what is wrong with JSON data. A field that the schema does not have is wrong: it would have no effect.

    Args:
        value: the data.
        schema: of the data.
        path: the name of the data in a problem.
    """
    kind = schema["type"]
    if not isinstance(value, _TYPES[kind]):
        yield InvalidParameter(path, f"must be of the type {kind}")
    elif isinstance(value, dict):
        yield from _object_problems(value, schema, path)
    elif isinstance(value, list):
        if len(value) > schema["maxItems"]:
            yield InvalidParameter(path, f"must have at most {schema['maxItems']} items")
        for number, item in enumerate(value):
            yield from find_problems(item, schema["items"], f"{path}[{number}]")
    elif isinstance(value, str):
        if value not in schema.get("enum", (value,)):
            yield InvalidParameter(path, f"must be one of {', '.join(schema['enum'])}")
        elif not _has_form(value, schema):
            yield InvalidParameter(path, "has the wrong form")


def _object_problems(value: Json, schema: Json, path: str) -> Iterator[InvalidParameter]:
    for name in schema.get("required", ()):
        if name not in value:
            yield InvalidParameter(f"{path}.{name}", "is required")
    for name, inner in value.items():
        if name in schema["properties"]:
            yield from find_problems(inner, schema["properties"][name], f"{path}.{name}")
        else:
            yield InvalidParameter(f"{path}.{name}", "is not a field of these controls")


def _has_form(value: str, schema: Json) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    pattern = schema.get("pattern", ".*").removeprefix("^").removesuffix("$")
    # Both, since \d of Unicode is more than that of ASCII, and its \S is less.
    return all(re.fullmatch(pattern, value, flags | re.DOTALL) for flags in (re.ASCII, re.UNICODE))


def merge(current: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """Change controls field by field: a field that is not among the changes stays, in each direction."""
    return {
        **current,
        **{
            name: {**current.get(name, {}), **change} if isinstance(change, dict) else change
            for name, change in changes.items()
        },
    }


def admits(controls: Mapping[str, Any], direction: str, counterparty: Party, routing_number: str) -> bool:
    """Whether the controls of instant payments admit a counterparty.

    Args:
        controls: of every product.
        direction: of the payment.
        counterparty: its debtor if it is incoming, otherwise its creditor.
        routing_number: of the counterparty's bank.
    """
    chosen = controls[INSTANT_PAYMENTS][direction]
    if chosen["counterparty_filter"] == "allowlist_only":
        allowed = {"account_number": counterparty.account_number, "routing_number": routing_number}
        return allowed in chosen[_NUMBERS]
    return bool(chosen["counterparty_filter"] == "accept_all")
