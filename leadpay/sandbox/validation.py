"""JSON and query strings into orders and filters, or an error that names every problem. Pure."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from leadpay.sandbox import constants, controls
from leadpay.sandbox.models import (
    AccountNumberChanges,
    AccountNumberOrder,
    IncomingOrder,
    Party,
    PaymentOrder,
    Reason,
)
from leadpay.sandbox.problems import ApiProblem, InvalidParameter, parameters_invalid
from leadpay.sandbox.store import (
    DEFAULT_LIMIT,
    AccountNumberFilter,
    Cursor,
    EventFilter,
    PaymentFilter,
    TimeRange,
)

MAX_AMOUNT: Final = 2**63 - 1
"""Largest amount of a payment, in cents: the bank's description says int64."""

MAX_LIMIT: Final = 100
"""Most objects on a page. From the bank's description."""

MAX_TEXT: Final = 140
"""Longest description or additional information, in characters. From the bank's description."""

ROUTING_NUMBER: Final = re.compile(r"[0-9]{9}")
"""Nine digits and nothing more: the bank's own example fails the ABA check-digit rule."""

ACCOUNT_NUMBER_ID: Final = re.compile(r"account_number_\w+", re.ASCII)
ACCOUNT_ID: Final = re.compile(r"account_\w+", re.ASCII)
PAYMENT_ID: Final = re.compile(r"instant_payment_\w+", re.ASCII)
ENTITY_ID: Final = re.compile(r"entity_[^\s]{1,33}")
EVENT_ID: Final = re.compile(r"event_\w+", re.ASCII)
OBJECT_ID: Final = re.compile(r"(ach|wire|account_number|internal_transfer|disbursement|instant_payment)_\w+", re.ASCII)

_RFC3339_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)

Query = Sequence[tuple[str, str]]
"""A query string, decoded, in its own order."""


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a request's body.

    Raises:
        ApiProblem: 400, there is none.
    """
    try:
        found = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ApiProblem(400, "parameters_invalid", "The request body is not JSON.") from None
    if not isinstance(found, dict):
        raise ApiProblem(400, "parameters_invalid", "The request body is not a JSON object.")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError


class Reader:
    """Reads fields one by one and collects what is wrong with them.

    Args:
        data: the object to read.
        path: the prefix of a field's name in a problem.
        problems: the list to which problems are added.
    """

    def __init__(self, data: Mapping[str, Any], path: str = "", problems: list[InvalidParameter] | None = None) -> None:
        self._data = data
        self._path = path
        self.problems = [] if problems is None else problems

    def add_problem(self, name: str, reason: str) -> None:
        """Add a problem."""
        self.problems.append(InvalidParameter(self._path + name, reason))

    def text(
        self,
        name: str,
        *,
        required: bool = True,
        lengths: tuple[int, int] | None = None,
        pattern: re.Pattern[str] | None = None,
        choices: Collection[str] | None = None,
    ) -> str:
        """A string; empty if it is missing or wrong."""
        if name not in self._data:
            if required:
                self.add_problem(name, "is required")
            return ""
        value = self._data[name]
        if not isinstance(value, str):
            self.add_problem(name, "must be a string")
        elif lengths is not None and not lengths[0] <= len(value) <= lengths[1]:
            self.add_problem(name, f"must have {lengths[0]} to {lengths[1]} characters")
        elif pattern is not None and not pattern.fullmatch(value):
            self.add_problem(name, "has the wrong form")
        elif choices is not None and value not in choices:
            self.add_problem(name, f"must be one of {', '.join(choices)}")
        else:
            return value
        return ""

    def optional(self, name: str, longest: int = MAX_TEXT) -> str | None:
        """An optional string."""
        return self.text(name, lengths=(0, longest)) if name in self._data else None

    def cents(self, name: str) -> int:
        """A whole number of cents."""
        value = self._data.get(name)
        if name not in self._data:
            self.add_problem(name, "is required")
        elif type(value) is not int or not 0 <= value <= MAX_AMOUNT:
            self.add_problem(name, "must be a whole number of cents, 0 or more")
        else:
            return value
        return 0

    def nested(self, name: str, *, required: bool = True) -> "Reader":
        """A reader of the object in a field; its problems are added to ours."""
        value = self._data.get(name, {})
        if required and name not in self._data:
            self.add_problem(name, "is required")
        elif isinstance(value, dict):
            return Reader(value, f"{self._path}{name}.", self.problems)
        else:
            self.add_problem(name, "must be an object")
        return Reader({}, f"{self._path}{name}.", [])

    def party(self, name: str) -> Party:
        """A party to a payment."""
        party = self.nested(name)
        return Party(party.text("name", lengths=(3, 35)), party.text("account_number", lengths=(1, 17)))

    def agent(self, name: str) -> str:
        """A bank's routing number."""
        return self.nested(name).text("routing_number", pattern=ROUTING_NUMBER)

    def raise_if_invalid(self, *, status: int = 400) -> None:
        """Refuse the request if there was a problem."""
        if self.problems:
            raise parameters_invalid(self.problems, status=status)


def credentials(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a request for a token."""
    reader = Reader(body)
    reader.text("grant_type", choices=("client_credentials",))
    reader.text("client_id")
    reader.text("client_secret")
    reader.optional("scope", 10_000)
    reader.raise_if_invalid()
    return body


def availability(body: Mapping[str, Any]) -> str:
    """The routing number of a request for availability.

    Raises:
        ApiProblem: 400, it is no string; 422, it does not have nine digits.
    """
    reader = Reader(body)
    number = reader.text("routing_number")
    reader.raise_if_invalid()
    reader.text("routing_number", pattern=ROUTING_NUMBER)
    reader.raise_if_invalid(status=422)
    return number


def payment_order(body: Mapping[str, Any]) -> PaymentOrder:
    """A payment to send."""
    reader = Reader(body)
    found = PaymentOrder(
        account_number_id=reader.text("account_number_id", pattern=ACCOUNT_NUMBER_ID),
        amount=reader.cents("amount"),
        creditor=reader.party("creditor"),
        creditor_agent=reader.agent("creditor_agent"),
        description=reader.optional("description"),
    )
    reader.text("currency_code", choices=constants.CURRENCIES)
    reader.raise_if_invalid()
    return found


def incoming_order(body: Mapping[str, Any]) -> IncomingOrder:
    """An incoming payment to simulate."""
    reader = Reader(body)
    found = IncomingOrder(
        creditor_account_number_id=reader.text("creditor_account_number_id", pattern=ACCOUNT_NUMBER_ID),
        amount=reader.cents("amount"),
        debtor=reader.party("debtor"),
        debtor_agent=reader.agent("debtor_agent"),
        description=reader.optional("description"),
        end_to_end_id=reader.nested("payment_identifiers", required=False).optional("end_to_end_id", 35),
    )
    reader.text("currency_code", choices=constants.CURRENCIES)
    reader.raise_if_invalid()
    return found


def reason(body: Mapping[str, Any], choices: Sequence[str], with_details: Collection[str] = ()) -> Reason:
    """A reason and its text.

    Args:
        body: the request's body.
        choices: the reasons that can be given.
        with_details: the reasons that need ``additional_information``.
    """
    reader = Reader(body)
    found = Reason(reader.text("reason", choices=choices), reader.optional("additional_information"))
    if found.reason in with_details and not (found.details or "").strip():
        reader.add_problem("additional_information", f"is required with the reason {found.reason}")
    reader.raise_if_invalid()
    return found


def amount(body: Mapping[str, Any]) -> int:
    """The amount of a return, in cents."""
    reader = Reader(body)
    found = reader.cents("amount")
    reader.raise_if_invalid()
    return found


def account_number_order(body: Mapping[str, Any]) -> AccountNumberOrder:
    """An account number to create."""
    reader = Reader(body)
    found = AccountNumberOrder(
        account_id=reader.text("account_id", pattern=ACCOUNT_ID),
        client_customer_id=reader.optional("client_customer_id", 64),
        entity_id=_optional(reader, "entity_id", pattern=ENTITY_ID),
        changes=_changes(reader, body, ("account_id", "client_customer_id", "entity_id")),
    )
    reader.raise_if_invalid()
    return found


def account_number_changes(body: Mapping[str, Any]) -> AccountNumberChanges:
    """What of an account number to update."""
    reader = Reader(body)
    found = _changes(reader, body)
    reader.raise_if_invalid()
    return found


def metadata(body: Mapping[str, Any]) -> Mapping[str, str] | None:
    """The metadata in a body that has nothing else; None if it is left out."""
    reader = Reader(body)
    found = _metadata(reader, body)
    reader.raise_if_invalid()
    return found


def _changes(reader: Reader, body: Mapping[str, Any], others: Collection[str] = ()) -> AccountNumberChanges:
    found = {}
    for name, value in body.items():
        if name in controls.SCHEMAS:
            reader.problems += controls.find_problems(value, controls.SCHEMAS[name], name)
            found[name] = value
        elif name != "metadata" and name not in others:
            # The bank's description of a 400: the field passed in cannot be updated.
            reader.add_problem(name, "cannot be set")
    return AccountNumberChanges(controls=found, metadata=_metadata(reader, body))


def _metadata(reader: Reader, body: Mapping[str, Any]) -> Mapping[str, str] | None:
    found = body.get("metadata")
    if "metadata" not in body:
        return None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        reader.add_problem("metadata", "must be an object of strings")
        return None
    return found


def account_number_list(query: Query) -> tuple[AccountNumberFilter, Cursor]:
    """The filters and the cursor of a list of account numbers."""
    reader = Reader(dict(query))
    wanted = AccountNumberFilter(
        account_id=_optional(reader, "account_id", pattern=ACCOUNT_ID),
        account_number=_optional(reader, "account_number"),
    )
    cursor = _cursor(reader, dict(query), ACCOUNT_NUMBER_ID)
    reader.raise_if_invalid(status=422)
    return wanted, cursor


def payment_list(query: Query) -> tuple[PaymentFilter, Cursor]:
    """The filters and the cursor of a list of payments."""
    reader = Reader(dict(query))
    wanted = PaymentFilter(
        account_id=_optional(reader, "account_id", pattern=ACCOUNT_ID),
        account_number_id=_optional(reader, "account_number_id", pattern=ACCOUNT_NUMBER_ID),
        direction=_optional(reader, "direction", choices=constants.DIRECTIONS),
        status=_optional(reader, "status", choices=constants.STATUSES),
        counterparty_status=_optional(
            reader, "counterparty_status", choices=(*constants.COUNTERPARTY_STATUSES, "null")
        ),
        return_request_status=_optional(reader, "return_request_status", choices=constants.RETURN_REQUEST_STATUSES),
        created_at=_time_range(reader, dict(query)),
    )
    cursor = _cursor(reader, dict(query), PAYMENT_ID)
    reader.raise_if_invalid(status=422)
    return wanted, cursor


def event_list(query: Query) -> tuple[EventFilter, Cursor]:
    """The filters and the cursor of a list of events."""
    reader = Reader(dict(query))
    types = frozenset(value for name, value in query if name in {"events", "events[]"})
    if not types <= frozenset(constants.EVENT_TYPES):
        reader.add_problem("events", "is not a type of event")
    wanted = EventFilter(
        types=types,
        object_id=_optional(reader, "object_id", pattern=OBJECT_ID),
        created_at=_time_range(reader, dict(query)),
    )
    cursor = _cursor(reader, dict(query), EVENT_ID)
    reader.raise_if_invalid(status=422)
    return wanted, cursor


def _optional(
    reader: Reader, name: str, *, pattern: re.Pattern[str] | None = None, choices: Collection[str] | None = None
) -> str | None:
    return reader.text(name, required=False, pattern=pattern, choices=choices) or None


def _cursor(reader: Reader, query: Mapping[str, str], pattern: re.Pattern[str]) -> Cursor:
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MAX_LIMIT:
        reader.add_problem("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
        limit = str(DEFAULT_LIMIT)
    after = _optional(reader, "starting_after", pattern=pattern)
    before = _optional(reader, "ending_before", pattern=pattern)
    if after and before:
        reader.add_problem("ending_before", "cannot be used together with starting_after")
    return Cursor(limit=int(limit), starting_after=after, ending_before=before)


def _time_range(reader: Reader, query: Mapping[str, str]) -> TimeRange:
    if "created_at" in query:
        reader.add_problem("created_at", "must be created_at[after], [on_or_after], [before] or [on_or_before]")
    found = {}
    for bound in TimeRange._fields:
        name = f"created_at[{bound}]"
        if name in query:
            found[bound] = _time(query[name])
            if found[bound] is None:
                reader.add_problem(name, "must be a time in ISO 8601 with an offset")
    return TimeRange(**found)


def _time(text: str) -> datetime | None:
    match = _RFC3339_TIME.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, offset = match.groups()
    zone = "+00:00" if offset in "Zz" else offset
    try:
        return datetime.fromisoformat(f"{date}T{time}.{(fraction or '0'):0<6}{zone}")
    except ValueError:
        return None
