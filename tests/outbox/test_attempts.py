from typing import Any

import pytest

from leadpay.client import requests
from leadpay.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    KeyReusedError,
    LeadError,
    MalformedResponseError,
    MismatchedResponseError,
    NoAnswerError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    Problem,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    TokenError,
    UnprocessableEntityError,
)
from leadpay.outbox import attempts
from leadpay.outbox.attempts import BACKOFF, failed, nth, read_failed

PROBLEMS = [Problem("$.amount", "is not what was asked for")]
UNKNOWN_502 = "OutcomeUnknownError, HTTP 502"
UNKNOWN = OutcomeUnknownError("send", attempts=1, idempotency_key="secret-key")


@pytest.mark.parametrize(
    ("error", "kind", "bank_failed"),
    [
        (BadRequestError(400), "refused", False),
        (NotFoundError(404), "refused", False),
        (ConflictError(409), "refused", False),
        (UnprocessableEntityError(422), "refused", False),
        (InvalidRequestError(PROBLEMS), "refused", False),
        (RequestNotSentError("no route"), "not_sent", True),
        (RateLimitError(429), "not_sent", True),
        (AuthenticationError(401), "not_sent", True),
        (TokenError(400), "not_sent", True),
        (PermissionDeniedError(403), "not_sent", True),
        (ConfigurationError("closed"), "not_sent", True),
        (UNKNOWN, "in_doubt", True),
        (NoAnswerError("lost"), "in_doubt", True),
        (MalformedResponseError(PROBLEMS), "in_doubt", False),
        (MismatchedResponseError(PROBLEMS), "in_doubt", False),
        (KeyReusedError(422), "in_doubt", False),
        (ZeroDivisionError("a bug of ours"), "in_doubt", False),
    ],
)
def test_only_the_banks_own_refusal_is_one(error: Exception, kind: str, bank_failed: bool) -> None:
    """What says nothing about the payment leaves it in the queue, and the rest is in doubt."""
    result = failed(error, attempts=1, resuming=False)
    assert (result.kind, result.bank_failed) == (kind, bank_failed)
    assert result.may_resend is not isinstance(error, KeyReusedError)
    assert "secret-key" not in str(result)


def test_content_that_became_invalid_is_in_doubt_where_it_was_sent_before() -> None:
    """Another version of leadpay checks differently."""
    result = failed(InvalidRequestError(PROBLEMS), attempts=2, resuming=True)
    assert (result.kind, result.may_resend) == ("in_doubt", False)


@pytest.mark.parametrize(
    ("error", "bank_failed"),
    [(NotFoundError(404), False), (BadRequestError(400), False), (ServerError(500), True), (NoAnswerError("x"), True),
     (RateLimitError(429, retry_after=7.0), True), (MalformedResponseError(PROBLEMS), False)],
)  # fmt: skip
def test_a_read_that_fails_decides_nothing(error: LeadError, bank_failed: bool) -> None:
    """It only shows whether the bank is away."""
    result = read_failed(error, attempts=1)
    assert (result.kind, result.bank_failed, result.retry_after) == (
        "in_doubt", bank_failed, getattr(error, "retry_after", None)
    )  # fmt: skip


def test_pauses_grow_and_the_last_one_is_repeated() -> None:
    """Half an hour away is about forty attempts."""
    assert [nth((1.0, 2.0), number) for number in (0, 1, 2, 3)] == [1.0, 1.0, 2.0, 2.0]
    away, count = 0.0, 0
    while away < 1800:
        count += 1
        away += nth(BACKOFF, count)
    assert count < 45


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConflictError(409, {"code": "x"}, request_id="r"), "ConflictError, HTTP 409, code x, request_id r"),
        (OutcomeUnknownError("send", attempts=1, idempotency_key="k", reason="HTTP 502"), UNKNOWN_502),
        (ConflictError(409, {"code": "Ada\n" * 40}), "ConflictError, HTTP 409"),
        (NoAnswerError("Ada", status=405), "NoAnswerError"),
    ],
)  # fmt: skip
def test_an_error_is_described_without_its_message(error: Exception, text: str) -> None:
    """A message may quote what was sent."""
    assert attempts.describe(error) == text


def test_a_request_of_ours_knows_its_operation() -> None:
    """The names of the reasoned operations are those of instructions."""
    found: Any = [requests.RETURN.name, requests.REQUEST_RETURN.name, requests.REJECT_RETURN_REQUEST.name]
    assert found == ["return", "request_return", "reject_return_request"]
