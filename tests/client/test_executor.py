"""Which attempt is repeated, with which key, and which error a call ends in."""

import asyncio
import logging
from email.utils import formatdate
from typing import Any

import orjson
import pytest

from leadpay.client.auth import FixedToken
from leadpay.client.requests import Request
from leadpay.client.transport import Response
from leadpay.errors import (
    AuthenticationError,
    BadRequestError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    UnprocessableEntityError,
)
from leadpay.instrumentation import AttemptEnded, AttemptStarted, CallEnded, CallStarted, Observation
from tests.support.scripted_transport import (
    NO_ANSWER,
    NOT_SENT,
    NOW,
    Bank,
    error,
    payment,
    send,
)

SEND = "POST /v1/instant_payments"
HTML = b"<html><h1>502 Bad Gateway</h1></html>"


@pytest.mark.asyncio
@pytest.mark.parametrize("first", [NO_ANSWER, NOT_SENT, error(429), error(500), error(502), error(409), error(408)])
async def test_a_keyed_write_is_sent_again_with_the_same_key(first: Any) -> None:
    """One key over all attempts, and one result."""
    bank = Bank(first, first, payment())
    assert (await send(bank)).id == "instant_payment_1"
    assert len(bank.sent) == 3
    assert bank.sent_keys == {"key-0"}
    assert len(bank.clock.slept) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("last", "reason"), [(NO_ANSWER, "no response"), (error(502), "HTTP 502"), (error(409), "HTTP 409")]
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
        ([NOT_SENT], RequestNotSentError),
        ([error(429)], RateLimitError),
        ([NO_ANSWER, NOT_SENT], OutcomeUnknownError),
        ([NO_ANSWER, error(429)], OutcomeUnknownError),
        ([error(422)], UnprocessableEntityError),
        ([NO_ANSWER, error(422)], UnprocessableEntityError),
        ([error(401)], AuthenticationError),
        ([NO_ANSWER, error(401)], OutcomeUnknownError),
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
        await Bank(NO_ANSWER).payments.retrieve("instant_payment_1")
    assert silent.value.attempts == 5
    with pytest.raises(ServerError) as failed:
        await Bank(error(500)).payments.retrieve("instant_payment_1")
    assert (failed.value.attempts, failed.value.idempotency_key) == (5, None)
    available = Bank(NO_ANSWER, {"available": True, "routing_number": "111000111"})
    assert (await available.payments.check_availability("111000111")).available


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("first", "wanted"),
    [(NO_ANSWER, NoAnswerError), (error(502), ServerError), (error(429), RequestNotSentError)],
)
async def test_a_read_that_was_out_is_not_called_unsent_for_a_later_attempt(
    first: Any, wanted: type[LeadError]
) -> None:
    """Only where the bank surely did nothing may the end say so."""
    bank = Bank(first, NOT_SENT)
    with pytest.raises(wanted) as caught:
        await bank.payments.retrieve("instant_payment_1")
    assert type(caught.value) is wanted
    assert bank.clock.time == pytest.approx(NOW + 60, abs=1)


@pytest.mark.asyncio
async def test_retry_after_is_never_undercut_and_gives_up_where_it_is_too_long() -> None:
    """Seconds or a date, as the bank likes."""
    bank = Bank(error(429, {"Retry-After": "7"}), payment())
    await send(bank)
    assert bank.clock.slept == [7.125]
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
async def test_an_error_response_of_any_form_is_read_leniently() -> None:
    """A number for a status, a list for a body, no body: an error of ours all the same."""
    for body in (b'{"code": "a"}', b'{"status": 403, "code": 5, "title": "a"}', b'{"detail": "a", "instance": []}'):
        with pytest.raises(PermissionDeniedError) as caught:
            await send(Bank(Response(403, {"X-Request-Id": "req_1"}, body)))
        assert str(caught.value).startswith("request req_1: HTTP 403")
    foreign = (b"", b"[]", b"<html>", b'{"message": "Forbidden"}', b'{"code": 5}', b'{"code": "a', None)
    for body in foreign:  # type: ignore[assignment] # it may be None here
        with pytest.raises(OutcomeUnknownError, match="HTTP 403"):
            await send(Bank(Response(403, {}, body)))
        with pytest.raises(NoAnswerError) as read:
            await Bank(Response(403, {"Content-Type": "text/html; x=y"}, body)).payments.retrieve("instant_payment_1")
        assert (read.value.status, read.value.content_type) == (403, "text/html")
        assert read.value.body_start == (body or b"")


@pytest.mark.asyncio
async def test_a_cancelled_write_leaves_its_key_behind(caplog: pytest.LogCaptureFixture) -> None:
    """On the CancelledError and in the log, since the response is lost; a read leaves nothing."""
    started = asyncio.Event()

    async def hang(request: Request, token: str | None, left: float) -> Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    bank = Bank(payment())
    bank.send = hang  # type: ignore[method-assign]
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
    """Not even at DEBUG, through success, silence, refusal and an unreadable response."""
    caplog.set_level(logging.DEBUG, "leadpay")
    for script in (
        [NO_ANSWER, payment()],
        [error(422, detail="Canary")],
        [Response(200, {}, b'"Canary"')],
        [error(500)],
    ):
        bank = Bank(*script, tokens=FixedToken("secret-token"))
        results = await asyncio.gather(send(bank), return_exceptions=True)
        assert "Canary" not in f"{results!r}{results}"
    assert "POST /v1/instant_payments -> 200" in caplog.text
    for canary in ("Canary", "5353535353", "secret-token"):
        assert canary not in caplog.text


async def renewing(rejected: str | None) -> str:
    """A provider that always has another token."""
    return f"{rejected or 'token'}x"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ([(409, {})], OutcomeUnknownError),
        ([(500, {})], OutcomeUnknownError),
        ([(502, HTML, {"Content-Type": "text/html"})], OutcomeUnknownError),
        (["drop"], OutcomeUnknownError),
        (["drop", (429, {})], OutcomeUnknownError),
        (["drop and leave"], OutcomeUnknownError),
        (["drop", (401, {})], OutcomeUnknownError),
        (["drop", (403, {"code": "source_ip_not_allowed", "status": 403})], OutcomeUnknownError),
        (["drop", (307, {}, {"Location": "/x"})], OutcomeUnknownError),
        (["drop", (422, {})], UnprocessableEntityError),
        (["drop", (400, {})], BadRequestError),
        ([(429, {})], RateLimitError),
        ([(401, {})], AuthenticationError),
        ([(403, {})], PermissionDeniedError),
        ([(200, HTML)], MalformedResponseError),
        (["drop", (200, {"id": 7})], MalformedResponseError),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde"], OutcomeUnknownError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n"], OutcomeUnknownError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], OutcomeUnknownError),
        ([b"\x00\xff not HTTP at all \r\n\r\n"], OutcomeUnknownError),
        ([b"HTTP/1.1 999999 X\r\n\r\n"], OutcomeUnknownError),
        ([b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff=;;;=\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"], OutcomeUnknownError),
    ],
)
async def test_every_end_of_a_write_has_its_own_class_and_the_one_key(
    script: list[Any], wanted: type[LeadError], new_bank: Any, send: Any
) -> None:
    """A response before the key was read (401, 403, a redirect) says nothing about earlier attempts; 400 and 422 do."""
    bank = await new_bank(*script)
    async with bank.client(token=renewing) as lead:
        with pytest.raises(wanted) as caught:
            await send(lead)
    assert caught.value.idempotency_key == "key-1"
    assert bank.keys == {"key-1"}
    assert set(bank.lines) == {SEND}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "first", ["drop", (409, {}), (429, {}), (500, {}), (502, HTML), (408, {}), b"HTTP/1.1 200 OK\r\n"]
)
async def test_what_helps_to_repeat_is_repeated_under_the_same_key(
    first: Any, new_bank: Any, send: Any, payment: Any
) -> None:
    """Silence, in progress, too many, the bank's fault: then the first response comes back."""
    bank = await new_bank(first, first, first, (200, payment()))
    async with bank.client() as lead:
        assert (await send(lead, "mine")).id == "instant_payment_1"
    assert (bank.lines, bank.keys) == ([SEND] * 4, {"mine"})


@pytest.mark.asyncio
async def test_closing_under_a_write_leaves_its_outcome_unknown(new_bank: Any, send: Any) -> None:
    """It went out; that the session is gone afterwards doesn't take it back."""
    bank = await new_bank("hang")
    lead = bank.client()
    waiting = asyncio.create_task(send(lead, "mine"))
    await bank.arrived.wait()
    await lead.aclose()
    with pytest.raises(OutcomeUnknownError) as caught:
        await waiting
    assert caught.value.idempotency_key == "mine"


@pytest.mark.asyncio
async def test_a_cancelled_write_names_its_key(
    new_bank: Any, send: Any, payment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On the CancelledError and in a warning, and the key gives the one payment."""
    bank = await new_bank("hang", (200, payment()))
    async with bank.client() as lead:
        task = asyncio.create_task(send(lead))
        await bank.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert any("key-1" in note for note in caught.value.__notes__)
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any("send" in text and "key-1" in text for text in warnings)
        await send(lead, "key-1")
    assert bank.keys == {"key-1"}


@pytest.mark.asyncio
@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_obeyed_in_seconds_and_as_a_date(
    as_date: bool, new_bank: Any, send: Any, payment: Any
) -> None:
    """The pause is never shorter than asked; one that doesn't fit into the deadline ends the call at once."""
    bank = await new_bank(None)
    for wait, fits in ((9, True), (61, False)):
        asked = formatdate(NOW + wait, usegmt=True) if as_date else str(wait)
        bank.clock.slept.clear()
        bank.clock.time = NOW
        bank.script = [(429, {}, {"Retry-After": asked}), (200, payment())]
        async with bank.client() as lead:
            if fits:
                await send(lead)
                assert bank.clock.slept == [9.125]
            else:
                with pytest.raises(RateLimitError) as caught:
                    await send(lead)
                assert (caught.value.retry_after, bank.clock.slept) == (61.0, [])


@pytest.mark.asyncio
async def test_a_yes_that_cannot_be_read_names_the_paths_and_keeps_the_body(
    new_bank: Any, send: Any, payment: Any
) -> None:
    """It is not sent again, since it happened."""
    bank = await new_bank((200, payment(amount=12.5, creditor={"name": 7}, status=None)))
    async with bank.client() as lead:
        with pytest.raises(MalformedResponseError) as caught:
            await send(lead)
    named = {problem.parameter for problem in caught.value.problems}
    assert {"$.amount", "$.creditor.name", "$.status"} <= named
    assert caught.value.body.startswith(b'{"id":"instant_payment_1"')
    assert "Canary" not in str(caught.value)
    assert len(bank.requests) == 1


@pytest.mark.asyncio
async def test_a_call_is_told_with_all_its_attempts(new_bank: Any, send: Any, payment: Any) -> None:
    """Silence, a server's error, the payment: three attempts of one call, in order, and nothing personal."""
    observations: list[Observation] = []
    bank = await new_bank("drop", (503, {}), (200, payment(), {"X-Request-Id": "r-3"}))
    async with bank.client(observer=observations.append) as lead:
        paid = await send(lead, "mine")
    assert [type(one) for one in observations] == [
        CallStarted,
        *[AttemptStarted, AttemptEnded] * 3,
        CallEnded,
    ]
    assert observations[0] == CallStarted("send", "POST", "/v1/instant_payments", "mine", bank.url)
    tries = [observation for observation in observations if isinstance(observation, AttemptEnded)]
    assert [(one.started.number, one.status, one.error, one.request_id) for one in tries] == [
        (1, None, "NoAnswerError", None),
        (2, 503, None, None),
        (3, 200, None, "r-3"),
    ]
    assert all(one.started.call is observations[0] for one in tries)
    ended = observations[-1]
    assert isinstance(ended, CallEnded)
    assert ended[:5] == (observations[0], 3, None, False, paid.id)
    assert paid.creditor.account_number not in repr(observations)


@pytest.mark.asyncio
async def test_an_unknown_outcome_is_told_as_such(new_bank: Any, send: Any) -> None:
    """It is the observation to page a person for."""
    observations: list[Observation] = []
    bank = await new_bank("drop")
    async with bank.client(observer=observations.append) as lead:
        with pytest.raises(OutcomeUnknownError) as caught:
            await send(lead, "mine")
    ended = observations[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.attempts, ended.error, ended.outcome_unknown, ended.payment_id) == (
        caught.value.attempts,
        "OutcomeUnknownError",
        True,
        None,
    )


@pytest.mark.asyncio
async def test_a_write_cancelled_on_its_way_is_an_unknown_outcome(new_bank: Any, send: Any) -> None:
    """A read that is cancelled is not."""
    observations: list[Observation] = []
    bank = await new_bank("hang")
    async with bank.client(observer=observations.append) as lead:
        for call in (send(lead, "mine"), lead.instant_payments.retrieve("instant_payment_1")):
            bank.arrived.clear()
            task = asyncio.create_task(call)
            await bank.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    ends = [observation for observation in observations if isinstance(observation, CallEnded)]
    assert [(one.error, one.outcome_unknown) for one in ends] == [("CancelledError", True), ("CancelledError", False)]


@pytest.mark.asyncio
async def test_a_token_is_a_call_of_its_own(new_bank: Any) -> None:
    """RecordedTelemetry in between, without its secret."""
    observations: list[Observation] = []
    bank = await new_bank((200, {"access_token": "t0ken", "token_type": "Bearer"}), (404, {}), (404, {}))
    async with bank.client(client_id="me", client_secret="s3cret", observer=observations.append) as lead:
        with pytest.raises(NotFoundError):
            await lead.instant_payments.retrieve("instant_payment_1")
    assert [one.operation for one in observations if isinstance(one, CallStarted)] == [
        "retrieve",
        "token",
    ]
    assert "s3cret" not in repr(observations)
    assert "t0ken" not in repr(observations)


@pytest.mark.asyncio
async def test_an_observer_that_fails_harms_no_payment(
    new_bank: Any, send: Any, payment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged by its class, and the payment goes out."""

    def observe(observation: Observation) -> None:
        raise ValueError("canary")

    bank = await new_bank((200, payment()))
    async with bank.client(observer=observe) as lead:
        await send(lead)
    assert "the observer failed on CallStarted: ValueError" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.asyncio
async def test_logs_hold_nothing_personal_and_no_secret(
    new_bank: Any, send: Any, payment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, of every logger, through success, silence, refusal, nonsense and a renewal."""
    caplog.set_level(logging.DEBUG)
    issued = (200, {"access_token": "canary-token", "expires_in": 60})
    problem = {"code": "x", "detail": "Canary Person", "invalid_parameters": [{"parameter": "a", "reason": "Canary"}]}
    lines: list[Any] = [(200, payment()), (422, problem), (200, b"Canary"), (401, problem), "drop", (500, problem)]
    for line in lines:
        bank = await new_bank(issued, line, issued, (200, payment()))
        async with bank.client(client_id="me", client_secret="canary-secret") as lead:
            try:
                await send(lead)
            except LeadError as error:
                assert "anary" not in f"{error!s}{error!r}"  # noqa: PT017 - not every line ends in an error
    assert "POST /v1/instant_payments -> 422 (attempt 1" in caplog.text
    for canary in ("Canary", "4242424242", "canary-token", "canary-secret"):
        assert canary not in caplog.text
