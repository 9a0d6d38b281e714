"""One token for all calls, renewed ahead of its end."""

import asyncio
from typing import Any

import pytest

from leadpay.client.auth import ClientCredentials, FixedToken, ProvidedToken, token_request
from leadpay.client.retry import RetryPolicy
from leadpay.config import Credentials, Timeouts
from leadpay.converter import structure
from leadpay.errors import (
    AuthenticationError,
    ConfigurationError,
    LeadError,
    NoAnswerError,
    OutcomeUnknownError,
    RequestNotSentError,
    TokenError,
)
from leadpay.models import AccessToken
from tests.support.scripted_transport import (
    NO_ANSWER,
    Bank,
    Clock,
    error,
    ok,
    payment,
    send,
)

SEND = "POST /v1/instant_payments"
HTML = b"<html><h1>502 Bad Gateway</h1></html>"


@pytest.mark.asyncio
async def test_a_refused_token_is_renewed_once_with_the_same_key() -> None:
    """The provider learns which token was refused."""
    asked: list[str | None] = []

    async def provider(rejected: str | None) -> str:
        asked.append(rejected)
        return f"token-{len(asked)}"

    bank = Bank(error(401), payment(), tokens=ProvidedToken(provider))
    await send(bank)
    assert asked == [None, "token-1"]
    assert [token for _, token, _ in bank.sent] == ["token-1", "token-2"]
    assert bank.sent_keys == {"key-0"}
    assert bank.clock.slept == []
    with pytest.raises(AuthenticationError):
        await send(Bank(error(401), tokens=ProvidedToken(provider)))


@pytest.mark.asyncio
async def test_a_provider_that_fails_means_that_nothing_was_sent() -> None:
    """Its own error is the cause; one of ours comes through as it is."""

    async def broken(_: str | None) -> str:
        raise KeyError("vault")

    async def ours(_: str | None) -> str:
        raise RequestNotSentError("no vault")

    async def nothing(_: str | None) -> Any:
        return None

    async def never(_: str | None) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    for provider in (broken, ours, nothing):
        bank = Bank(payment(), tokens=ProvidedToken(provider))
        with pytest.raises(RequestNotSentError) as caught:
            await send(bank)
        assert bank.sent == []
        assert caught.value.idempotency_key == "key-0"
    bank = Bank(payment(), tokens=ProvidedToken(never), timeouts=Timeouts(deadline=0.001))
    with pytest.raises(RequestNotSentError):
        await bank.payments.retrieve("instant_payment_1")


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", ["", "two\nlines", "tökén", None])
async def test_a_token_that_fits_no_header_is_refused(bad: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError):
        FixedToken(bad)


class Issuer:
    """A token endpoint that gives tokens on request."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.clock = Clock()
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.source = ClientCredentials(self.fetch, self.clock)

    async def next_token(self) -> str | None:
        """Wait until a renewal in the background has had its chance."""
        for _ in range(5):
            await asyncio.sleep(0)
        return self.source.current()

    async def fetch(self) -> AccessToken:
        """Give the next token, or fail."""
        self.asked += 1
        await self.gate.wait()
        response = self.responses.pop(0)
        if isinstance(response, BaseException):
            raise response
        token, life = response
        return AccessToken(access_token=token, expires_in=life)


@pytest.mark.asyncio
async def test_any_number_of_waiters_share_one_token_request() -> None:
    """And one that is cancelled does not take the others down."""
    issuer = Issuer(("a", 3600))
    issuer.gate.clear()
    waiters = [asyncio.create_task(issuer.source.get()) for _ in range(500)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.wait([waiters[0]])
    issuer.gate.set()
    assert set(await asyncio.gather(*waiters[1:])) == {"a"}
    assert issuer.asked == 1


async def turn() -> None:
    """Let a renewal that is under way finish."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_token_is_renewed_ahead_of_its_end() -> None:
    """A minute ahead, or at half of a short life, while the old one serves; without an end it is kept."""
    issuer = Issuer(("a", 3600), ("b", 10), ("c", None), ("d", 1))
    assert await issuer.source.get() == "a"
    issuer.clock.time += 3539
    assert issuer.source.current() == "a"
    issuer.clock.time += 1
    assert issuer.source.current() is None
    assert await issuer.source.get() == "a"
    await turn()
    assert issuer.source.current() == "b"
    issuer.clock.time += 10
    assert await issuer.source.get() == "c"
    issuer.clock.time += 10**9
    assert await issuer.source.get() == "c"
    assert await issuer.source.get(rejected="b") == "c"
    assert await issuer.source.get(rejected="c") == "d"


@pytest.mark.asyncio
async def test_while_renewal_fails_the_old_token_serves_until_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Then every waiting call gets an error of its own, and the next call tries again."""
    failure = NoAnswerError("no response")
    issuer = Issuer(("a", 3600), failure, failure, failure, ("b", 3600))
    await issuer.source.get()
    issuer.clock.time += 3590
    assert await issuer.source.get() == "a"
    await turn()
    assert await issuer.source.get() == "a"
    assert "could not be renewed (NoAnswerError); it ends in 10 s, next attempt in 1 s" in caplog.text
    with pytest.raises(RequestNotSentError, match="no access token: no response") as caught:
        await issuer.source.get(rejected="a")
    assert isinstance(caught.value.__cause__, NoAnswerError)
    issuer.clock.time += 11
    errors = await asyncio.gather(issuer.source.get(), issuer.source.get(), return_exceptions=True)
    assert all(isinstance(one, RequestNotSentError) for one in errors)
    assert errors[0] is not errors[1]
    assert await issuer.source.get() == "b"


@pytest.mark.asyncio
async def test_closing_gives_up_a_fetch_under_way() -> None:
    """Nothing is left running, and a waiting caller learns that nothing was sent."""
    issuer = Issuer(("a", 3600))
    issuer.gate.clear()
    waiter = asyncio.create_task(issuer.source.get())
    await turn()
    await issuer.source.aclose()
    with pytest.raises(RequestNotSentError, match="closed"):
        await waiter
    await issuer.source.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("response", "wanted"),
    [
        (error(400, code="invalid_scope"), TokenError),
        (error(500), RequestNotSentError),
        (NO_ANSWER, RequestNotSentError),
        (ok({"token": 1}), RequestNotSentError),
    ],
)
async def test_without_a_token_a_write_surely_did_not_happen(response: Any, wanted: type[LeadError]) -> None:
    """Whatever the token endpoint does, there is no payment to look for."""
    issuing = Bank(response, tokens=None)

    async def fetch() -> AccessToken:
        request = token_request(Credentials(client_id="me", client_secret="s3cret"))
        return await issuing.executor.call(request, lambda data: structure(data, AccessToken))

    bank = Bank(payment(), tokens=ClientCredentials(fetch, issuing.clock))
    with pytest.raises(wanted) as caught:
        await send(bank)
    assert bank.sent == []
    assert caught.value.idempotency_key == "key-0"
    assert "s3cret" not in f"{caught.value!r}{caught.value}"


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
        ((401, {"code": "invalid_client"}), TokenError),
        ((400, {}), TokenError),
        ((403, HTML), TokenError),
        ((429, {}), TokenError),
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
    """The waiting caller was not cancelled, so a task group must see the error."""
    bank = await new_bank("hang")
    lead = bank.client(client_id="me", client_secret="s3cret")
    waiting = asyncio.create_task(send(lead, "mine"))
    await bank.arrived.wait()
    await lead.aclose()
    with pytest.raises(RequestNotSentError) as caught:
        await waiting
    assert caught.value.idempotency_key == "mine"


@pytest.mark.asyncio
async def test_a_token_is_renewed_ahead_of_its_end_and_the_old_one_serves_meanwhile(
    new_bank: Any, payment: Any
) -> None:
    """While the renewal hangs or fails, and until the old token's end, calls go on with it."""
    bank = await new_bank((200, {"access_token": "first", "expires_in": 3600}), (200, payment()))
    async with bank.client(client_id="me", client_secret="s3cret", retry=RetryPolicy(max_attempts=1)) as lead:
        await lead.instant_payments.retrieve("instant_payment_1")
        bank.clock.time += 3550
        # Which of the two requests comes first depends on the network, so the response fits both.
        bank.script = [(200, {**payment(), "access_token": "second", "expires_in": 3600})]
        await lead.instant_payments.retrieve("instant_payment_1")
        source: Any = lead._tokens
        await source.get(rejected="first")
        await lead.instant_payments.retrieve("instant_payment_1")
    tokens = [headers["authorization"] for method, _, headers in bank.requests if method == "GET"]
    assert tokens == ["Bearer first", "Bearer first", "Bearer second"]
    assert bank.lines.count("POST /v1/oauth/token") == 2


def test_a_token_is_not_shown_by_its_repr() -> None:
    """Tracebacks show the arguments of every call, and the token is one of the transport's."""
    token = FixedToken("canary").current()
    assert "canary" not in repr(token)
    assert f"Bearer {token}" == "Bearer canary"


@pytest.mark.asyncio
async def test_a_failing_renewal_is_asked_for_again_with_a_growing_pause() -> None:
    """Many calls with a good token don't each ask the token endpoint."""
    issuer = Issuer(("a", 3600), *[NoAnswerError()] * 5, ("b", 3600))
    await issuer.source.get()
    issuer.clock.time += 3541
    for seconds in (0, 1, 2, 4, 8):
        issuer.clock.time += seconds
        asked = issuer.asked
        for _ in range(100):
            assert await issuer.source.get() == "a"
            await turn()
        assert issuer.asked == asked + 1
    issuer.clock.time += 16
    assert await issuer.source.get() == "a"
    await turn()
    assert await issuer.source.get() == "b"


@pytest.mark.asyncio
@pytest.mark.parametrize("line", [(400, {"code": "invalid_scope"}), (403, HTML), (404, b""), (429, {})])
async def test_what_the_token_endpoint_refuses_is_no_verdict_on_a_payment(line: Any, new_bank: Any, send: Any) -> None:
    """After an attempt that got no response, the outcome stays unknown, with the refusal as its cause."""
    issued = (200, {"access_token": "first", "expires_in": 3600})
    bank = await new_bank(issued, "drop", (401, {}), line)
    async with bank.client(client_id="me", client_secret="s3cret") as lead:
        with pytest.raises(OutcomeUnknownError) as caught:
            await send(lead)
    refusal = caught.value.__cause__
    assert isinstance(refusal, TokenError)
    assert (refusal.status, refusal.__cause__ is None) == (line[0], False)
