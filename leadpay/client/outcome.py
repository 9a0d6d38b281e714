"""What a response means for an operation, and the state of one call between its attempts. Pure."""

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache
from http import HTTPStatus
from operator import attrgetter
from typing import Final

import attrs

from leadpay.client.requests import Request, RetrySafety
from leadpay.clock import utc_datetime
from leadpay.errors import (
    APIError,
    KeyReusedError,
    LeadError,
    MalformedResponseError,
    MismatchedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    Problem,
    RequestNotSentError,
)
from leadpay.instrumentation import CallStarted

SUCCESS: Final = range(200, 300)
"""The statuses of success."""

_TIMEOUT, _CONFLICT, _UNPROCESSABLE, _SERVER_ERROR = 408, 409, 422, 500

KEY_REUSED_CODE: Final = "idempotency_error"
"""The ``code`` of a key that is known with another request. The bank does not publish it; the one for a missing key
is this, and the sandbox takes the same."""

IN_PROGRESS: Final = "in_progress"
"""Part of the ``code`` of a key that is still in progress. The bank does not publish it, so MAX_CONFLICTS helps."""

MAX_CONFLICTS: Final = 3
"""How many 409 in a row, of an unknown code, mean that a return request is active. The first ones could also mean that
the same key is in progress, in another process."""

BODY_START_BYTES: Final = 120
"""How much is kept of the body of a response that the bank did not write: enough for the title of an error page."""


class Disposition(Enum):
    """What a response means for the call."""

    REFUSED = "refused"
    """Final, for earlier attempts too: the bank gives one response for one key."""
    NOT_ADMITTED = "not_admitted"
    """Final, but refused before the key was looked at: this says nothing about earlier attempts."""
    NOT_EXECUTED = "not_executed"
    """The request was not executed, and another attempt may help."""
    AMBIGUOUS = "ambiguous"
    """The request may have been executed."""
    FOREIGN = "foreign"
    """Not written by the bank, so it is no response: the request may have been executed."""
    CONFLICT = "conflict"
    """A return request is active, or the same key is in progress."""
    UNAUTHORIZED = "unauthorized"
    """The token was refused."""


def is_bank_problem(body: object) -> bool:
    """Say whether the JSON of an error response is the bank's problem JSON.

    Its ``code`` is the field to branch on; any field can be missing. A JSON object of a gateway has other fields.
    """
    return isinstance(body, Mapping) and any(isinstance(body.get(name), str) for name in ("code", "title", "detail"))


def classify(status: int, safety: RetrySafety, *, by_bank: bool = True, code: str | None = None) -> Disposition:
    """Say what a status that is not one of success means for an operation.

    Args:
        status: the HTTP status.
        safety: the kind of the operation.
        by_bank: whether the body is the bank's problem JSON: only the bank can refuse.
        code: the bank's error code.
    """
    if status >= _SERVER_ERROR or (status == _TIMEOUT and by_bank):
        return Disposition.AMBIGUOUS
    if not by_bank:
        return Disposition.FOREIGN
    if status == _CONFLICT and code != KEY_REUSED_CODE:
        return _classify_conflict(safety, code)
    return _BY_STATUS.get(status, Disposition.NOT_ADMITTED)


_BY_STATUS: Final = {
    400: Disposition.REFUSED,
    401: Disposition.UNAUTHORIZED,
    409: Disposition.REFUSED,
    422: Disposition.REFUSED,
    429: Disposition.NOT_EXECUTED,
}


def _classify_conflict(safety: RetrySafety, code: str | None) -> Disposition:
    if safety is RetrySafety.IDEMPOTENT or (code is not None and IN_PROGRESS in code):
        return Disposition.AMBIGUOUS
    return Disposition.CONFLICT if safety is RetrySafety.IDEMPOTENT_EXCLUSIVE else Disposition.REFUSED


def is_key_reused(status: int, safety: RetrySafety, code: str | None) -> bool:
    """Say whether the bank knows the key of a write with another request."""
    return status in {_CONFLICT, _UNPROCESSABLE} and code == KEY_REUSED_CODE and safety is not RetrySafety.SAFE


_getter = cache(attrgetter)


def mismatches(result: object, expected: Mapping[str, object]) -> list[Problem]:
    """Compare a result with what the request asked for, field by field."""
    if not expected:
        return []
    found = _getter(*expected)(result)
    values = (found,) if len(expected) == 1 else found
    if values == tuple(expected.values()):
        return []
    return [
        Problem(f"$.{path}", "is not what was asked for")
        for (path, wanted), value in zip(expected.items(), values, strict=True)
        if value != wanted and not _is_same_name(path, value, wanted)
    ]


def _is_same_name(path: str, found: object, wanted: object) -> bool:
    """Names may be written in another case or with other spaces, and letters that are not ASCII in another way."""
    if not path.endswith(".name") or not isinstance(found, str) or not isinstance(wanted, str):
        return False
    return not wanted.isascii() or found.casefold().split() == wanted.casefold().split()


_PAGE_WORDS: Final = "html head title body h1 h2 p hr center div br doctype nginx apache cloudflare envoy openresty"
_HARMLESS: Final = frozenset(_PAGE_WORDS.split()) | frozenset(
    word for status in HTTPStatus for word in (str(status.value), *re.findall("[a-z0-9]+", status.phrase.lower()))
)
"""The words of a foreign response that a log may hold: any other could be personal data."""


def loggable(body: bytes) -> str:
    """Write the start of a foreign response for a log: words that are not known to be harmless are left out."""
    text = body[:BODY_START_BYTES].decode("ascii", "replace")
    return re.sub("[^<>/ ]+", lambda word: word[0] if word[0].lower() in _HARMLESS else "_", text)


@attrs.define
class CallState:
    """What one call knows between its attempts."""

    request: Request
    deadline: float
    resuming: bool = False
    """Whether an earlier call with this key has an unknown outcome."""
    attempts: int = 0
    executed_attempts: int = 0
    """Attempts that may have been executed; only these are bounded by a count."""
    conflicts: int = 0
    first_sent_at: float | None = None
    """In seconds since 1970."""
    ambiguous_error: LeadError | None = None
    """How the last attempt that may have been executed ended, if there was one."""
    in_flight: bool = False
    """Whether an attempt was started and has no result yet."""
    unconfirmed_error: APIError | None = None
    """A refusal that may be the response to another request, until the bank has responded once more."""
    wants_new_connection: bool = False
    """Whether further attempts need a connection that no other request has used."""
    token: str | None = attrs.field(default=None, repr=False)
    rejected_token: str | None = attrs.field(default=None, repr=False)
    renewing_token: bool = False
    """Whether the last attempt only needs another one with a new token."""
    observed: CallStarted | None = None
    """The observation that began the call, if there is an observer."""
    error: LeadError = attrs.field(init=False)
    """How the last attempt ended, if it did not succeed."""

    @property
    def is_ambiguous(self) -> bool:
        """Whether an attempt that ended may have been executed."""
        return self.ambiguous_error is not None or self.unconfirmed_error is not None or self.resuming

    @property
    def is_confirming(self) -> bool:
        """Whether the next attempt only asks whether a refusal is ours."""
        return self.unconfirmed_error is not None and self.unconfirmed_error is self.error

    @property
    def may_have_happened(self) -> bool:
        """Whether to give up now leaves a write with an unknown outcome."""
        return (self.is_ambiguous or self.in_flight) and self.request.safety is not RetrySafety.SAFE

    @property
    def needs_verification(self) -> bool:
        """Whether only the payment itself can say if this write was executed."""
        if not self.is_ambiguous or self.renewing_token:
            return False
        return self.request.safety is RetrySafety.VERIFY_FIRST or (
            self.request.safety is RetrySafety.IDEMPOTENT_EXCLUSIVE and self.conflicts > 0
        )

    def note_unsuccessful(self, error: LeadError, disposition: Disposition) -> None:
        """Remember how an attempt ended."""
        self.error = error
        self.in_flight = False
        self.conflicts = self.conflicts + 1 if disposition is Disposition.CONFLICT else 0
        if disposition in {Disposition.AMBIGUOUS, Disposition.FOREIGN}:
            self.ambiguous_error = error
        if disposition is not Disposition.NOT_EXECUTED:
            self.executed_attempts += 1

    def must_confirm(self, disposition: Disposition, *, is_on_kept_connection: bool) -> bool:
        """Say whether a refusal needs a second one, with the same key on a new connection.

        A proxy can shift the responses of a kept connection by one, and nothing in a refusal says which request it
        belongs to: ours may have been executed. If so, the bank gives its first response again; if not, it refuses
        again, since a refused key is not consumed.
        """
        earlier, self.unconfirmed_error = self.unconfirmed_error, None
        error = self.error
        if not isinstance(error, APIError) or self.request.safety is RetrySafety.SAFE:
            return False
        if isinstance(error, KeyReusedError):  # it says itself that the payment may exist
            return False
        if earlier is not None and (earlier.status, earlier.code) != (error.status, error.code):
            self.ambiguous_error = earlier
        if not is_on_kept_connection or self.wants_new_connection:
            return False
        self.wants_new_connection = True
        is_keyed = self.request.safety is not RetrySafety.VERIFY_FIRST
        if disposition is not Disposition.REFUSED and not (is_keyed and disposition is Disposition.NOT_ADMITTED):
            return False
        self.unconfirmed_error = error
        return True

    def final_error(self) -> LeadError:
        """Choose the error to raise when there is no further attempt."""
        error = self.error
        if not self.is_ambiguous or isinstance(error, MismatchedResponseError):
            return self.sign(error)
        if self.request.safety is RetrySafety.SAFE:
            # An attempt without a connection does not undo an earlier one that was sent.
            is_earlier = isinstance(error, RequestNotSentError) and self.ambiguous_error is not None
            return self.sign(self.ambiguous_error if is_earlier and self.ambiguous_error else error)
        status = getattr(error, "status", None)
        sent_at = None if self.resuming or self.first_sent_at is None else utc_datetime(self.first_sent_at)
        return self.sign(
            OutcomeUnknownError(
                self.request.operation,
                attempts=self.attempts,
                idempotency_key=self.request.key,
                reason="no response" if status is None else f"HTTP {status}",
                first_sent_at=sent_at,
                cause=error,
            )
        )

    def sign(self, error: LeadError) -> LeadError:
        """Put the key, the payment and the number of attempts on an error."""
        if self.request.key is not None:
            error.idempotency_key = self.request.key
        if self.request.key is not None or isinstance(error, MalformedResponseError):
            error.payment_id = error.payment_id or self.request.payment_id
        if isinstance(error, APIError | NoAnswerError | RequestNotSentError):
            error.attempts = max(1, self.attempts)
        return error
