"""One call and its attempts, against a script of answers: no network, no waiting."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from leadpay.client.auth import ClientCredentials, FixedToken, ProvidedToken, TokenSource, token_request
from leadpay.client.call import Caller, Chance, Verdict, judge
from leadpay.client.events import Events
from leadpay.client.instant_payments import InstantPayments
from leadpay.client.requests import Kind, Request
from leadpay.client.retry import RetryPolicy
from leadpay.client.simulate import Simulate
from leadpay.client.transport import Response
from leadpay.config import Credentials, Timeouts
from leadpay.converter import structure
from leadpay.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    RateLimitError,
    RequestNotSentError,
    ServerError,
    UnprocessableEntityError,
)
from leadpay.models import AccessToken, Agent, InstantPayment, Party

NOW = 1_800_000_000.0
PAYMENT: dict[str, Any] = {
    "id": "instant_payment_1",
    "account_id": "account_1",
    "account_number_id": "account_number_1",
    "direction": "outgoing",
    "status": "created",
    "amount": 5000,
    "currency_code": "USD",
    "debtor": {"name": "Canary Debtor", "account_number": "4242424242"},
    "debtor_agent": {"routing_number": "111000111"},
    "creditor": {"name": "Canary Creditor", "account_number": "5353535353"},
    "creditor_agent": {"routing_number": "111000111"},
    "payment_identifiers": {"end_to_end_id": "E2E-1"},
    "related_objects": {},
    "return_requests": [],
    "created_at": "2027-01-15T08:00:00Z",
    "updated_at": "2027-01-15T08:00:01Z",
}
SILENCE = NoAnswerError("silence")
REFUSED = RequestNotSentError("no connection")


class Clock:
    """Time that passes only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """The same seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.slept.append(seconds)
        self.time += seconds


class Bank:
    """Answers from a script, and remembers what it was sent; the last answer is repeated."""

    def __init__(self, *script: Any, tokens: TokenSource | None = None, policy: RetryPolicy | None = None) -> None:
        self.script = list(script)
        self.sent: list[tuple[Request, Mapping[str, str], float]] = []
        self.clock = Clock()
        self.keys = iter(f"key-{number}" for number in range(100))
        chance = Chance(clock=self.clock, random=lambda: 0.5, new_key=lambda: next(self.keys))
        self.caller = Caller(self.send, tokens or FixedToken("token-1"), policy or RetryPolicy(), Timeouts(), chance)
        self.payments = InstantPayments(lambda: self.caller)
        self.simulate = Simulate(lambda: self.caller)
        self.events = Events(lambda: self.caller)

    async def send(self, request: Request, headers: Mapping[str, str], left: float) -> Response:
        """Give the next answer, or raise it."""
        self.sent.append((request, headers, left))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Response):
            return answer
        return ok(answer)

    @property
    def operations(self) -> list[str]:
        """What was called, in order."""
        return [request.operation for request, _, _ in self.sent]

    @property
    def sent_keys(self) -> set[str | None]:
        """The idempotency keys that were sent."""
        return {headers.get("Idempotency-Key") for _, headers, _ in self.sent}


def ok(data: Any) -> Response:
    """A yes."""
    return Response(200, {}, orjson.dumps(data))


def error(status: int, headers: Mapping[str, str] | None = None, **problem: Any) -> Response:
    """A no."""
    return Response(status, headers or {}, orjson.dumps(problem))


def payment(**changes: Any) -> dict[str, Any]:
    """A payment with some fields changed."""
    return {**PAYMENT, **changes}


def request_of(status: str, resolved_by: str | None = None, at: float = NOW, **more: Any) -> dict[str, Any]:
    """A return request."""
    when = datetime.fromtimestamp(at, UTC).isoformat()
    made = {"status": status, "reason": "fraud_suspected", "created_at": when, **more}
    return made if resolved_by is None else {**made, "resolution": {"resolved_at": when, "resolved_by": resolved_by}}


async def send(bank: Bank, key: str | None = None) -> InstantPayment:
    """Send the payment."""
    return await bank.payments.send(
        account_number_id="account_number_1",
        amount=5000,
        creditor=Party(name="Canary Creditor", account_number="5353535353"),
        creditor_agent=Agent(routing_number="111000111"),
        description="For Canary",
        idempotency_key=key,
    )


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
async def test_a_refused_token_is_renewed_once_with_the_same_key() -> None:
    """The provider learns which token was refused."""
    asked: list[str | None] = []

    async def provider(rejected: str | None) -> str:
        asked.append(rejected)
        return f"token-{len(asked)}"

    bank = Bank(error(401), payment(), tokens=ProvidedToken(provider))
    await send(bank)
    assert asked == [None, "token-1"]
    assert [headers["Authorization"] for _, headers, _ in bank.sent] == ["Bearer token-1", "Bearer token-2"]
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
    bank = Bank(payment(), tokens=ProvidedToken(never))
    call = Caller(bank.send, ProvidedToken(never), RetryPolicy(), Timeouts(deadline=0.001), bank.caller.chance)
    with pytest.raises(RequestNotSentError):
        await InstantPayments(lambda: call).retrieve("instant_payment_1")


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", ["", "two\nlines", "tökén", None])
async def test_a_token_that_fits_no_header_is_refused(bad: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError):
        FixedToken(bad)


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


# Cancel, request_return, reject_return_request: what the payment says decides.


@pytest.mark.asyncio
async def test_cancel_after_silence_reads_the_payment() -> None:
    """Canceled is done; anything else is sent again."""
    bank = Bank(SILENCE, payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"
    assert bank.operations == ["cancel", "retrieve"]
    bank = Bank(SILENCE, payment(), payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1", idempotency_key="k")).status == "canceled"
    assert bank.operations == ["cancel", "retrieve", "cancel"]
    bank = Bank(payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"


@pytest.mark.asyncio
async def test_cancel_s_refusal_counts_unless_the_payment_is_canceled() -> None:
    """The refusal of a repetition is checked against the payment."""
    with pytest.raises(UnprocessableEntityError):
        await Bank(error(422)).payments.cancel("instant_payment_1")
    bank = Bank(SILENCE, payment(), error(422), payment(status="canceled"))
    assert (await bank.payments.cancel("instant_payment_1")).status == "canceled"
    bank = Bank(SILENCE, payment(), error(422), payment(status="posted"))
    with pytest.raises(UnprocessableEntityError) as caught:
        await bank.payments.cancel("instant_payment_1")
    assert caught.value.idempotency_key == "key-0"


@pytest.mark.asyncio
async def test_cancel_that_cannot_be_settled_is_an_unknown_outcome() -> None:
    """The payment could not be read, or never says canceled, or the connection never comes back."""
    with pytest.raises(OutcomeUnknownError):
        await Bank(SILENCE).payments.cancel("instant_payment_1")
    script = [SILENCE, payment()] * 5
    with pytest.raises(OutcomeUnknownError) as caught:
        await Bank(*script).payments.cancel("instant_payment_1")
    assert caught.value.attempts == 5


@pytest.mark.asyncio
async def test_request_return_conflicts_unless_the_active_request_is_ours() -> None:
    """409 is final at first sight; after silence the payment is read."""
    args = {"payment_id": "instant_payment_1", "reason": "fraud_suspected"}
    with pytest.raises(ConflictError):
        await Bank(error(409)).payments.request_return(**args)
    bank = Bank(SILENCE, error(409), payment(return_requests=[request_of("pending")]))
    assert (await bank.payments.request_return(**args)).active_return_request is not None
    assert bank.operations == ["request_return", "request_return", "retrieve"]
    # No active request although the bank speaks of a conflict: our own key is in progress, so ask again.
    bank = Bank(SILENCE, error(409), payment(), payment(return_requests=[request_of("pending")]))
    assert (await bank.payments.request_return(**args)).active_return_request is not None


@pytest.mark.asyncio
async def test_reject_return_request_after_silence_looks_for_our_rejection() -> None:
    """Ours is by the client and recent; an old one is not it; an active one means that it has not happened."""
    args = {"payment_id": "instant_payment_1", "reason": "customer_requested"}
    ours = payment(return_requests=[request_of("rejected", "client")])
    assert (await Bank(SILENCE, ours).payments.reject_return_request(**args)).active_return_request is None
    for other in (
        [request_of("rejected", "client", at=NOW - 3600)],
        [request_of("rejected", "lead")],
        [request_of("rejected")],
        [request_of("accepted", "client")],
        [request_of("rejected", "client"), request_of("response_needed")],
    ):
        bank = Bank(SILENCE, payment(return_requests=other), ours)
        await bank.payments.reject_return_request(**args, idempotency_key="k")
        assert bank.operations == ["reject_return_request", "retrieve", "reject_return_request"]


@pytest.mark.asyncio
async def test_a_return_is_a_keyed_write() -> None:
    """It answers the new payment."""
    bank = Bank(SILENCE, payment(id="instant_payment_2"))
    returned = await bank.payments.return_("instant_payment_1", reason="duplication", idempotency_key="mine")
    assert (returned.id, bank.sent_keys) == ("instant_payment_2", {"mine"})


@pytest.mark.asyncio
async def test_the_simulations_answer_nothing() -> None:
    """An empty body or an empty object is a yes; each goes to its own path, with a key."""
    bank = Bank(Response(200, {}, b""), {})
    party, agent = Party(name="Canary", account_number="1"), Agent(routing_number="111000111")
    await bank.simulate.incoming(
        account_number_id="account_number_1",
        amount=1,
        debtor=party,
        debtor_agent=agent,
        description="x",
        end_to_end_id="E2E-1",
    )
    await bank.simulate.incoming_return("instant_payment_1", amount=1, reason="duplication")
    await bank.simulate.incoming_return_request("instant_payment_1", reason="duplication")
    await bank.simulate.incoming_return_request_rejection("instant_payment_1", reason="other", idempotency_key="k")
    await bank.simulate.incoming_return_request_acceptance("instant_payment_1")
    assert [request.path.removeprefix("/v1/simulate/instant_payments/") for request, _, _ in bank.sent] == [
        "incoming",
        "instant_payment_1/incoming_return",
        "instant_payment_1/incoming_return_request",
        "instant_payment_1/incoming_return_request_rejection",
        "instant_payment_1/incoming_return_request_acceptance",
    ]
    assert bank.sent[-1][0].body is None
    assert bank.sent_keys == {"key-0", "key-1", "key-2", "k", "key-3"}
    with pytest.raises(OutcomeUnknownError):
        await Bank(SILENCE).simulate.incoming_return_request_acceptance("instant_payment_1")


@pytest.mark.asyncio
async def test_a_cancelled_write_leaves_its_key_behind(caplog: pytest.LogCaptureFixture) -> None:
    """On the CancelledError and in the log, since the answer is lost; a read leaves nothing."""
    started = asyncio.Event()

    async def hang(request: Request, headers: Mapping[str, str], left: float) -> Response:
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
        (200, Kind.READ, Verdict.DONE),
        (299, Kind.KEYED, Verdict.DONE),
        (302, Kind.READ, Verdict.BARRED),
        (403, Kind.KEYED, Verdict.BARRED),
        (400, Kind.KEYED, Verdict.REFUSED),
        (401, Kind.KEYED, Verdict.UNAUTHORIZED),
        (409, Kind.KEYED, Verdict.UNKNOWN),
        (409, Kind.EXCLUSIVE, Verdict.REFUSED),
        (409, Kind.READ, Verdict.REFUSED),
        (429, Kind.KEYED, Verdict.NOT_DONE),
        (500, Kind.READ, Verdict.UNKNOWN),
        (599, Kind.SETTLED, Verdict.UNKNOWN),
    ],
)
def test_a_status_is_judged_by_operation(status: int, kind: Kind, verdict: Verdict) -> None:
    """Not by status alone."""
    assert judge(status, kind) is verdict


# Tokens.


class Issuer:
    """A token endpoint that gives tokens on request."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
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
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        token, life = answer
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
async def test_while_renewal_fails_the_old_token_serves_until_its_end() -> None:
    """Then every waiter gets an error of its own, and the next call tries again."""
    failure = NoAnswerError("silence")
    issuer = Issuer(("a", 3600), failure, failure, failure, ("b", 3600))
    await issuer.source.get()
    issuer.clock.time += 3590
    assert await issuer.source.get() == "a"
    await turn()
    assert await issuer.source.get() == "a"
    with pytest.raises(NoAnswerError):
        await issuer.source.get(rejected="a")
    issuer.clock.time += 11
    errors = await asyncio.gather(issuer.source.get(), issuer.source.get(), return_exceptions=True)
    assert all(isinstance(one, NoAnswerError) for one in errors)
    assert errors[0] is not errors[1]
    assert await issuer.source.get() == "b"


@pytest.mark.asyncio
async def test_closing_gives_up_a_fetch_under_way() -> None:
    """Nothing is left running, and whoever waited learns that nothing was sent."""
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
    ("answer", "wanted"),
    [
        (error(401, code="invalid_client"), AuthenticationError),
        (error(500), RequestNotSentError),
        (SILENCE, RequestNotSentError),
        (ok({"token": 1}), RequestNotSentError),
    ],
)
async def test_without_a_token_a_write_surely_did_not_happen(answer: Any, wanted: type[LeadError]) -> None:
    """Whatever the token endpoint does, nobody has to ask about the payment."""
    issuing = Bank(answer)

    async def fetch() -> AccessToken:
        exchange = Caller(issuing.send, None, RetryPolicy(), Timeouts(), issuing.caller.chance)
        request = token_request(Credentials(client_id="me", client_secret="s3cret"))
        return await exchange.call(request, lambda data: structure(data, AccessToken))

    bank = Bank(payment(), tokens=ClientCredentials(fetch, issuing.clock))
    with pytest.raises(wanted) as caught:
        await send(bank)
    assert bank.sent == []
    assert caught.value.idempotency_key == "key-0"
    assert "s3cret" not in f"{caught.value!r}{caught.value}"


# Lists.


def page(*ids: str, more: bool) -> dict[str, Any]:
    """One page of payments."""
    return {"objects": [payment(id=f"instant_payment_{one}") for one in ids], "has_more": more}


@pytest.mark.asyncio
async def test_a_list_is_walked_past_empty_pages() -> None:
    """The cursor is the last object's ID; an empty page is asked for again."""
    bank = Bank(page("1", "2", more=True), page(more=True), page("3", more=False))
    walked = [one.id async for one in bank.payments.list(direction="outgoing", limit=2)]
    assert walked == ["instant_payment_1", "instant_payment_2", "instant_payment_3"]
    queries = [request.path.partition("?")[2] for request, _, _ in bank.sent]
    assert queries[0] == "limit=2&direction=outgoing"
    assert queries[1] == queries[2] == "limit=2&direction=outgoing&starting_after=instant_payment_2"


@pytest.mark.asyncio
async def test_a_page_can_be_awaited_and_walked_on() -> None:
    """It has its objects, and ``async for`` goes on from them; backwards too."""
    bank = Bank(page("3", "4", more=True), page("1", more=False))
    first = await bank.payments.list(ending_before="instant_payment_5")
    assert ([one.id for one in first.objects], first.has_more) == (["instant_payment_3", "instant_payment_4"], True)
    assert [one.id async for one in first] == ["instant_payment_3", "instant_payment_4", "instant_payment_1"]
    assert bank.sent[1][0].path.endswith("ending_before=instant_payment_3")
    last = await Bank(page(more=False)).payments.list()
    assert await last.next_page() is None


@pytest.mark.asyncio
@pytest.mark.parametrize("stuck", [page(more=True), page("1", more=True)])
async def test_a_list_that_does_not_advance_ends_in_an_error(stuck: dict[str, Any]) -> None:
    """Never in a loop."""
    with pytest.raises(MalformedResponseError, match="has_more"):
        async for _ in Bank(stuck).payments.list():
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ([], {"$.objects", "$.has_more"}),
        ({"objects": {}, "has_more": 1}, {"$.objects", "$.has_more"}),
        ({"objects": [payment(), payment(id=None), 7], "has_more": False}, {"$.objects[1].id", "$.objects[2]"}),
    ],
)
async def test_a_page_that_cannot_be_read_names_every_path(body: Any, paths: set[str]) -> None:
    """Paths begin at the body of the answer."""
    with pytest.raises(MalformedResponseError) as caught:
        await Bank(body).payments.list()
    assert {problem.parameter for problem in caught.value.problems} == paths


@pytest.mark.asyncio
async def test_events_are_listed_and_read() -> None:
    """Both spellings of a type are sent in the current one."""
    event = {"id": "event_1", "event": "instant_payment.posted", "created_at": "2027-01-15T08:00:00Z"}
    bank = Bank({"objects": [{**event, "object": PAYMENT}], "has_more": False})
    types = ["instant_payment.counterparty_status_update", "ach.posted"]
    events = [one async for one in bank.events.list(types=types, object_id="instant_payment_1")]
    assert [one.id for one in events] == ["event_1"]
    assert bank.sent[0][0].path == (
        "/v1/event?events=instant_payment.counterparty_status_updated&events=ach.posted&object_id=instant_payment_1"
    )
    assert (await Bank({**event, "object": PAYMENT}).events.retrieve("event_1")).id == "event_1"


@pytest.mark.asyncio
async def test_times_are_sent_in_utc() -> None:
    """Whatever their zone was."""
    bank = Bank(page(more=False))
    at: Callable[[int], datetime] = lambda hour: datetime(2027, 1, 1, hour, tzinfo=UTC)  # noqa: E731 - four of them
    await bank.payments.list(
        created_after=at(1), created_on_or_after=at(2), created_before=at(3), created_on_or_before=at(4)
    )
    assert "created_at%5Bafter%5D=2027-01-01T01%3A00%3A00Z" in bank.sent[0][0].path
