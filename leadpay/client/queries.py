"""The queries of the lists, checked before they leave. Pure."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from leadpay.client.requests import Request, RetrySafety
from leadpay.client.validation import ACCOUNT_NUMBER_LENGTHS, MAX_LIMIT, Validator
from leadpay.enums import CounterpartyStatus, Direction, EventType, OpenEnum, ReturnRequestStatus, Status

_ENUMS: Final[Mapping[str, type[OpenEnum]]] = {
    "direction": Direction,
    "status": Status,
    "counterparty_status": CounterpartyStatus,
    "return_request_status": ReturnRequestStatus,
}


ANY: Final = "any"
"""The counterparty status of a list that is not filtered by it: None stands for null, which the bank can filter by."""

_NULL: Final = "null"


_TYPES: Final = frozenset(EventType)


def payments(
    *, account_id: str | None, account_number_id: str | None, unlisted: bool = False, **filters: Any
) -> dict[str, Any]:
    """Check the filters of the list of payments, and write them as query parameters."""
    validator = Validator("list", unlisted=unlisted)
    query = _page(validator, "instant_payment", filters)
    if account_id is not None:
        validator.id("account_id", account_id, "account")
        query["account_id"] = account_id
    if account_number_id is not None:
        validator.id("account_number_id", account_number_id, "account_number")
        query["account_number_id"] = account_number_id
    for name, enum in _ENUMS.items():
        value = filters[name]
        if name == "counterparty_status":
            # How a query says null is not published: as JSON does is how the bank's page writes the value.
            query |= {name: _NULL} if value is None else {}
            value = None if value == ANY else value
        if value is not None:
            query[name] = validator.word(name, value, list(enum))
    validator.raise_if_invalid()
    return query


def events(
    *, types: Collection[str] | None, object_id: str | None, unlisted: bool = False, **filters: Any
) -> dict[str, Any]:
    """Check the filters of the list of events, and write them as query parameters."""
    validator = Validator("list", unlisted=unlisted)
    query = _page(validator, "event", filters)
    if types is not None:
        if isinstance(types, str) or not isinstance(types, Collection) or not types:
            validator.error("types", "must be a list of event types")
        else:
            query["events"] = [
                validator.word("types", one, _TYPES, "on the bank's list of event types") for one in types
            ]
    if object_id is not None:
        validator.object_id(object_id)
        query["object_id"] = object_id
    validator.raise_if_invalid()
    return query


def account_numbers(*, account_id: str | None, account_number: str | None, **filters: Any) -> dict[str, Any]:
    """Check the filters of the list of account numbers, and write them as query parameters."""
    validator = Validator("list")
    query = _page(validator, "account_number", filters)
    if account_id is not None:
        validator.id("account_id", account_id, "account")
        query["account_id"] = account_id
    if account_number is not None:
        validator.text("account_number", account_number, *reversed(ACCOUNT_NUMBER_LENGTHS))
        query["account_number"] = account_number
    validator.raise_if_invalid()
    return query


def request(path: str, query: Mapping[str, Any]) -> Request:
    """Build the request for one page."""
    encoded = urlencode(query, doseq=True)
    return Request("list", RetrySafety.SAFE, "GET", f"{path}?{encoded}" if encoded else path)


def _page(validator: Validator, kind: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Write the filters of all lists: the limit, the cursor, and the times of creation where the list has them."""
    query: dict[str, Any] = {}
    limit = filters["limit"]
    if limit is not None:
        if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
            validator.error("limit", f"must be an int from 1 to {MAX_LIMIT}")
        query["limit"] = limit
    for name in ("starting_after", "ending_before"):
        if filters[name] is not None:
            validator.id(name, filters[name], kind)
            query[name] = filters[name]
    if filters["starting_after"] is not None and filters["ending_before"] is not None:
        validator.error("ending_before", "cannot be combined with starting_after")
    for name in ("after", "on_or_after", "before", "on_or_before"):
        value = filters.get(f"created_{name}")
        if value is not None:
            if not isinstance(value, datetime) or value.utcoffset() is None:
                validator.error(f"created_{name}", "must be an aware datetime")
                continue
            try:
                query[f"created_at[{name}]"] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
            except OverflowError:
                validator.error(f"created_{name}", "must be within the years 1 to 9999 in UTC")
    return query
