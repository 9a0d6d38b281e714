"""What is repeated, under which key, and what a call ends in: against a script of answers."""

import asyncio
import logging
from typing import Any

import orjson
import pytest

from leadpay.client.auth import FixedToken
from leadpay.client.outcome import Disposition, classify
from leadpay.client.requests import Request, RetrySafety
from leadpay.client.transport import Response
from leadpay.errors import (
    AuthenticationError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    UnprocessableEntityError,
)
from tests.client.script import REFUSED, SILENCE, Bank, error, payment, send


@pytest.mark.asyncio
@pytest.mark.parametrize("first", [SILENCE, REFUSED, error(429), error(500), error(502), error(409), error(408)])
async def test_a_keyed_write_is_sent_again_with_the_same_key(first: Any) -> None:
    """One key over all attempts, and one result."""
    bank = Bank(first, first, payment())
    assert (await send(bank)).id == "instant_payment_1"
    assert len(bank.sent) == 3
    assert bank.sent_keys == {"key-0"}
    assert len(bank.clock.slept) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("last", "reason"), [(SILENCE, "no answer"), (error(502), "HTTP 502"), (error(409), "HTTP 409")]
)
async def test_a_write_that_stays_unanswered_is_an_unknown_outcome(last: Any, reason: str) -> None:
    """Never a plain timeout: the error has the key, the attempts, and how to go on."""
    bank = Bank(last)
    with pytest.raises(OutcomeUnknownError) as caught:
        await send(bank, "mine")
    assert (caught.value.idempotency_key, caught.value.attempts, caught.value.reason) == ("mine", 5, reason)
    assert caught.value.operation == "send"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ([REFUSED], RequestNotSentError),
        ([error(429)], RateLimitError),
        ([SILENCE, REFUSED], OutcomeUnknownError),
        ([SILENCE, error(429)], OutcomeUnknownError),
        ([error(422)], UnprocessableEntityError),
        ([SILENCE, error(422)], UnprocessableEntityError),
        ([error(401)], AuthenticationError),
        ([SILENCE, error(401)], OutcomeUnknownError),
        ([error(302)], LeadError),
    ],
)
async def test_what_a_write_ends_in_says_whether_it_may_have_happened(
    script: list[Any], wanted: type[LeadError]
) -> None:
    """Surely not, surely refused, or unknown: each has its class, and each carries the key."""
    bank = Bank(*script)
    with pytest.raises(wanted) as caught:
        await send(bank)
    assert caught.value.idempotency_key == "key-0"


@pytest.mark.asyncio
async def test_a_read_is_repeated_and_ends_in_its_own_errors() -> None:
    """Nothing can have happened, so nothing is unknown."""
    with pytest.raises(NoAnswerError) as silent:
        await Bank(SILENCE).payments.retrieve("instant_payment_1")
    assert silent.value.attempts == 5
    with pytest.raises(ServerError) as failed:
        await Bank(error(500)).payments.retrieve("instant_payment_1")
    assert (failed.value.attempts, failed.value.idempotency_key) == (5, None)
    available = Bank(SILENCE, {"available": True, "routing_number": "111000111"})
    assert (await available.payments.check_availability("111000111")).available


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("first", "wanted"),
    [(SILENCE, NoAnswerError), (error(502), ServerError), (error(429), RequestNotSentError)],
)
async def test_a_read_that_was_out_is_not_called_unsent_for_a_later_attempt(
    first: Any, wanted: type[LeadError]
) -> None:
    """Only where the bank surely did nothing may the end say so."""
    bank = Bank(first, REFUSED)
    with pytest.raises(wanted) as caught:
        await bank.payments.retrieve("instant_payment_1")
    assert (type(caught.value), getattr(caught.value, "attempts", None)) == (wanted, 5)


@pytest.mark.asyncio
async def test_retry_after_is_never_undercut_and_gives_up_where_it_is_too_long() -> None:
    """Seconds or a date, as the bank likes."""
    bank = Bank(error(429, {"Retry-After": "7"}), payment())
    await send(bank)
    assert bank.clock.slept == [7.0]
    bank = Bank(error(429, {"Retry-After": "61"}), payment())
    with pytest.raises(RateLimitError) as caught:
        await send(bank)
    assert (caught.value.retry_after, bank.clock.slept) == (61.0, [])


@pytest.mark.asyncio
async def test_an_unreadable_yes_is_malformed_and_carries_the_key() -> None:
    """Money may have moved: the body is kept, the paths are named, and it is not sent again."""
    cases = {
        b"<html>": "$",
        b'{"id": null}': "$.id",
        orjson.dumps(payment(amount=12.7)): "$.amount",
        b"": "$",
    }
    for body, path in cases.items():
        bank = Bank(Response(200, {}, body))
        with pytest.raises(MalformedResponseError) as caught:
            await send(bank)
        assert path in [problem.parameter for problem in caught.value.problems]
        assert (caught.value.idempotency_key, caught.value.body, len(bank.sent)) == ("key-0", body, 1)
    with pytest.raises(MalformedResponseError, match="larger than"):
        await send(Bank(Response(200, {}, None)))


@pytest.mark.asyncio
async def test_an_error_answer_of_any_form_is_read_leniently() -> None:
    """A number for a status, a list for a body, no body: an error of ours all the same."""
    for body in (b"", b"[]", b"<html>", b'{"status": 403, "code": 5}', None):
        with pytest.raises(LeadError) as caught:
            await send(Bank(Response(403, {"X-Request-Id": "req_1"}, body)))
        assert str(caught.value).startswith("request req_1: HTTP 403")


@pytest.mark.asyncio
async def test_a_cancelled_write_leaves_its_key_behind(caplog: pytest.LogCaptureFixture) -> None:
    """On the CancelledError and in the log, since the answer is lost; a read leaves nothing."""
    started = asyncio.Event()

    async def hang(request: Request, token: str | None, left: float) -> Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    bank = Bank(payment())
    bank.caller._send = hang
    for call, notes in ((send(bank, "mine"), 1), (bank.payments.retrieve("instant_payment_1"), 0)):
        started.clear()
        task = asyncio.ensure_future(call)
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert len(getattr(caught.value, "__notes__", [])) == notes
    assert "idempotency_key='mine'" in caplog.text


@pytest.mark.asyncio
async def test_nothing_personal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at DEBUG, through success, silence, refusal and an unreadable answer."""
    caplog.set_level(logging.DEBUG, "leadpay")
    for script in ([SILENCE, payment()], [error(422, detail="Canary")], [Response(200, {}, b'"Canary"')], [error(500)]):
        bank = Bank(*script, tokens=FixedToken("secret-token"))
        results = await asyncio.gather(send(bank), return_exceptions=True)
        assert "Canary" not in f"{results!r}{results}"
    assert "POST /v1/instant_payments -> 200" in caplog.text
    for canary in ("Canary", "5353535353", "secret-token"):
        assert canary not in caplog.text


@pytest.mark.parametrize(
    ("status", "kind", "verdict"),
    [
        (200, RetrySafety.SAFE, Disposition.DONE),
        (299, RetrySafety.IDEMPOTENT, Disposition.DONE),
        (302, RetrySafety.SAFE, Disposition.BARRED),
        (403, RetrySafety.IDEMPOTENT, Disposition.BARRED),
        (400, RetrySafety.IDEMPOTENT, Disposition.REFUSED),
        (401, RetrySafety.IDEMPOTENT, Disposition.UNAUTHORIZED),
        (409, RetrySafety.IDEMPOTENT, Disposition.UNKNOWN),
        (409, RetrySafety.IDEMPOTENT_EXCLUSIVE, Disposition.REFUSED),
        (409, RetrySafety.SAFE, Disposition.REFUSED),
        (429, RetrySafety.IDEMPOTENT, Disposition.NOT_DONE),
        (500, RetrySafety.SAFE, Disposition.UNKNOWN),
        (599, RetrySafety.VERIFY_FIRST, Disposition.UNKNOWN),
    ],
)
def test_a_status_is_judged_by_operation(status: int, kind: RetrySafety, verdict: Disposition) -> None:
    """Not by status alone."""
    assert classify(status, kind) is verdict
