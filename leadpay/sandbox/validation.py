"""What the bank accepts: JSON and query strings into orders and filters, or every problem at once. Pure."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from leadpay.sandbox import constants
from leadpay.sandbox.models import Party
from leadpay.sandbox.orders import Arrival, Order, Reason
from leadpay.sandbox.problems import ApiProblem, Invalid, invalid
from leadpay.sandbox.store import DEFAULT_LIMIT, Cursor, EventFilter, PaymentFilter, TimeRange

MAX_AMOUNT: Final = 2**63 - 1
"""Most cents of one payment: the bank's description says int64."""

MAX_LIMIT: Final = 100
"""Most objects on a page. From the bank's description."""

MAX_TEXT: Final = 140
"""Longest description or additional information, in characters. From the bank's description."""

ROUTING_NUMBER: Final = re.compile(r"[0-9]{9}")
"""Nine digits and nothing more: the bank's own example fails the ABA check-digit rule."""

ACCOUNT_NUMBER_ID: Final = re.compile(r"account_number_\w+", re.ASCII)
ACCOUNT_ID: Final = re.compile(r"account_\w+", re.ASCII)
PAYMENT_ID: Final = re.compile(r"instant_payment_\w+", re.ASCII)
EVENT_ID: Final = re.compile(r"event_\w+", re.ASCII)
OBJECT_ID: Final = re.compile(r"(ach|wire|account_number|internal_transfer|disbursement|instant_payment)_\w+", re.ASCII)

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # RFC 3339

Query = Sequence[tuple[str, str]]
"""A query string, decoded, in the order in which it came."""


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a request's body.

    Raises:
        ApiProblem: 400, it is something else.
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
    """Reads fields one by one and remembers what is wrong with them.

    Args:
        data: the object to read.
        path: what comes before a field's name in a problem.
        problems: where to note problems.
    """

    def __init__(self, data: Mapping[str, Any], path: str = "", problems: list[Invalid] | None = None) -> None:
        self._data = data
        self._path = path
        self.problems = [] if problems is None else problems

    def note(self, name: str, reason: str) -> None:
        """Remember a problem."""
        self.problems.append(Invalid(self._path + name, reason))

    def text(
        self,
        name: str,
        *,
        required: bool = True,
        lengths: tuple[int, int] | None = None,
        pattern: re.Pattern[str] | None = None,
        choices: Collection[str] | None = None,
    ) -> str:
        """A string; empty if it is missing or wrong, which has been noted if it matters."""
        if name not in self._data:
            if required:
                self.note(name, "is required")
            return ""
        value = self._data[name]
        if not isinstance(value, str):
            self.note(name, "must be a string")
        elif lengths is not None and not lengths[0] <= len(value) <= lengths[1]:
            self.note(name, f"must have {lengths[0]} to {lengths[1]} characters")
        elif pattern is not None and not pattern.fullmatch(value):
            self.note(name, "has the wrong form")
        elif choices is not None and value not in choices:
            self.note(name, f"must be one of {', '.join(choices)}")
        else:
            return value
        return ""

    def optional(self, name: str, longest: int = MAX_TEXT) -> str | None:
        """A string that may be missing."""
        return self.text(name, lengths=(0, longest)) if name in self._data else None

    def cents(self, name: str) -> int:
        """A whole number of cents."""
        value = self._data.get(name)
        if name not in self._data:
            self.note(name, "is required")
        elif type(value) is not int or not 0 <= value <= MAX_AMOUNT:
            self.note(name, "must be a whole number of cents, 0 or more")
        else:
            return value
        return 0

    def nested(self, name: str, *, required: bool = True) -> "Reader":
        """An object's own reader; its problems are noted here."""
        value = self._data.get(name, {})
        if required and name not in self._data:
            self.note(name, "is required")
        elif isinstance(value, dict):
            return Reader(value, f"{self._path}{name}.", self.problems)
        else:
            self.note(name, "must be an object")
        return Reader({}, f"{self._path}{name}.", [])

    def party(self, name: str) -> Party:
        """A party to a payment."""
        party = self.nested(name)
        return Party(party.text("name", lengths=(3, 35)), party.text("account_number", lengths=(1, 17)))

    def agent(self, name: str) -> str:
        """A bank's routing number."""
        return self.nested(name).text("routing_number", pattern=ROUTING_NUMBER)

    def end(self, *, status: int = 400) -> None:
        """Refuse the request if anything was wrong."""
        if self.problems:
            raise invalid(self.problems, status=status)


def credentials(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a request for a token."""
    reader = Reader(body)
    reader.text("grant_type", choices=("client_credentials",))
    reader.text("client_id")
    reader.text("client_secret")
    reader.optional("scope", 10_000)
    reader.end()
    return body


def availability(body: Mapping[str, Any]) -> str:
    """The routing number that is asked about.

    Raises:
        ApiProblem: 400, it is no string; 422, it has not nine digits.
    """
    reader = Reader(body)
    number = reader.text("routing_number")
    reader.end()
    reader.text("routing_number", pattern=ROUTING_NUMBER)
    reader.end(status=422)
    return number


def order(body: Mapping[str, Any]) -> Order:
    """A payment to be sent."""
    reader = Reader(body)
    found = Order(
        account_number_id=reader.text("account_number_id", pattern=ACCOUNT_NUMBER_ID),
        amount=reader.cents("amount"),
        creditor=reader.party("creditor"),
        creditor_agent=reader.agent("creditor_agent"),
        description=reader.optional("description"),
    )
    reader.text("currency_code", choices=constants.CURRENCIES)
    reader.end()
    return found


def arrival(body: Mapping[str, Any]) -> Arrival:
    """A payment to be received."""
    reader = Reader(body)
    found = Arrival(
        creditor_account_number_id=reader.text("creditor_account_number_id", pattern=ACCOUNT_NUMBER_ID),
        amount=reader.cents("amount"),
        debtor=reader.party("debtor"),
        debtor_agent=reader.agent("debtor_agent"),
        description=reader.optional("description"),
        end_to_end_id=reader.nested("payment_identifiers", required=False).optional("end_to_end_id", 35),
    )
    reader.text("currency_code", choices=constants.CURRENCIES)
    reader.end()
    return found


def reason(body: Mapping[str, Any], choices: Sequence[str], explained: Collection[str] = ()) -> Reason:
    """A reason and its text.

    Args:
        body: the request's body.
        choices: the reasons that can be given.
        explained: the reasons that need ``additional_information``.
    """
    reader = Reader(body)
    found = Reason(reader.text("reason", choices=choices), reader.optional("additional_information"))
    if found.reason in explained and not (found.additional_information or "").strip():
        reader.note("additional_information", f"is required with the reason {found.reason}")
    reader.end()
    return found


def amount(body: Mapping[str, Any]) -> int:
    """How much comes back, in cents."""
    reader = Reader(body)
    found = reader.cents("amount")
    reader.end()
    return found


def payment_list(query: Query) -> tuple[PaymentFilter, Cursor]:
    """The filters and the cursor of a list of payments."""
    reader = Reader(dict(query))
    wanted = PaymentFilter(
        account_id=_given(reader, "account_id", pattern=ACCOUNT_ID),
        account_number_id=_given(reader, "account_number_id", pattern=ACCOUNT_NUMBER_ID),
        direction=_given(reader, "direction", choices=constants.DIRECTIONS),
        status=_given(reader, "status", choices=constants.STATUSES),
        counterparty_status=_given(reader, "counterparty_status", choices=constants.COUNTERPARTY_STATUSES),
        return_request_status=_given(reader, "return_request_status", choices=constants.RETURN_REQUEST_STATUSES),
        created_at=_span(reader, dict(query)),
    )
    cursor = _cursor(reader, dict(query), PAYMENT_ID)
    reader.end(status=422)
    return wanted, cursor


def event_list(query: Query) -> tuple[EventFilter, Cursor]:
    """The filters and the cursor of a list of events."""
    reader = Reader(dict(query))
    types = frozenset(value for name, value in query if name in {"events", "events[]"})
    if not types <= frozenset(constants.EVENT_TYPES):
        reader.note("events", "is not a type of event")
    wanted = EventFilter(
        types=types,
        object_id=_given(reader, "object_id", pattern=OBJECT_ID),
        created_at=_span(reader, dict(query)),
    )
    cursor = _cursor(reader, dict(query), EVENT_ID)
    reader.end(status=422)
    return wanted, cursor


def _given(
    reader: Reader, name: str, *, pattern: re.Pattern[str] | None = None, choices: Collection[str] | None = None
) -> str | None:
    return reader.text(name, required=False, pattern=pattern, choices=choices) or None


def _cursor(reader: Reader, query: Mapping[str, str], pattern: re.Pattern[str]) -> Cursor:
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MAX_LIMIT:
        reader.note("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
        limit = str(DEFAULT_LIMIT)
    after = _given(reader, "starting_after", pattern=pattern)
    before = _given(reader, "ending_before", pattern=pattern)
    if after and before:
        reader.note("ending_before", "cannot be used together with starting_after")
    return Cursor(limit=int(limit), starting_after=after, ending_before=before)


def _span(reader: Reader, query: Mapping[str, str]) -> TimeRange:
    if "created_at" in query:
        reader.note("created_at", "must be given as created_at[after], [on_or_after], [before] or [on_or_before]")
    found = {}
    for word in TimeRange._fields:
        name = f"created_at[{word}]"
        if name in query:
            found[word] = _moment(query[name])
            if found[word] is None:
                reader.note(name, "must be a time in ISO 8601 with an offset")
    return TimeRange(**found)


def _moment(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, offset = match.groups()
    zone = "+00:00" if offset in "Zz" else offset
    try:
        return datetime.fromisoformat(f"{day}T{time}.{(fraction or '0'):0<6}{zone}")
    except ValueError:
        return None
