"""What each status means for each kind of operation, and which error a call ends in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.client.outcome import CallState, Disposition, classify
from leadpay.client.requests import Request, RetrySafety
from leadpay.errors import (
    APIError,
    LeadError,
    NoAnswerError,
    OutcomeUnknownError,
    RequestNotSentError,
)

WRITES = (RetrySafety.IDEMPOTENT, RetrySafety.IDEMPOTENT_EXCLUSIVE, RetrySafety.VERIFY_FIRST)


@pytest.mark.parametrize("kind", RetrySafety)
def test_every_status_has_a_disposition(kind: RetrySafety) -> None:
    """The bank's fault and a timeout are never a refusal."""
    found = {status: classify(status, kind) for status in range(300, 600)}
    assert {found[status] for status in (408, *range(500, 600))} == {Disposition.AMBIGUOUS}
    assert {found[status] for status in (*range(300, 400), 403, 404, 405, 413)} == {Disposition.NOT_ADMITTED}
    assert (found[401], found[429]) == (Disposition.UNAUTHORIZED, Disposition.NOT_EXECUTED)
    assert {found[status] for status in (400, 422)} == {Disposition.REFUSED}


def test_a_conflict_is_in_progress_only_where_the_key_is_the_only_reason() -> None:
    """On request_return another request may be active, and elsewhere the bank's pages know no conflict."""
    assert {kind: classify(409, kind) for kind in RetrySafety} == {
        RetrySafety.SAFE: Disposition.REFUSED,
        RetrySafety.IDEMPOTENT: Disposition.AMBIGUOUS,
        RetrySafety.IDEMPOTENT_EXCLUSIVE: Disposition.CONFLICT,
        RetrySafety.VERIFY_FIRST: Disposition.REFUSED,
    }


@given(
    kind=st.sampled_from(WRITES),
    unknown=st.booleans(),
    last=st.sampled_from([NoAnswerError, RequestNotSentError, 401, 403, 429, 502]),
    count=st.integers(min_value=0, max_value=9),
)
def test_a_write_that_may_have_happened_ends_in_nothing_but_an_unknown_outcome(
    kind: RetrySafety, unknown: bool, last: type[LeadError] | int, count: int
) -> None:
    """And every end of a write has its key."""
    state = CallState(Request("send", kind, "POST", "/", b"{}", "mine"), 0.0)
    state.ambiguous_error, state.attempts = NoAnswerError() if unknown else None, count
    state.error = APIError.of(last) if isinstance(last, int) else last()
    ended = state.final_error()
    assert isinstance(ended, OutcomeUnknownError) is unknown
    assert ended.idempotency_key == "mine"


def test_a_read_is_never_unknown() -> None:
    """It changed nothing."""
    state = CallState(Request("retrieve", RetrySafety.SAFE, "GET", "/"), 0.0)
    state.error = state.ambiguous_error = NoAnswerError()
    state.attempts = 3
    ended = state.sign(state.final_error())
    assert isinstance(ended, NoAnswerError)
    assert (ended.idempotency_key, ended.attempts) == (None, 3)


@pytest.mark.parametrize(
    ("status", "kind", "disposition"),
    [
        (302, RetrySafety.SAFE, Disposition.NOT_ADMITTED),
        (403, RetrySafety.IDEMPOTENT, Disposition.NOT_ADMITTED),
        (400, RetrySafety.IDEMPOTENT, Disposition.REFUSED),
        (401, RetrySafety.IDEMPOTENT, Disposition.UNAUTHORIZED),
        (409, RetrySafety.IDEMPOTENT, Disposition.AMBIGUOUS),
        (409, RetrySafety.IDEMPOTENT_EXCLUSIVE, Disposition.CONFLICT),
        (409, RetrySafety.SAFE, Disposition.REFUSED),
        (429, RetrySafety.IDEMPOTENT, Disposition.NOT_EXECUTED),
        (500, RetrySafety.SAFE, Disposition.AMBIGUOUS),
        (599, RetrySafety.VERIFY_FIRST, Disposition.AMBIGUOUS),
    ],
)
def test_a_status_is_judged_by_operation(status: int, kind: RetrySafety, disposition: Disposition) -> None:
    """Not by status alone."""
    assert classify(status, kind) is disposition
