"""What the end of an attempt means for its instruction. Pure.

Only the bank can refuse, and only what the client raises as the bank's own error is a refusal; see
:mod:`leadpay.client.outcome`. What says nothing about the payment, such as a token that was refused, leaves the
instruction in the queue.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from leadpay.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InvalidRequestError,
    KeyReusedError,
    LeadError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestNotSentError,
)
from leadpay.models import InstantPayment
from leadpay.outbox.progress import has_our_description

BACKOFF: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""How long no sender sends after the bank failed once, twice and so on, in seconds; the last one is repeated.

One lost response alone pauses no sender: the next attempt, made alone, shows whether the bank is there. After each
pause one sender makes one attempt; when it gets a response, all go on. So a bank that is away for half an hour gets
about forty requests.
"""

MAX_RETRY_AFTER: Final = 3_600.0
"""Longest pause that one ``Retry-After`` causes, in seconds, so that a wrong header cannot stop senders for days."""

ASK_AGAIN: Final = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0)
"""How long to wait before an instruction is asked again with its key, in seconds; the last one is repeated."""

NOT_SENT: Final = 0.5
"""How long an instruction waits whose attempt was not executed, in seconds, beside the pause of all senders."""

NOT_ALLOWED: Final = (60.0, 300.0, 900.0)
"""How long to wait before the next attempt of an instruction that got a 403, in seconds; the last one is repeated."""

LOOK_AGAIN: Final = 3_600.0
"""How long to wait before evidence is looked for again, in seconds: the bank may list a payment late."""


@attrs.frozen(kw_only=True)
class Result:
    """How an attempt ended."""

    kind: Literal["accepted", "refused", "in_doubt", "not_sent"]
    payment: InstantPayment | None = attrs.field(default=None, repr=False)
    reason: str | None = None
    pause: float = 0.0
    """How long this instruction waits, in seconds."""
    bank_failed: bool = False
    """Whether the bank was away, so that all senders pause."""
    retry_after: float | None = None
    """Seconds that the bank asked for."""
    may_resend: bool = True
    """Whether the key may be sent again."""
    detail: str | None = None
    """For the audit trail."""


RESPONDED: Final = Result(kind="accepted")
"""The bank gave a response to something else."""


def accepted(payment: InstantPayment, content: Mapping[str, Any] | None = None) -> Result:
    """Take the bank's payment for the instruction's, unless it was described in another way."""
    if not has_our_description(content, payment):
        reason = "the response is about another payment: $.description is not what was asked for"
        return Result(kind="in_doubt", reason=reason, detail=reason, pause=ASK_AGAIN[0])
    return Result(kind="accepted", payment=payment, detail=payment.id)


def failed(error: Exception, *, attempts: int, resuming: bool) -> Result:
    """Say what an error of a call means.

    Args:
        error: what the client raised.
        attempts: how many attempts there have been, this one included.
        resuming: whether an earlier attempt may have been executed.
    """
    detail = describe(error)
    retry_after = getattr(error, "retry_after", None)
    in_doubt = Result(kind="in_doubt", reason=detail, detail=detail, pause=nth(ASK_AGAIN, attempts))
    if isinstance(error, KeyReusedError) or (isinstance(error, InvalidRequestError) and resuming):
        # What was sent first was another request, or was valid for another version of leadpay.
        return attrs.evolve(in_doubt, may_resend=False, pause=0.0)
    if isinstance(error, RequestNotSentError | RateLimitError | AuthenticationError | ConfigurationError):
        return Result(
            kind="not_sent", reason=detail, detail=detail, pause=NOT_SENT, bank_failed=True, retry_after=retry_after
        )
    if isinstance(error, PermissionDeniedError):
        pause = nth(NOT_ALLOWED, attempts)
        return Result(kind="not_sent", reason=detail, detail=detail, bank_failed=True, pause=pause)
    if isinstance(error, APIError | InvalidRequestError):
        return Result(kind="refused", reason=detail, detail=detail)
    is_away = isinstance(error, LeadError) and not isinstance(error, MalformedResponseError)
    return attrs.evolve(in_doubt, bank_failed=is_away, retry_after=retry_after)


def read_failed(error: LeadError, *, attempts: int) -> Result:
    """Say what it means that the bank could not be asked about a payment; see :func:`failed`."""
    detail = describe(error)
    retry_after = getattr(error, "retry_after", None)
    return Result(
        kind="in_doubt",
        reason=detail,
        detail=detail,
        pause=nth(ASK_AGAIN, attempts),
        bank_failed=not isinstance(error, BadRequestError | NotFoundError | MalformedResponseError),
        retry_after=retry_after,
    )


def interrupted() -> Result:
    """Say what it means that an attempt was cancelled, or lost with its process."""
    return Result(kind="in_doubt", reason="the attempt was interrupted", detail="interrupted")


def nth(pauses: tuple[float, ...], number: int) -> float:
    """Give the n-th pause, counted from one; the last one is repeated."""
    return pauses[min(max(number, 1), len(pauses)) - 1]


def describe(error: Exception) -> str:
    """Write an error's class, status, code and request ID: no message, which may quote what was sent."""
    parts = [type(error).__name__]
    status = getattr(error, "status", None)
    if isinstance(error, APIError | MalformedResponseError) and status is not None:
        parts.append(f"HTTP {status}")
    reason = getattr(error, "reason", None)
    if isinstance(reason, str):
        parts.append(reason)
    for name in ("code", "request_id"):
        value = getattr(error, name, None)
        if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


_LONGEST: Final = 100
