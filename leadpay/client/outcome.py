"""What a status means for an operation, and what one call remembers from attempt to attempt. Pure."""

from enum import Enum
from typing import Final

from leadpay.client.requests import Request, RetrySafety
from leadpay.errors import APIError, LeadError, NoAnswerError, OutcomeUnknownError, RequestNotSentError
from leadpay.instrumentation import CallStarted

_OK, _MULTIPLE_CHOICES = 200, 300
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _TIMEOUT = 400, 401, 403, 408
CONFLICT: Final = 409
_TOO_MANY = 429
SERVER_ERROR: Final = 500


class Disposition(Enum):
    """What an answer means for the call."""

    DONE = "done"
    REFUSED = "refused"
    """Final, and decides about earlier attempts too: under one key the bank gives one answer."""
    BARRED = "barred"
    """Final, but turned away before the key was looked at: it says nothing about earlier attempts."""
    NOT_DONE = "not done"
    """Surely not executed; another attempt may help."""
    UNKNOWN = "unknown"
    """Perhaps executed."""
    UNAUTHORIZED = "unauthorized"


def is_yes(status: int) -> bool:
    """Say whether a status is one of success. Pure."""
    return _OK <= status < _MULTIPLE_CHOICES


def classify(status: int, kind: RetrySafety) -> Disposition:
    """Say what a status means for an operation. Pure.

    A 409 on a keyed write means that the same key is in progress: it may yet happen. On request_return it means that
    a request is active already.
    """
    if is_yes(status):
        return Disposition.DONE
    if status >= SERVER_ERROR or status == _TIMEOUT or (status == CONFLICT and kind is RetrySafety.IDEMPOTENT):
        return Disposition.UNKNOWN
    if status == _TOO_MANY:
        return Disposition.NOT_DONE
    if status == _UNAUTHORIZED:
        return Disposition.UNAUTHORIZED
    return Disposition.BARRED if status < _BAD_REQUEST or status == _FORBIDDEN else Disposition.REFUSED


class Attempts:
    """What one call remembers from attempt to attempt."""

    __slots__ = ("count", "deadline", "doubt", "error", "fact", "on_its_way", "rejected", "renewing", "request")

    def __init__(self, request: Request, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.count = 0
        self.doubt: LeadError | None = None
        """What the last attempt that may have been executed ended in, if one did."""
        self.on_its_way = False
        """Whether an attempt is out, and its answer is not here yet."""
        self.rejected: str | None = None
        """The token that was refused."""
        self.renewing = False
        """Whether the last attempt asks for nothing but another one with a new token."""
        self.fact: CallStarted | None = None
        """What an observer was told at the start."""
        self.error: LeadError
        """What the last attempt ended in, if it was not a yes."""

    @property
    def unknown(self) -> bool:
        """Whether some attempt may have been executed."""
        return self.doubt is not None

    @property
    def may_have_happened(self) -> bool:
        """Whether giving up now leaves a write of unknown outcome."""
        return (self.unknown or self.on_its_way) and self.request.kind is not RetrySafety.SAFE

    @property
    def is_open(self) -> bool:
        """Whether the payment has to be read, to learn whether this write has happened."""
        kind = self.request.kind
        conflict = isinstance(self.error, APIError) and self.error.status == CONFLICT
        return (
            self.unknown
            and not self.renewing
            and (kind is RetrySafety.VERIFY_FIRST or (kind is RetrySafety.IDEMPOTENT_EXCLUSIVE and conflict))
        )

    def final(self) -> LeadError:
        """Choose what is raised when no attempt is left. Pure."""
        error = self.error
        if self.doubt is not None and self.request.kind is RetrySafety.SAFE:
            # An attempt that found no connection doesn't undo that an earlier one was out.
            error = self.doubt if isinstance(error, RequestNotSentError) else error
        elif self.doubt is not None:
            reason = f"HTTP {error.status}" if isinstance(error, APIError) else "no answer"
            error = OutcomeUnknownError(
                self.request.operation, attempts=self.count, idempotency_key=self.request.key, reason=reason
            )
        return self.signed(error)

    def signed(self, error: LeadError) -> LeadError:
        """Put the key and the number of attempts on an error."""
        if self.request.key is not None:
            error.idempotency_key = self.request.key
        if isinstance(error, APIError | NoAnswerError | RequestNotSentError):
            error.attempts = max(1, self.count)
        return error
