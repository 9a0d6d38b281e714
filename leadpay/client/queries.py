"""The queries of the two lists, checked before they leave. Pure."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from leadpay.client.requests import Request, RetrySafety
from leadpay.client.validation import MAX_LIMIT, Validator
from leadpay.enums import CounterpartyStatus, Direction, EventType, OpenEnum, ReturnRequestStatus, Status

_ENUMS: Final[Mapping[str, type[OpenEnum]]] = {
    "direction": Direction,
    "status": Status,
    "counterparty_status": CounterpartyStatus,
    "return_request_status": ReturnRequestStatus,
}
_TIMES: Final = ("after", "on_or_after", "before", "on_or_before")


def payments(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Check the filters of the list of payments, and write them as query parameters."""
    checks = Validator("list")
    query = _page(checks, filters, "instant_payment")
    for name, kind in (("account_id", "account"), ("account_number_id", "account_number")):
        if filters[name] is not None:
            checks.id(name, filters[name], kind)
            query[name] = filters[name]
    for name, enum in _ENUMS.items():
        value = filters[name]
        if value is not None:
            if not isinstance(value, str) or not enum(value).is_known:
                checks.refuse(name, f"must be one of {', '.join(enum)}")
            query[name] = value
    checks.done()
    return query


def events(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Check the filters of the list of events, and write them as query parameters."""
    checks = Validator("list")
    query = _page(checks, filters, "event")
    types = filters["types"]
    if types is not None:
        if isinstance(types, str) or not isinstance(types, Collection) or not types:
            checks.refuse("types", "must be a list of event types")
        elif not all(isinstance(one, str) and EventType(one).current.is_known for one in types):
            checks.refuse("types", "must be on the bank's list of event types")
        else:
            query["events"] = [str(EventType(one).current) for one in types]
    if filters["object_id"] is not None:
        checks.object_id(filters["object_id"])
        query["object_id"] = filters["object_id"]
    checks.done()
    return query


def request(path: str, query: Mapping[str, Any]) -> Request:
    """Build the request for one page."""
    encoded = urlencode(query, doseq=True)
    return Request("list", RetrySafety.SAFE, "GET", f"{path}?{encoded}" if encoded else path)


def _page(checks: Validator, filters: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Write what both lists have: the limit, the cursor, and the times of creation."""
    query: dict[str, Any] = {}
    limit = filters["limit"]
    if limit is not None:
        if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
            checks.refuse("limit", f"must be an int from 1 to {MAX_LIMIT}")
        query["limit"] = limit
    for name in ("starting_after", "ending_before"):
        if filters[name] is not None:
            checks.id(name, filters[name], kind)
            query[name] = filters[name]
    if filters["starting_after"] is not None and filters["ending_before"] is not None:
        checks.refuse("ending_before", "cannot be combined with starting_after")
    for name in _TIMES:
        value = filters[f"created_{name}"]
        if value is not None:
            if not isinstance(value, datetime) or value.utcoffset() is None:
                checks.refuse(f"created_{name}", "must be an aware datetime")
                continue
            try:
                query[f"created_at[{name}]"] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
            except OverflowError:
                checks.refuse(f"created_{name}", "must be within the years 1 to 9999 in UTC")
    return query
