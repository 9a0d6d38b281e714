"""Compare a description of the bank's API (OpenAPI) with what this version of leadpay knows. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, get_args

from leadpay.converter import ModelField, is_enum, is_model, is_tuple, model_fields
from leadpay.drift import Drift
from leadpay.models import AccessToken, AccountNumber, Availability, Event, InstantPayment, Model, ObjectId, Seconds

MODELS: Final[Mapping[tuple[str, str], type[Model]]] = {
    ("get", "/v1/instant_payments/{}"): InstantPayment,
    ("post", "/v1/instant_payments/check_availability"): Availability,
    ("get", "/v1/event/{}"): Event,
    ("get", "/v1/account_number/{}"): AccountNumber,
    ("post", "/v1/oauth/token"): AccessToken,
}
"""The operations whose responses are compared, without the names of parameters, and the model of each."""

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_JSON_TYPES: Final[Mapping[Any, str]] = {
    str: "string",
    ObjectId: "string",
    bool: "boolean",
    int: "integer",
    Seconds: "integer",
    datetime: "string",
}


def compare(description: Mapping[str, Any]) -> list[Drift]:
    """List what a description has that this version does not know, and what it no longer has.

    Args:
        description: an OpenAPI document. Operations that it leaves out are not compared.

    Raises:
        ValueError: it describes none of the bank's operations, or refers to what it does not hold.
    """
    found: dict[Drift, None] = {}
    compared = False
    paths = description.get("paths", {}) if isinstance(description, Mapping) else None
    if not isinstance(paths, Mapping) or not all(isinstance(operations, Mapping) for operations in paths.values()):
        raise ValueError("is no OpenAPI document")
    for path, operations in paths.items():
        for method, operation in operations.items():
            cls = MODELS.get((method, _PARAMETER.sub("{}", path)))
            if cls is not None:
                compared = True
                found |= dict.fromkeys(_Comparison(description).model(_response(operation), cls))
    if not compared:
        raise ValueError("describes none of the bank's operations that return an object")
    return list(found)


def _response(operation: Mapping[str, Any]) -> Any:
    try:
        return operation["responses"]["200"]["content"]["application/json"]["schema"]
    except (KeyError, TypeError):
        raise ValueError("has no schema of an operation's response") from None


class _Comparison:
    """Walks through a schema and a model side by side."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._description = description

    def model(self, schema: Any, cls: type[Model]) -> Iterator[Drift]:
        """Compare an object's schema with a model."""
        resolved = self._resolve(schema)
        properties = resolved.get("properties", {})
        known = {field.key: field for field in model_fields(cls)}
        for key in properties:
            if key not in known:
                yield Drift("field", cls.__name__, key)
        for key, field in known.items():
            if key not in properties:
                yield Drift("missing", cls.__name__, key)
                continue
            # Many of the bank's schemas do not say what is required.
            if field.is_required and key not in resolved.get("required", [key]):
                yield Drift("missing", cls.__name__, f"{key} is no longer required")
            yield from self._value(properties[key], field.type, cls, field)

    def _value(self, schema: Any, hint: Any, cls: type[Model], field: ModelField) -> Iterator[Drift]:
        resolved = self._resolve(schema)
        wanted = "object" if is_model(hint) else "array" if is_tuple(hint) else _JSON_TYPES.get(hint)
        wanted = "string" if is_enum(hint) else wanted
        given = resolved.get("type", wanted)
        if wanted is not None and wanted not in (given if isinstance(given, list) else [given]):
            yield Drift("type", cls.__name__, f"{field.key} is of type {given}")
        elif is_model(hint):
            yield from self.model(resolved, hint)
        elif is_tuple(hint):
            yield from self._value(resolved.get("items", {}), get_args(hint)[0], cls, field)
        elif is_enum(hint):
            for value in resolved.get("enum", ()):
                if value is not None and not hint(value).is_known:
                    yield Drift("word", hint.__name__, value)

    def _resolve(self, schema: Any) -> Mapping[str, Any]:
        """Follow a reference within the document, and put the parts of an ``allOf`` together."""
        if not isinstance(schema, Mapping):
            raise ValueError("has a schema that is no object")  # noqa: TRY004 - it is a value of the document
        reference = schema.get("$ref")
        if reference is not None:
            place: Any = self._description
            for step in str(reference).removeprefix("#/").split("/"):
                place = place.get(step) if isinstance(place, Mapping) else None
            return self._resolve(place)
        if "allOf" not in schema:
            return schema
        parts = [self._resolve(part) for part in schema["allOf"]]
        merged: dict[str, Any] = {**schema}
        for part in parts:
            for key, value in part.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, ()), *value]
                else:
                    merged.setdefault(key, value)
        return merged
