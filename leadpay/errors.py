"""Every exception that leadpay raises.

::

    LeadError                        the base of everything we raise
      ConfigurationError             a setting is missing or contradictory
      InvalidRequestError            also a ValueError: the request is invalid and was not sent
      RequestNotSentError            not executed: no connection (DNS, connect, TLS)
      NoAnswerError                  a read got no response: nothing changed, call again
      OutcomeUnknownError            a write was sent and got no response: it may have happened
      APIError                       the bank refused, in its own problem JSON
        BadRequestError              400
        AuthenticationError          401
          TokenError                 the token endpoint refused: nothing was executed
        PermissionDeniedError        403
        NotFoundError                404
        ConflictError                409
        UnprocessableEntityError     422
        KeyReusedError               409 or 422: the key belongs to another request, which may have been executed
        RateLimitError               429
        ServerError                  5xx, on reads
      MalformedResponseError         a 2xx response that we cannot read (money may have moved)
        MismatchedResponseError      a response to another question (money may have moved)
      WebhookError
        SignatureError               the signature header or the signature is wrong
        MalformedEventError          authentic, but unreadable
      RouterError                    a handler, filter or inclusion is wrong
      InboxError                     the inbox's store failed; calling again is safe
      OutboxError                    the outbox's store failed; calling again is safe
      ReferenceReusedError           the outbox knows the reference with other content; nothing was queued
      ReturnRequestError             a return request cannot be decided, or not in this way; nothing was queued
      InstructionStateError          an instruction's state does not allow what was asked for

No message contains a secret, a token, a name or an account number: messages are logged.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias


class Problem(NamedTuple):
    """One thing that is wrong with a request or a body: which field, and why."""

    parameter: str
    """The field, as a dotted path (``creditor.name``) or a JSON path (``$.amount``)."""
    reason: str
    """Why it is wrong, without the value itself."""


class InvalidParameter(NamedTuple):
    """One entry of ``invalid_parameters`` in the bank's error responses."""

    parameter: str | None
    reason: str | None


class LeadError(Exception):
    """The base of everything that leadpay raises."""

    idempotency_key: str | None = None
    """The key of the write that failed; pass it again to resume the same write. None for reads."""
    payment_id: str | None = None
    """The payment that a failed write is about, or that cannot be read, where it is known."""

    def __init__(self, message: str | None = None, *, idempotency_key: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        if idempotency_key is not None:
            self.idempotency_key = idempotency_key

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by state, since subclasses take keyword-only arguments."""
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(cls: type[LeadError], args: tuple[Any, ...], state: dict[str, Any]) -> LeadError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(LeadError):
    """A setting is missing or contradictory; raised at construction."""


class InvalidRequestError(LeadError, ValueError):
    """The request is invalid and was not sent."""

    def __init__(
        self, problems: Iterable[Problem], *, operation: str = "request", idempotency_key: str | None = None
    ) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        """What is wrong, field by field; never empty."""
        listed = "; ".join(f"{parameter}: {reason}" for parameter, reason in self.problems)
        super().__init__(f"{operation} was not sent: {listed}", idempotency_key=idempotency_key)


class RequestNotSentError(LeadError):
    """The request was not executed: there was no connection to the bank (DNS, connect, TLS)."""

    def __init__(
        self,
        message: str | None = None,
        *,
        attempts: int = 1,
        idempotency_key: str | None = None,
        retry_after: float | None = None,
        is_permanent: bool = False,
    ) -> None:
        super().__init__(message, idempotency_key=idempotency_key)
        self.attempts: int = attempts
        """How many times it was tried."""
        self.retry_after: float | None = retry_after
        """Seconds that the bank asked us to wait, if it did."""
        self.is_permanent: bool = is_permanent
        """Whether another attempt would fail in the same way, as with a certificate that is not trusted."""


class NoAnswerError(LeadError):
    """A read got no response from the bank: the connection was lost, or time ran out. Nothing changed; call again.

    An error response that the bank did not write, such as a proxy's HTML, is no response from the bank.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        attempts: int = 1,
        status: int | None = None,
        content_type: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body_start: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.attempts: int = attempts
        """How many times it was tried."""
        self.status: int | None = status
        """The HTTP status of a response that the bank did not write; None if there was no response."""
        self.content_type: str | None = content_type
        """The media type of that response."""
        self.request_id: str | None = request_id
        self.retry_after: float | None = retry_after
        """Seconds that the response asked us to wait, if it did."""
        self.body_start: bytes = body_start
        """The first bytes of that response. They may repeat what was sent, so they are kept out of ``str(error)``."""


class OutcomeUnknownError(LeadError):
    """A write was sent, and got no response that counts: it may or may not have happened.

    Never start over with a new key: that is how a payment is sent twice. Call the same method with the same
    arguments, ``idempotency_key=error.idempotency_key`` and ``resuming=True``, now or after a restart: the bank then
    executes the write once or returns the first response. For ``cancel`` and ``reject_return_request``, which have no
    key in the bank's description, the payment is read first. How long the bank remembers a key is not published: if
    ``first_sent_at`` is long ago, look for the payment before you call again.

    ``__cause__`` is what happened last.
    """

    def __init__(
        self,
        operation: str,
        *,
        attempts: int,
        idempotency_key: str | None,
        reason: str = "no response",
        first_sent_at: datetime | None = None,
        cause: LeadError | None = None,
    ) -> None:
        self.operation: str = operation
        """The SDK's name of the call, such as ``send``."""
        self.attempts: int = attempts
        """How many times it was tried."""
        self.reason: str = reason
        """What happened last, such as ``no response`` or ``HTTP 502``."""
        self.first_sent_at: datetime | None = first_sent_at
        """When the first attempt was sent; None if that was an earlier call, which this one resumed."""
        self.request_id: str | None = getattr(cause, "request_id", None)
        self.code: str | None = getattr(cause, "code", None)
        self.retry_after: float | None = getattr(cause, "retry_after", None)
        super().__init__(
            f"{operation} may or may not have happened ({reason}, {attempts} attempt{'s' * (attempts != 1)}): "
            f"call it again with idempotency_key={idempotency_key!r}; never with a new one",
            idempotency_key=idempotency_key,
        )
        self.__cause__ = cause


class APIError(LeadError):
    """The bank responded with an error, in its own problem JSON.

    Branch on the class or on ``code``, the only machine-readable field. Any field but
    ``status`` can be None, since the bank leaves fields out and a proxy's error page has none.
    """

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
        idempotency_key: str | None = None,
    ) -> None:
        problem = problem or {}
        self.status: int = status
        """The HTTP status of the response."""
        self.code: str | None = _text(problem.get("code"))
        self.title: str | None = _text(problem.get("title"))
        self.detail: str | None = _text(problem.get("detail"))
        """The bank's free text. It can quote what was sent, so it is kept out of ``str(error)``."""
        self.instance: str | None = _text(problem.get("instance"))
        self.invalid_parameters: tuple[InvalidParameter, ...] = tuple(_invalid(problem.get("invalid_parameters")))
        self.request_id: str | None = request_id
        """The bank's own number for this request, to quote to its support."""
        self.retry_after: float | None = retry_after
        """Seconds to wait, if the bank sent ``Retry-After``."""
        self.attempts: int = attempts
        """How many times it was tried."""
        parts = [f"HTTP {status}", self.code, *(f"({p.parameter})" for p in self.invalid_parameters if p.parameter)]
        prefix = f"request {request_id}: " if request_id else ""
        super().__init__(prefix + " ".join(part for part in parts if part), idempotency_key=idempotency_key)

    @classmethod
    def of(cls, status: int, problem: Mapping[str, Any] | None = None, **context: Any) -> "APIError":
        """Make the subclass that fits the HTTP status."""
        fitting = ServerError if status >= _SERVER_ERRORS else _BY_STATUS.get(status, APIError)
        return fitting(status, problem, **context)


def _text(value: object) -> str | None:
    """Keep strings; the fields of an error response are hints, so another type is ignored."""
    return value if isinstance(value, str) else None


def _invalid(value: object) -> Iterable[InvalidParameter]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict):
            yield InvalidParameter(_text(entry.get("parameter")), _text(entry.get("reason")))


class BadRequestError(APIError):
    """400: the bank did not accept the request."""


class AuthenticationError(APIError):
    """401: the token or the credentials were refused."""


class TokenError(AuthenticationError):
    """The token endpoint refused to give a token, whatever the status: no verdict on any payment; nothing was executed.

    ``__cause__`` is its response. The status, the code and the title are those of that response.
    """


class PermissionDeniedError(APIError):
    """403: a scope, an account or the source IP address is not allowed."""


class NotFoundError(APIError):
    """404: the bank has no such object."""


class ConflictError(APIError):
    """409: the same key is still in progress, or a return request is already active."""


class UnprocessableEntityError(APIError):
    """422: understood, and refused."""


class KeyReusedError(APIError):
    """409 or 422: the bank knows the key with another request. The earlier request may well have been executed.

    So this is no refusal of the payment, and a new key may pay it a second time. Call again with the arguments that
    were sent first, or look for the payment in the list, before anything else is sent.
    """


class RateLimitError(APIError):
    """429: too many requests; ``retry_after`` has the seconds to wait, if the bank sent them."""


class ServerError(APIError):
    """5xx: the bank's fault. Only reads raise it: on a write it is an OutcomeUnknownError."""


_SERVER_ERRORS: Final = 500
_BY_STATUS: Final[dict[int, type[APIError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


class MalformedResponseError(LeadError):
    """The bank responded with 2xx and a body that we cannot read: money may have moved.

    ``str(error)`` has one ``reason @ $.path`` line for each thing that is wrong, and no values.
    """

    def __init__(
        self, problems: Iterable[Problem], *, body: Any = None, status: int = 200, idempotency_key: str | None = None
    ) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        """What is wrong, path by path; never empty."""
        self.body: Any = body
        """What came in: bytes from the network, or the data that was structured. It can hold personal data."""
        self.status: int = status
        """The HTTP status of the response."""
        self.object_id: str | None = None
        """The ID of the object that cannot be read, if that can be read."""
        super().__init__(
            "\n".join(f"{reason} @ {parameter}" for parameter, reason in self.problems), idempotency_key=idempotency_key
        )


class MismatchedResponseError(MalformedResponseError):
    """The response is about another payment than the request: whether the request was executed is unknown.

    ``problems`` names the fields that differ. Call again with the same key, as after an OutcomeUnknownError.
    """


class WebhookError(LeadError):
    """A webhook cannot be accepted."""


SignatureReason: TypeAlias = Literal[
    "missing_header",
    "malformed_header",
    "no_known_version",
    "body_not_bytes",
    "no_secret",
    "mismatch",
    "too_old",
    "too_new",
]
"""Why a signature was refused. ``too_old`` and ``too_new`` are authentic: look at the clock and the tolerance."""

_SIGNATURE_REASONS: Final[dict[SignatureReason, str]] = {
    "missing_header": "there is no Lead-Signature header",
    "malformed_header": "the Lead-Signature header cannot be read",
    "no_known_version": "the Lead-Signature header has no signature of a version that we know",
    "body_not_bytes": "the body is not bytes; pass the raw bytes as they came",
    "no_secret": "there is no signing secret to compare with, or an empty one",
    "mismatch": "no signature matches the body and the secrets",
    "too_old": "the signature's time is too far in the past",
    "too_new": "the signature's time is too far in the future",
}


class SignatureError(WebhookError):
    """The signature header or the signature is wrong; ``reason`` has one of a few fixed values."""

    def __init__(self, reason: SignatureReason) -> None:
        super().__init__(f"{reason}: {_SIGNATURE_REASONS[reason]}")
        self.reason: SignatureReason = reason


class MalformedEventError(WebhookError):
    """The webhook is authentic, but its body cannot be read as an event."""

    def __init__(
        self, problems: Iterable[Problem], *, event_id: str | None = None, payment_id: str | None = None
    ) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        """What is wrong, path by path; never empty."""
        self.event_id: str | None = event_id
        """The event's ID, if that can be read."""
        self.payment_id = payment_id
        super().__init__("\n".join(f"{reason} @ {parameter}" for parameter, reason in self.problems))


class RouterError(LeadError):
    """A handler, a filter or an inclusion is wrong; raised at import time, with the handler's name."""


class InboxError(LeadError):
    """The inbox's store failed or is closed. The event may or may not be stored; calling again is safe."""


class OutboxError(LeadError):
    """The outbox's store failed or is closed. The instruction may or may not be queued; calling again is safe."""


class ReferenceReusedError(LeadError):
    """The outbox knows this reference with other content. Nothing was queued or changed.

    A reference stands for one decision. If this is another one, it needs a reference of its own.
    """

    def __init__(self, reference: str, fields: Iterable[str]) -> None:
        self.reference: str = reference
        """The reference."""
        self.fields: tuple[str, ...] = tuple(fields)
        """Which fields differ from what was queued first; their values are not shown."""
        super().__init__(f"reference {reference!r} was queued before with another {', '.join(self.fields)}")


class ReturnRequestError(LeadError):
    """A return request cannot be decided, or not in this way; nothing was queued."""

    def __init__(self, message: str, *, payment_id: str) -> None:
        super().__init__(f"{payment_id}: {message}")
        self.payment_id = payment_id
        """The payment whose return was requested."""


class InstructionStateError(LeadError):
    """The state of an instruction does not allow what was asked for; nothing was changed."""

    def __init__(self, message: str, *, reference: str) -> None:
        super().__init__(f"{reference}: {message}")
        self.reference: str = reference
        """The instruction's reference."""
