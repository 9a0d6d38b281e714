"""What a call ends in, over real connections: what may have happened is never reported as if it had not."""

import asyncio
import gzip
import logging
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from leadpay.client.retry import RetryPolicy
from leadpay.config import Timeouts
from leadpay.errors import (
    AuthenticationError,
    BadRequestError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RequestNotSentError,
    UnprocessableEntityError,
)

SEND = "POST /v1/instant_payments"
CANCEL = "POST /v1/instant_payments/instant_payment_1/cancel"
READ = "GET /v1/instant_payments/instant_payment_1"
HTML = b"<html><h1>502 Bad Gateway</h1></html>"


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
    """An answer given at the door (401, 403, a redirect) says nothing about an earlier attempt; 400 and 422 do."""
    bank = await new_bank(*script)
    async with bank.client(token=renewing) as lead:
        with pytest.raises(wanted) as caught:
            await send(lead)
    assert caught.value.idempotency_key == "key-1"
    assert bank.keys == {"key-1"}
    assert set(bank.lines) == {SEND}
    assert len(bank.requests) <= 5


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "first", ["drop", (409, {}), (429, {}), (500, {}), (502, HTML), (408, {}), b"HTTP/1.1 200 OK\r\n"]
)
async def test_what_helps_to_repeat_is_repeated_under_the_same_key(
    first: Any, new_bank: Any, send: Any, payment: Any
) -> None:
    """Silence, in progress, too many, the bank's fault: then the first answer comes back."""
    bank = await new_bank(first, first, first, (200, payment()))
    async with bank.client() as lead:
        assert (await send(lead, "mine")).id == "instant_payment_1"
    assert (bank.lines, bank.keys) == ([SEND] * 4, {"mine"})


@pytest.mark.asyncio
async def test_a_refused_token_that_comes_back_ends_in_an_error(new_bank: Any, send: Any) -> None:
    """One request for a token after the refusal, and no second attempt with the same one."""
    issued = (200, {"access_token": "same", "token_type": "Bearer", "expires_in": 86_400})
    bank = await new_bank(issued, (401, {}), issued, (500, {"detail": "a loop"}))
    async with bank.client(client_id="me", client_secret="s3cret") as lead:
        with pytest.raises(AuthenticationError) as caught:
            await send(lead)
    assert bank.lines == ["POST /v1/oauth/token", SEND, "POST /v1/oauth/token"]
    assert caught.value.idempotency_key == "key-1"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("drop", RequestNotSentError),
        ((500, {}), RequestNotSentError),
        ((200, HTML), RequestNotSentError),
        ((200, {"access_token": "two\nlines"}), RequestNotSentError),
        ((401, {"code": "invalid_client"}), AuthenticationError),
        ((400, {}), BadRequestError),
        ((429, {}), RateLimitError),
    ],
)
async def test_without_a_token_a_write_surely_has_not_happened(
    line: Any, wanted: type[LeadError], new_bank: Any, send: Any
) -> None:
    """And the write's key is on the error, and the secret is nowhere."""
    bank = await new_bank(line)
    async with bank.client(client_id="me", client_secret="s3cret") as lead:
        with pytest.raises(wanted) as caught:
            await send(lead, "mine")
    assert set(bank.lines) == {"POST /v1/oauth/token"}
    assert caught.value.idempotency_key == "mine"
    assert "s3cret" not in f"{caught.value!s}{caught.value!r}{lead!r}"


@pytest.mark.asyncio
async def test_a_renewal_that_fails_after_silence_leaves_the_outcome_unknown(new_bank: Any, send: Any) -> None:
    """The first attempt may have happened, whatever the token endpoint says now."""
    failures: list[Any] = ["drop", (401, {}), (500, {})]
    for failure in failures:
        issued = (200, {"access_token": "first", "expires_in": 3600})
        bank = await new_bank(issued, "drop", (401, {}), failure)
        async with bank.client(client_id="me", client_secret="s3cret") as lead:
            with pytest.raises(OutcomeUnknownError) as caught:
                await send(lead)
        assert (caught.value.idempotency_key, caught.value.attempts) == ("key-1", 2)
        assert bank.lines[:4] == ["POST /v1/oauth/token", SEND, SEND, "POST /v1/oauth/token"]


@pytest.mark.asyncio
async def test_closing_while_a_token_is_on_its_way_is_an_error_and_no_cancellation(new_bank: Any, send: Any) -> None:
    """Nobody cancelled the one who waits, so a task group must hear of it."""
    bank = await new_bank("hang")
    lead = bank.client(client_id="me", client_secret="s3cret")
    waiting = asyncio.create_task(send(lead, "mine"))
    await bank.arrived.wait()
    await lead.aclose()
    with pytest.raises(RequestNotSentError) as caught:
        await waiting
    assert caught.value.idempotency_key == "mine"


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
async def test_a_redirect_never_carries_the_token_elsewhere(new_bank: Any, send: Any, payment: Any) -> None:
    """Another host sees nothing, on reads and on writes."""
    other = await new_bank((200, payment()))
    bank = await new_bank((302, {}, {"Location": f"{other.url}/stolen"}))
    async with bank.client() as lead:
        for call in (send(lead), lead.instant_payments.retrieve("instant_payment_1")):
            with pytest.raises(LeadError, match="HTTP 302"):
                await call
    assert (len(bank.requests), other.requests) == (2, [])


@pytest.mark.asyncio
@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_obeyed_in_seconds_and_as_a_date(
    as_date: bool, new_bank: Any, send: Any, payment: Any
) -> None:
    """The pause is never shorter than asked; one that doesn't fit into the deadline ends the call at once."""
    bank = await new_bank(None)
    for wait, fits in ((9, True), (61, False)):
        asked = formatdate(bank.clock.time + wait, usegmt=True) if as_date else str(wait)
        bank.clock.slept.clear()
        bank.script = [(429, {}, {"Retry-After": asked}), (200, payment())]
        async with bank.client() as lead:
            if fits:
                await send(lead)
                assert bank.clock.slept == [9.0]
            else:
                with pytest.raises(RateLimitError) as caught:
                    await send(lead)
                assert (caught.value.retry_after, bank.clock.slept) == (61.0, [])


@pytest.mark.asyncio
async def test_a_token_is_renewed_ahead_of_its_end_and_the_old_one_serves_meanwhile(
    new_bank: Any, payment: Any
) -> None:
    """While the renewal hangs or fails, and until the old token's end, calls go on with it."""
    bank = await new_bank((200, {"access_token": "first", "expires_in": 3600}), (200, payment()))
    async with bank.client(client_id="me", client_secret="s3cret", retry=RetryPolicy(max_attempts=1)) as lead:
        await lead.instant_payments.retrieve("instant_payment_1")
        bank.clock.time += 3550
        # Which of the two requests comes first is the network's affair, so the answer fits both.
        bank.script = [(200, {**payment(), "access_token": "second", "expires_in": 3600})]
        await lead.instant_payments.retrieve("instant_payment_1")
        source: Any = lead._source
        await source.get(rejected="first")
        await lead.instant_payments.retrieve("instant_payment_1")
    tokens = [headers["authorization"] for method, _, headers in bank.requests if method == "GET"]
    assert tokens == ["Bearer first", "Bearer first", "Bearer second"]
    assert bank.lines.count("POST /v1/oauth/token") == 2


# Cancel: the payment decides.


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "wanted", "lines"),
    [
        (["drop", "canceled"], None, [CANCEL, READ]),
        ([(500, {}), "canceled"], None, [CANCEL, READ]),
        (["drop", "created", "canceled"], None, [CANCEL, READ, CANCEL]),
        (["drop", "created", (409, {}), "canceled"], None, [CANCEL, READ, CANCEL, READ]),
        (["drop", "posted", (422, {}), "posted"], UnprocessableEntityError, [CANCEL, READ, CANCEL, READ]),
        (["drop", "created", (422, {}), "canceled"], None, [CANCEL, READ, CANCEL, READ]),
        (["drop", "created", (403, {}), "created"], PermissionDeniedError, [CANCEL, READ, CANCEL, READ]),
        (
            ["drop", "created", (401, {}), (401, {}), "created"],
            AuthenticationError,
            [CANCEL, READ, *[CANCEL] * 2, READ],
        ),
        (["drop", "created", (401, {}), "canceled"], None, [CANCEL, READ, CANCEL, CANCEL]),
        (["drop", (404, {})], OutcomeUnknownError, [CANCEL, READ]),
        (["drop", (500, {})], OutcomeUnknownError, [CANCEL, *[READ] * 5]),
        (["drop and leave"], OutcomeUnknownError, [CANCEL]),
        ([(422, {})], UnprocessableEntityError, [CANCEL]),
        ([(429, {}), "canceled"], None, [CANCEL, CANCEL]),
    ],
)
async def test_cancel_is_settled_by_reading_the_payment(
    script: list[Any], wanted: type[LeadError] | None, lines: list[str], new_bank: Any, payment: Any
) -> None:
    """After silence, what the payment says counts, and a refusal only if the payment agrees."""
    words = ["created", "posted", "canceled"]
    bank = await new_bank(*((200, payment(status=line)) if line in words else line for line in script))
    async with bank.client(token=renewing) as lead:
        if wanted is None:
            assert (await lead.instant_payments.cancel("instant_payment_1")).status == "canceled"
        else:
            with pytest.raises(wanted) as caught:
                await lead.instant_payments.cancel("instant_payment_1")
            assert caught.value.idempotency_key == "key-1"
    assert bank.lines == lines
    assert bank.keys == {"key-1"}


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
async def test_an_answer_in_many_small_compressed_pieces_is_read_whole(
    new_bank: Any, payment: Callable[..., dict[str, Any]]
) -> None:
    """However the network cuts it."""
    body = gzip.compress(repr(payment(description="y" * 100)).replace("'", '"').encode())
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    bank = await new_bank(head + pieces + b"0\r\n\r\n")
    async with bank.client() as lead:
        assert (await lead.instant_payments.retrieve("instant_payment_1")).description == "y" * 100


@pytest.mark.asyncio
async def test_a_read_that_hangs_ends_within_its_time(new_bank: Any) -> None:
    """In the error that says that nothing changed."""
    bank = await new_bank("hang")
    once = RetryPolicy(max_attempts=1)
    async with bank.client(timeouts=Timeouts(connect=0.02, read=0.02), retry=once) as lead:
        with pytest.raises(NoAnswerError):
            await lead.instant_payments.retrieve("instant_payment_1")
