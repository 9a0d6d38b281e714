"""What we send is checked before it leaves: the limits, and the class that collects what is wrong. Pure.

The limits are the bank's, from the pages of the single operations. The error names all faults of a request.
"""

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from leadpay.enums import OLDER_SPELLINGS
from leadpay.errors import InvalidRequestError, Problem
from leadpay.models import MAX_AMOUNT, Agent, Party

logger = logging.getLogger("leadpay.client")

MAX_DESCRIPTION: Final = 140
"""Longest description, and longest ``additional_information``, in characters."""
MAX_KEY: Final = 255
"""Longest idempotency key, in characters."""
MAX_LIMIT: Final = 100
"""Most objects on one page of a list."""
MAX_END_TO_END_ID: Final = 35
"""Longest end-to-end ID, in characters."""
NAME_LENGTHS: Final = (3, 35)
"""Shortest and longest name of a party, in characters."""
MAX_WORD: Final = 64
"""Longest value of an enum that is sent though this version does not know it, in characters."""
ACCOUNT_NUMBER_LENGTHS: Final = (1, 17)
"""Shortest and longest account number, in characters."""

_IDS: Final[Mapping[str, re.Pattern[str]]] = {
    "instant_payment": re.compile(r"instant_payment_\w+", re.ASCII),
    # The ID of an account number would fit, and the list would be empty.
    "account": re.compile(r"account_(?!number_)\w+", re.ASCII),
    "account_number": re.compile(r"account_number_\w+", re.ASCII),
    "event": re.compile(r"event_\w+", re.ASCII),
}
_AN_ID: Final = re.compile("|".join(form.pattern for form in _IDS.values()), re.ASCII)
_OBJECT_ID: Final = re.compile(
    r"(ach|wire|account_number|internal_transfer|disbursement|instant_payment)_\w+", re.ASCII
)
_ANY_OBJECT_ID: Final = re.compile(r"[a-z]\w*_\w+", re.ASCII)
_WORD: Final = re.compile(rf"[\w.]{{1,{MAX_WORD}}}", re.ASCII)
# The check digit is not checked: the bank's own example, 111000111, has a wrong one.
ROUTING_NUMBER: Final = re.compile(r"[0-9]{9}")
_ACCOUNT_NUMBER: Final = re.compile(r"(?! )[ -~]*(?<! )")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half of a character, which has no bytes in UTF-8."""
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Control characters, those without width, and those that change the direction: they show another text than is sent."""
# A key is sent in a header, where spaces at its ends would be lost.
_KEY: Final = re.compile(rf"(?! )[ -~]{{1,{MAX_KEY}}}(?<! )")

_OBJECTS: Final = {
    "instant_payment": "a payment",
    "account": "an account",
    "account_number": "an account number",
    "event": "an event",
}


def _id_of(value: object) -> str:
    """Say of what object a text that should be another one is the ID, if it is one."""
    kinds = (kind for kind, form in _IDS.items() if isinstance(value, str) and form.fullmatch(value))
    return "".join(f", not the ID of {_OBJECTS[kind]}" for kind in kinds)


class Validator:
    """Collects what is wrong with a request."""

    __slots__ = ("_key", "_operation", "_problems", "_unlisted")

    def __init__(self, operation: str, key: str | None = None, *, unlisted: bool = False) -> None:
        self._operation = operation
        self._unlisted = unlisted
        self._key = key
        self._problems: list[Problem] = []
        if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
            self._key = None
            self.error("idempotency_key", f"must be 1 to {MAX_KEY} printable ASCII characters, no space at the ends")

    def error(self, parameter: str, reason: str) -> None:
        """Add one fault of a parameter, once."""
        if (problem := Problem(parameter, reason)) not in self._problems:
            self._problems.append(problem)

    def raise_if_invalid(self) -> None:
        """Raise InvalidRequestError if there is a fault."""
        if self._problems:
            raise InvalidRequestError(self._problems, operation=self._operation, idempotency_key=self._key)

    def amount(self, value: object) -> None:
        """Check an amount in cents."""
        if type(value) is not int:
            self.error("amount", f"must be an int of cents, not {type(value).__name__}")
        elif not 0 <= value <= MAX_AMOUNT:
            self.error("amount", "must be from 0 to 2**63 - 1 cents")

    def id(self, parameter: str, value: object, kind: str) -> None:
        """Check an ID before it becomes part of a URL."""
        if not isinstance(value, str) or not _IDS[kind].fullmatch(value):
            hint = _id_of(value)
            if kind == "account_number" and isinstance(value, str) and value.isdigit():
                hint = ", not the number itself: account_numbers.list(account_number=...) finds its ID"
            self.error(parameter, f"must be an ID such as {kind}_xyz123{hint}")

    def object_id(self, value: object) -> None:
        """Check the ID of an object of any of the products that have events."""
        if not isinstance(value, str) or not (_ANY_OBJECT_ID if self._unlisted else _OBJECT_ID).fullmatch(value):
            self.error("object_id", "must be an object's ID such as instant_payment_xyz123")
        elif not _OBJECT_ID.fullmatch(value):
            logger.warning("%s: object_id=%s is of a kind that this version does not know", self._operation, value)

    def text(self, parameter: str, value: object, longest: int, shortest: int = 0) -> None:
        """Check a text: its length, and that all of its characters are visible."""
        if not isinstance(value, str):
            self.error(parameter, f"must be a string, not {type(value).__name__}")
        elif not shortest <= len(value) <= longest:
            least = f"{shortest} to " if shortest else "at most "
            self.error(parameter, f"must have {least}{longest} characters")
        elif _SURROGATE.search(value):
            self.error(parameter, "must be valid Unicode")
        elif _INVISIBLE.search(value):
            self.error(parameter, "must have no control characters and no invisible ones")

    def party(self, parameter: str, value: object) -> dict[str, Any]:
        """Check a debtor or a creditor, and write it."""
        if not isinstance(value, Party):
            self.error(parameter, f"must be a Party, not {type(value).__name__}")
            return {}
        self.text(f"{parameter}.name", value.name, NAME_LENGTHS[1], NAME_LENGTHS[0])
        if isinstance(value.name, str) and value.name.strip() != value.name:
            self.error(f"{parameter}.name", "must have no white space at its ends")
        self.text(f"{parameter}.account_number", value.account_number, *reversed(ACCOUNT_NUMBER_LENGTHS))
        if isinstance(value.account_number, str) and not _ACCOUNT_NUMBER.fullmatch(value.account_number):
            self.error(f"{parameter}.account_number", "must be ASCII, with no white space at its ends")
        elif isinstance(value.account_number, str) and _AN_ID.match(value.account_number):
            self.error(f"{parameter}.account_number", f"must be an account number{_id_of(value.account_number)}")
        return {"name": value.name, "account_number": value.account_number}

    def agent(self, parameter: str, value: object) -> dict[str, Any]:
        """Check a financial institution, and write it."""
        if not isinstance(value, Agent):
            self.error(parameter, f"must be an Agent, not {type(value).__name__}")
            return {}
        if not isinstance(value.routing_number, str) or not ROUTING_NUMBER.fullmatch(value.routing_number):
            self.error(f"{parameter}.routing_number", "must be a string of nine digits")
        return {"routing_number": value.routing_number}

    def word(self, parameter: str, value: object, allowed: Collection[str], listing: str | None = None) -> str | None:
        """Check one of the bank's words, and give it in its current spelling; None if it is refused.

        A word that is not on the list is taken if the call says so, and logged.
        """
        current = OLDER_SPELLINGS.get(value, value) if isinstance(value, str) else None
        if current is not None and current in allowed:
            return str(current)
        if current is None or not self._unlisted:
            self.error(
                parameter, f"must be {listing or 'one of ' + ', '.join(allowed)}; if it is new, say unlisted=True"
            )
        elif not _WORD.fullmatch(current):
            self.error(parameter, f"must have 1 to {MAX_WORD} letters, digits, dots and underscores")
        else:
            logger.warning("%s: %s=%s is not on the list of this version", self._operation, parameter, current)
            return str(current)
        return None

    def reason(
        self, value: object, allowed: tuple[str, ...], additional_information: object, needs_text: frozenset[str]
    ) -> dict[str, Any]:
        """Check a reason and its text, and write them."""
        current = self.word("reason", value, allowed)
        body: dict[str, Any] = {"reason": current}
        if current in needs_text and not additional_information:
            self.error("additional_information", f"is required with the reason {current}")
        if additional_information is not None:
            self.text("additional_information", additional_information, MAX_DESCRIPTION)
            body["additional_information"] = additional_information
        return body
