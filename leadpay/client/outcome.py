"""What a status means for an operation, and the state of one call between its attempts. Pure."""

from enum import Enum
from typing import Final

import attrs

from leadpay.client.requests import Request, RetrySafety
from leadpay.errors import APIError, LeadError, NoAnswerError, OutcomeUnknownError, RequestNotSentError
from leadpay.instrumentation import CallStarted

_OK, _MULTIPLE_CHOICES = 200, 300
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _TIMEOUT = 400, 401, 403, 408
_CONFLICT, _TOO_MANY = 409, 429
SERVER_ERROR: Final = 500
"""The lowest status that is the server's fault."""


class Disposition(Enum):
    """What a response means for the call."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    """Final, for earlier attempts too: the bank gives one response for one key."""
    NOT_ADMITTED = "not_admitted"
    """Final, but refused before the key was looked at: this says nothing about earlier attempts."""
    NOT_EXECUTED = "not_executed"
    """The request was not executed, and another attempt may help."""
    AMBIGUOUS = "ambiguous"
    """The request may have been executed."""
    UNAUTHORIZED = "unauthorized"
    """The token was refused."""


def classify(status: int, safety: RetrySafety) -> Disposition:
    """Say what a status means for an operation.

    A 409 on a write that is idempotent by its key means that the same key is in progress: it may still be executed.
    On ``request_return`` it means that a return request is already active.
    """
    if _OK <= status < _MULTIPLE_CHOICES:
        return Disposition.SUCCEEDED
    if status >= SERVER_ERROR or status == _TIMEOUT or (status == _CONFLICT and safety is RetrySafety.IDEMPOTENT):
        return Disposition.AMBIGUOUS
    if status == _TOO_MANY:
        return Disposition.NOT_EXECUTED
    if status == _UNAUTHORIZED:
        return Disposition.UNAUTHORIZED
    return Disposition.NOT_ADMITTED if status < _BAD_REQUEST or status == _FORBIDDEN else Disposition.REFUSED


@attrs.define
class CallState:
    """What one call knows between its attempts."""

    request: Request
    deadline: float
    attempts: int = 0
    ambiguous_error: LeadError | None = None
    """How the last attempt that may have been executed ended, if there was one."""
    in_flight: bool = False
    """Whether an attempt was started and has no result yet."""
    rejected_token: str | None = attrs.field(default=None, repr=False)
    renewing_token: bool = False
    """Whether the last attempt only needs another one with a new token."""
    observed: CallStarted | None = None
    """The observation that began the call, if there is an observer."""
    error: LeadError = attrs.field(init=False)
    """How the last attempt ended, if it did not succeed."""

    @property
    def may_have_happened(self) -> bool:
        """Whether to give up now leaves a write with an unknown outcome."""
        return (self.ambiguous_error is not None or self.in_flight) and self.request.safety is not RetrySafety.SAFE

    @property
    def needs_verification(self) -> bool:
        """Whether only the payment itself can say if this write was executed."""
        if self.ambiguous_error is None or self.renewing_token:
            return False
        return self.request.safety is RetrySafety.VERIFY_FIRST or (
            self.request.safety is RetrySafety.IDEMPOTENT_EXCLUSIVE and self._is_conflict
        )

    @property
    def is_refused(self) -> bool:
        """Whether the last attempt was refused, for a write that turned out not to be executed before.

        If the bank does look at the key after all, 409 says that an earlier attempt is in progress.
        """
        return (
            isinstance(self.error, APIError)
            and not self._is_conflict
            and classify(self.error.status, self.request.safety)
            not in {Disposition.AMBIGUOUS, Disposition.NOT_EXECUTED}
        )

    @property
    def _is_conflict(self) -> bool:
        return isinstance(self.error, APIError) and self.error.status == _CONFLICT

    def final_error(self) -> LeadError:
        """Choose the error to raise when there is no further attempt."""
        error = self.error
        if self.ambiguous_error is None:
            return self.sign(error)
        if self.request.safety is RetrySafety.SAFE:
            # An attempt without a connection does not undo an earlier one that was sent.
            return self.sign(self.ambiguous_error if isinstance(error, RequestNotSentError) else error)
        reason = f"HTTP {error.status}" if isinstance(error, APIError) else "no response"
        return OutcomeUnknownError(
            self.request.operation, attempts=self.attempts, idempotency_key=self.request.key, reason=reason
        )

    def sign(self, error: LeadError) -> LeadError:
        """Put the key and the number of attempts on an error."""
        if self.request.key is not None:
            error.idempotency_key = self.request.key
        if isinstance(error, APIError | NoAnswerError | RequestNotSentError):
            error.attempts = max(1, self.attempts)
        return error
