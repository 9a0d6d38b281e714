"""What every status there is means for every kind of operation, and what a call ends in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadpay.client.attempts import Attempts, Verdict, judge
from leadpay.client.requests import Kind, Request
from leadpay.errors import APIError, LeadError, NoAnswerError, OutcomeUnknownError, RequestNotSentError

WRITES = (Kind.KEYED, Kind.EXCLUSIVE, Kind.SETTLED)


@pytest.mark.parametrize("kind", Kind)
def test_every_status_has_a_verdict(kind: Kind) -> None:
    """Success is 2xx alone; the bank's fault and a timeout are never a refusal."""
    verdicts = {status: judge(status, kind) for status in range(300, 600)}
    assert {judge(status, kind) for status in range(200, 300)} == {Verdict.DONE}
    assert Verdict.DONE not in verdicts.values()
    assert {verdicts[status] for status in (408, *range(500, 600))} == {Verdict.UNKNOWN}
    assert {verdicts[status] for status in (*range(300, 400), 403)} == {Verdict.BARRED}
    assert (verdicts[401], verdicts[429]) == (Verdict.UNAUTHORIZED, Verdict.NOT_DONE)
    assert {verdicts[status] for status in (400, 404, 422)} == {Verdict.REFUSED}


def test_a_conflict_is_in_progress_only_where_the_key_is_the_only_reason() -> None:
    """On request_return another request may be active, and elsewhere the bank's pages know no conflict."""
    assert {kind: judge(409, kind) for kind in Kind} == {
        Kind.READ: Verdict.REFUSED,
        Kind.KEYED: Verdict.UNKNOWN,
        Kind.EXCLUSIVE: Verdict.REFUSED,
        Kind.SETTLED: Verdict.REFUSED,
    }


@given(
    kind=st.sampled_from(WRITES),
    unknown=st.booleans(),
    last=st.sampled_from([NoAnswerError, RequestNotSentError, 401, 403, 429, 502]),
    count=st.integers(min_value=0, max_value=9),
)
def test_a_write_that_may_have_happened_ends_in_nothing_but_an_unknown_outcome(
    kind: Kind, unknown: bool, last: type[LeadError] | int, count: int
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
    attempts = Attempts(Request("retrieve", Kind.READ, "GET", "/"), 0.0)
    attempts.error = attempts.doubt = NoAnswerError()
    attempts.count = 3
    ended = attempts.final()
    assert isinstance(ended, NoAnswerError)
    assert (ended.idempotency_key, ended.attempts) == (None, 3)
