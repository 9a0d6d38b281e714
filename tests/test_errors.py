"""The exception tree: what each error says, keeps, and never shows."""

import copy
import inspect
import pickle
from typing import Any

import pytest

from leadpay import errors
from leadpay.errors import (
    APIError,
    InvalidParameter,
    InvalidRequestError,
    LeadError,
    MalformedEventError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    Problem,
    RequestNotSentError,
    ServerError,
    SignatureError,
)

PROBLEM = {
    "code": "invalid",
    "title": "Invalid",
    "detail": "Ada Byron cannot be paid",
    "instance": "/v1/x",
    "invalid_parameters": [{"parameter": "creditor.name", "reason": "too long"}, {"parameter": None}, "junk"],
}

EXAMPLES: list[LeadError] = [
    errors.ConfigurationError("client_id: is missing"),
    InvalidRequestError([Problem("amount", "must be an int")], operation="send", idempotency_key="k1"),
    RequestNotSentError("no connection", attempts=3, idempotency_key="k1"),
    NoAnswerError(attempts=2),
    OutcomeUnknownError("send", attempts=2, idempotency_key="k1", reason="HTTP 502"),
    *[
        APIError.of(status, PROBLEM, request_id="r1", retry_after=1.5, attempts=2, idempotency_key="k1")
        for status in (400, 401, 403, 404, 409, 418, 422, 429, 500, 599)
    ],
    MalformedResponseError([Problem("$.id", "must be a string")], body={"id": None}, status=201, idempotency_key="k1"),
    SignatureError("too_old"),
    MalformedEventError([Problem("$", "must be JSON")]),
    errors.RouterError("module:handler: no"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: LeadError) -> None:
    """An error that crosses a process keeps its class, text and every attribute."""
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own pickle
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """Each class stands in the drawing below its parent, and the drawing names no other."""
    drawing = (errors.__doc__ or "").partition("::")[2]
    path: list[str] = []
    drawn = {}
    for line in drawing.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2 - 2, line.split(" ")[len(line) - len(line.lstrip(" "))]
        if name.endswith("Error"):
            path[depth:] = [name]
            drawn[name] = path[depth - 1] if depth else "Exception"
    classes = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, LeadError)}
    assert drawn == {name: cls.__base__.__name__ if cls.__base__ else "" for name, cls in classes.items()}
    assert issubclass(InvalidRequestError, ValueError)


def test_without_a_message_the_class_says_what_it_is() -> None:
    """An error raised without a message uses its docstring's first line."""
    assert str(NoAnswerError()).startswith("A read got no response")
    assert str(RequestNotSentError()).startswith("The request was not executed")


def test_a_class_without_a_docstring_still_works() -> None:
    """A subclass of the user's needs no docstring."""

    class MineError(LeadError):
        pass

    assert str(MineError()) == ""
    assert MineError().idempotency_key is None


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (418, "APIError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (499, "APIError"),
        (500, "ServerError"),
        (503, "ServerError"),
    ],
)
def test_each_status_has_its_class(status: int, name: str) -> None:
    """APIError.of picks the class for a status, and the general one for statuses without any."""
    assert type(APIError.of(status)).__name__ == name


def test_an_api_error_keeps_all_that_the_bank_said() -> None:
    """Every field is an attribute; entries that are not objects are dropped."""
    error = APIError.of(422, PROBLEM, request_id="r1", retry_after=2.0, attempts=3, idempotency_key="k1")
    assert (error.status, error.code, error.title, error.instance) == (422, "invalid", "Invalid", "/v1/x")
    assert error.detail == "Ada Byron cannot be paid"
    assert error.invalid_parameters == (InvalidParameter("creditor.name", "too long"), InvalidParameter(None, None))
    assert (error.request_id, error.retry_after, error.attempts) == ("r1", 2.0, 3)
    assert error.idempotency_key == "k1"
    assert str(error) == "request r1: HTTP 422 invalid (creditor.name)"


@pytest.mark.parametrize("problem", [None, {}, {"code": 7, "detail": ["x"], "invalid_parameters": "all"}])
def test_any_field_of_an_error_response_may_be_missing_or_wrong(problem: Any) -> None:
    """An error response never causes another error."""
    error = ServerError(502, problem)
    assert (error.code, error.detail, error.invalid_parameters) == (None, None, ())
    assert str(error) == "HTTP 502"


def test_what_the_bank_quotes_is_not_in_the_text() -> None:
    """The detail can hold names, so neither str nor repr shows it."""
    error = APIError.of(400, PROBLEM)
    assert "Ada" not in str(error) + repr(error)


def test_an_unknown_outcome_says_how_to_go_on() -> None:
    """The text has the key, and forbids a new one."""
    error = OutcomeUnknownError("send", attempts=1, idempotency_key="k1")
    assert str(error) == (
        "send may or may not have happened (no response, 1 attempt): call it again with idempotency_key='k1'; "
        "never with a new one"
    )
    assert "2 attempts" in str(OutcomeUnknownError("send", attempts=2, idempotency_key="k1"))
    assert (error.operation, error.attempts, error.reason, error.idempotency_key) == ("send", 1, "no response", "k1")


def test_problems_are_listed_by_path() -> None:
    """Refused requests and unreadable bodies list what is wrong, each in its own form."""
    problems = [Problem("amount", "must be an int"), Problem("creditor.name", "is too long")]
    assert str(InvalidRequestError(problems)) == (
        "request was not sent: amount: must be an int; creditor.name: is too long"
    )
    unreadable = MalformedResponseError(problems, body=b"x")
    assert str(unreadable) == "must be an int @ amount\nis too long @ creditor.name"
    assert (unreadable.status, unreadable.body) == (200, b"x")
    assert str(MalformedEventError(problems)) == str(unreadable)
    assert MalformedEventError(problems).problems == tuple(problems)


def test_a_signature_error_starts_with_its_reason() -> None:
    """The reason opens the text, so that logs can be searched for it."""
    assert str(SignatureError("mismatch")) == "mismatch: no signature matches the body and the secrets"
    assert SignatureError("mismatch").reason == "mismatch"
