"""The states of an idempotency key."""

import pytest

from leadpay.sandbox.idempotency import IdempotencyKeys, StoredResponse
from leadpay.sandbox.problems import ApiProblem

DONE = StoredResponse(200, b"{}")


@pytest.fixture
def keys() -> IdempotencyKeys:
    return IdempotencyKeys()


def test_a_finished_key_gives_its_response_again(keys: IdempotencyKeys) -> None:
    """The request is not new a second time."""
    assert keys.begin("k", "request") is None
    keys.finish("k", DONE, 100.0)
    assert keys.begin("k", "request") == DONE


def test_a_key_in_progress_conflicts(keys: IdempotencyKeys) -> None:
    """The same request gets 409 until the first one has ended."""
    keys.begin("k", "request")
    with pytest.raises(ApiProblem, match="409 request_in_progress"):
        keys.begin("k", "request")


def test_a_key_belongs_to_one_request(keys: IdempotencyKeys) -> None:
    """Another request gets 422, whether the first is in progress or finished."""
    keys.begin("k", "request")
    with pytest.raises(ApiProblem, match="422 idempotency_error"):
        keys.begin("k", "another")
    keys.finish("k", DONE, 100.0)
    with pytest.raises(ApiProblem, match="422 idempotency_error"):
        keys.begin("k", "another")


def test_an_error_frees_the_key(keys: IdempotencyKeys) -> None:
    """Another request can use it."""
    keys.begin("k", "request")
    keys.finish("k", StoredResponse(400, b""), 100.0)
    assert keys.begin("k", "another") is None


def test_a_key_has_an_age_once_it_is_finished(keys: IdempotencyKeys) -> None:
    """A key that is forgotten can be used for another request."""
    assert keys.age("k", 105.0) < 0
    keys.begin("k", "request")
    assert keys.age("k", 105.0) < 0
    keys.finish("k", DONE, 100.0)
    assert keys.age("k", 105.0) == 5
    keys.forget("k")
    assert keys.begin("k", "another") is None
