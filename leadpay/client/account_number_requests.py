"""The requests about account numbers, and what of an update a response must show. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leadpay.client.requests import Request, RetrySafety
from leadpay.client.validation import Validator
from leadpay.converter import encode
from leadpay.enums import CounterpartyFilter
from leadpay.errors import Problem
from leadpay.models import AccountNumber, AllowedCounterparty, CounterpartyControls, InstantPaymentControls

PATH: Final = "/v1/account_number"

MAX_ALLOWED: Final = 20
"""Longest allow-list. From the bank's page "Update an Account Number"."""

DIRECTIONS: Final = ("incoming", "outgoing")

_FILTER: Final = "counterparty_filter"
_ALLOWLIST: Final = "counterparty_account_numbers_allowlist"
_ACCOUNT_NUMBER: Final = re.compile(r"[a-zA-Z0-9]{8,17}")
_ROUTING_NUMBER: Final = re.compile(r"[0-9]{9}")


def retrieve(account_number_id: str) -> Request:
    """Build the request that reads an account number."""
    validator = Validator("account_numbers.retrieve")
    validator.id("account_number_id", account_number_id, "account_number")
    validator.raise_if_invalid()
    path, expected = f"{PATH}/{account_number_id}", {"id": account_number_id}
    return Request("account_numbers.retrieve", RetrySafety.SAFE, "GET", path, expected=expected)


def update(
    account_number_id: str,
    controls: InstantPaymentControls | None,
    metadata: Mapping[str, str] | None,
    key: str,
) -> Request:
    """Build the request that changes controls and metadata: it names only what was given."""
    validator = Validator("account_numbers.update", key)
    validator.id("account_number_id", account_number_id, "account_number")
    body: dict[str, Any] = {}
    if controls is not None:
        body["instant_payment_controls"] = _controls(validator, controls)
    if metadata is not None:
        body["metadata"] = _metadata(validator, metadata)
    validator.raise_if_invalid()
    if not any(body.values()) and metadata is None:
        validator.error("instant_payment_controls", "or metadata must be given: there is nothing to update")
    validator.raise_if_invalid()
    path = f"{PATH}/{account_number_id}"
    return _write("account_numbers.update", "PATCH", path, body, key)._replace(expected={"id": account_number_id})


def set_status(verb: str, status: str, account_number_id: str, metadata: Mapping[str, str] | None, key: str) -> Request:
    """Build the request that activates, deactivates or cancels an account number."""
    operation = f"account_numbers.{verb}"
    validator = Validator(operation, key)
    validator.id("account_number_id", account_number_id, "account_number")
    body = {} if metadata is None else {"metadata": _metadata(validator, metadata)}
    validator.raise_if_invalid()
    request = _write(operation, "POST", f"{PATH}/{account_number_id}/{verb}", body, key)
    return request._replace(expected={"id": account_number_id, "status": status})


def _write(operation: str, method: str, path: str, body: Mapping[str, Any], key: str) -> Request:
    # The bank's description has no key here. It is sent all the same, as with the other writes.
    return Request(operation, RetrySafety.VERIFY_FIRST, method, path, encode(body) if body else None, key)


def _controls(validator: Validator, controls: object) -> dict[str, Any]:
    if not isinstance(controls, InstantPaymentControls):
        name = type(controls).__name__
        validator.error("instant_payment_controls", f"must be InstantPaymentControls, not {name}")
        return {}
    given = ((direction, getattr(controls, direction)) for direction in DIRECTIONS)
    written = {
        direction: _direction(validator, f"instant_payment_controls.{direction}", one)
        for direction, one in given
        if one is not None
    }
    return {direction: one for direction, one in written.items() if one}


def _direction(validator: Validator, path: str, controls: object) -> dict[str, Any]:
    if not isinstance(controls, CounterpartyControls):
        validator.error(path, f"must be CounterpartyControls, not {type(controls).__name__}")
        return {}
    body: dict[str, Any] = {}
    chosen, allowed = controls.counterparty_filter, controls.counterparty_account_numbers_allowlist
    if chosen is not None:
        counterparty_filter(validator, f"{path}.{_FILTER}", chosen)
        body[_FILTER] = chosen
    if allowed is not None:
        if not isinstance(allowed, tuple | list) or len(allowed) > MAX_ALLOWED:
            validator.error(f"{path}.{_ALLOWLIST}", f"must be a tuple of at most {MAX_ALLOWED} AllowedCounterparty")
            return body
        body[_ALLOWLIST] = [
            allowed_counterparty(validator, f"{path}.{_ALLOWLIST}[{index}]", one) for index, one in enumerate(allowed)
        ]
    return body


def counterparty_filter(validator: Validator, path: str, value: object) -> None:
    """Check a filter."""
    if not isinstance(value, str) or value not in tuple(CounterpartyFilter):
        validator.error(path, f"must be one of {', '.join(CounterpartyFilter)}")


def allowed_counterparty(validator: Validator, path: str, value: object) -> dict[str, Any]:
    """Check an entry of an allow-list, and write it with the fields of it that we do not know."""
    if not isinstance(value, AllowedCounterparty):
        validator.error(path, f"must be an AllowedCounterparty, not {type(value).__name__}")
        return {}
    if not isinstance(value.account_number, str) or not _ACCOUNT_NUMBER.fullmatch(value.account_number):
        validator.error(f"{path}.account_number", "must have 8 to 17 letters and digits")
    if not isinstance(value.routing_number, str) or not _ROUTING_NUMBER.fullmatch(value.routing_number):
        validator.error(f"{path}.routing_number", "must be a string of nine digits")
    return {
        **value.unknown_fields,
        "account_number": value.account_number,
        "routing_number": value.routing_number,
    }


def _metadata(validator: Validator, metadata: object) -> dict[str, str]:
    if not isinstance(metadata, Mapping):
        validator.error("metadata", f"must be a mapping of strings, not {type(metadata).__name__}")
        return {}
    if not all(_is_text(text) for text in (*metadata, *metadata.values())):
        validator.error("metadata", "must have strings of valid Unicode")
    return dict(metadata)


def _is_text(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def members(controls: CounterpartyControls | None) -> dict[tuple[str, str], AllowedCounterparty]:
    """Index an allow-list by what identifies an entry: routing number and account number."""
    allowed = () if controls is None else controls.counterparty_account_numbers_allowlist or ()
    return {(one.routing_number, one.account_number): one for one in allowed}


def in_direction(number: AccountNumber, direction: str) -> CounterpartyControls | None:
    """Give the controls of one direction, if the bank sent them."""
    controls = number.instant_payment_controls
    found: CounterpartyControls | None = None if controls is None else getattr(controls, direction)
    return found


def differences(
    number: AccountNumber, controls: InstantPaymentControls | None, metadata: Mapping[str, str] | None
) -> Iterator[Problem]:
    """List what an account number does not show of an update: the order of an allow-list does not matter."""
    for direction in DIRECTIONS:
        wanted = None if controls is None else getattr(controls, direction)
        if wanted is None:
            continue
        found = in_direction(number, direction) or CounterpartyControls()
        path = f"$.instant_payment_controls.{direction}"
        if wanted.counterparty_filter not in {None, found.counterparty_filter}:
            yield Problem(f"{path}.{_FILTER}", "is not what was asked for")
        has_list = wanted.counterparty_account_numbers_allowlist is not None
        if has_list and members(wanted).keys() != members(found).keys():
            yield Problem(f"{path}.{_ALLOWLIST}", "is not what was asked for")
    shown = number.metadata or {}
    if any(shown.get(name) != value for name, value in (metadata or {}).items()):
        yield Problem("$.metadata", "is not what was asked for")
