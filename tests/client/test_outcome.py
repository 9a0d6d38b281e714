"""What every status there is means for every kind of operation, and what a call ends in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.client.outcome import Attempts, Disposition, classify
from leadpay.client.requests import Request, RetrySafety
from leadpay.errors import APIError, LeadError, NoAnswerError, OutcomeUnknownError, RequestNotSentError

WRITES = (RetrySafety.IDEMPOTENT, RetrySafety.IDEMPOTENT_EXCLUSIVE, RetrySafety.VERIFY_FIRST)


@pytest.mark.parametrize("kind", RetrySafety)
def test_every_status_has_a_verdict(kind: RetrySafety) -> None:
    """Success is 2xx alone; the bank's fault and a timeout are never a refusal."""
    verdicts = {status: classify(status, kind) for status in range(300, 600)}
    assert {classify(status, kind) for status in range(200, 300)} == {Disposition.DONE}
    assert Disposition.DONE not in verdicts.values()
    assert {verdicts[status] for status in (408, *range(500, 600))} == {Disposition.UNKNOWN}
    assert {verdicts[status] for status in (*range(300, 400), 403)} == {Disposition.BARRED}
    assert (verdicts[401], verdicts[429]) == (Disposition.UNAUTHORIZED, Disposition.NOT_DONE)
    assert {verdicts[status] for status in (400, 404, 422)} == {Disposition.REFUSED}


def test_a_conflict_is_in_progress_only_where_the_key_is_the_only_reason() -> None:
    """On request_return another request may be active, and elsewhere the bank's pages know no conflict."""
    assert {kind: classify(409, kind) for kind in RetrySafety} == {
        RetrySafety.SAFE: Disposition.REFUSED,
        RetrySafety.IDEMPOTENT: Disposition.UNKNOWN,
        RetrySafety.IDEMPOTENT_EXCLUSIVE: Disposition.REFUSED,
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
    attempts = Attempts(Request("send", kind, "POST", "/", b"{}", "mine"), 0.0)
    attempts.doubt, attempts.count = NoAnswerError() if unknown else None, count
    attempts.error = APIError.of(last) if isinstance(last, int) else last()
    ended = attempts.final()
    assert isinstance(ended, OutcomeUnknownError) is unknown
    assert ended.idempotency_key == "mine"


def test_a_read_is_never_unknown() -> None:
    """It changed nothing."""
    attempts = Attempts(Request("retrieve", RetrySafety.SAFE, "GET", "/"), 0.0)
    attempts.error = attempts.doubt = NoAnswerError()
    attempts.count = 3
    ended = attempts.final()
    assert isinstance(ended, NoAnswerError)
    assert (ended.idempotency_key, ended.attempts) == (None, 3)
