"""Every call, its first attempt lost or not, then every kind of response: what is raised agrees with the bank's books.

The client talks to a proxy on a real port. The proxy passes requests on to the sandbox, loses responses, or gives
a response of its own. Afterwards an honest client of the same bank looks at what exists.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest

from leadpay import (
    Agent,
    APIError,
    AuthenticationError,
    InstantPayment,
    KeyReusedError,
    LeadClient,
    LeadError,
    MalformedResponseError,
    MismatchedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    Party,
    RequestNotSentError,
    RetryPolicy,
    ServerError,
    Timeouts,
    TokenError,
)
from leadpay.sandbox import ManualClock, Sandbox
from tests.support.rng import FixedRandom

ACCOUNT = "account_number_1"
TOKEN_PATH = "/v1/oauth/token"
PROBLEM_STATUSES = (400, 401, 403, 404, 408, 409, 422, 429, 500, 503)
"""Those with which the bank itself responses, and two that any bank may add."""
FOREIGN_STATUSES = (
    *(300, 304, 307, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418),
    *(421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 599),
)
"""Those with which a proxy, a load balancer or a firewall responses in HTML, or with an empty body."""
REFUSALS = {400, 403, 404, 422}
"""What is final in the bank's own words: with an idempotency key it says that the key was not used up."""


class Canned(NamedTuple):
    """A response that the proxy gives instead of the bank's."""

    name: str
    status: int
    body: bytes
    content_type: str = "application/json"
    cut: bool = False
    """Whether the connection ends before the promised length."""
    is_refusal: bool = False
    """Whether it is the bank's own final word that nothing was done."""


class InstantClock:
    """Time that passes only while a sleeper waits, and then at once."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """The same seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.time += seconds
        await asyncio.sleep(0)


class Proxy:
    """Stands between the client and the bank, on a port of its own."""

    def __init__(self, bank_url: str, session: aiohttp.ClientSession) -> None:
        self._bank_url = bank_url
        self._session = session
        self.losing = False
        """Whether the next request is passed on, and its response lost."""
        self.response: Canned | None = None
        """The response to every later request; None passes them on."""
        self.token_response: Canned | None = None
        """The same for requests to the token endpoint."""
        self.passes_reads = False
        """Whether reads go through: for calls that look at the payment to find out what happened."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = head[0].split(" ")
        canned = self.token_response if path == TOKEN_PATH else self.response
        is_honest = path == TOKEN_PATH or (method == "GET" and self.passes_reads)
        if self.losing and not is_honest:
            self.losing = False
            await self._pass_on(method, path, headers, body)
            return False
        if canned is None or (is_honest and path != TOKEN_PATH):
            status, data = await self._pass_on(method, path, headers, body)
            canned = Canned("passed on", status, data)
        length = len(canned.body) + (10 if canned.cut else 0)
        writer.write(
            f"HTTP/1.1 {canned.status} X\r\nContent-Type: {canned.content_type}\r\n"
            f"Content-Length: {length}\r\n\r\n".encode()
            + canned.body
        )
        await writer.drain()
        return not canned.cut

    async def _pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        names = ("authorization", "content-type", "idempotency-key")
        kept = {name: headers[name] for name in names if name in headers}
        async with self._session.request(method, self._bank_url + path, data=body or None, headers=kept) as response:
            return response.status, await response.read()


class Stage(NamedTuple):
    """A bank, a proxy in front of it, a client that talks to the proxy, and one that talks to the bank."""

    proxy: Proxy
    lead: LeadClient
    honest: LeadClient
    clock: ManualClock

    async def send(self) -> Any:
        """Send a payment past the proxy."""
        return await _send(self.honest)

    async def receive(self) -> Any:
        """Have a payment come in past the proxy."""
        await _simulate(self.honest)
        await self.clock.advance(60)
        return (await self.honest.instant_payments.list(direction="incoming", limit=1)).objects[0]


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    """Set up the stage."""
    clock = ManualClock()
    async with (
        aiohttp.ClientSession() as session,
        Sandbox(clock=clock, delay=1, seed=7) as bank,
        bank.client(clock=InstantClock()) as honest,
    ):
        proxy = Proxy(bank.url, session)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        known = {"client_id": bank.client_id, "client_secret": bank.client_secret}
        lead = LeadClient(
            base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            clock=InstantClock(),
            rng=FixedRandom(),
            retry=RetryPolicy(base=1, cap=4),
            timeouts=Timeouts(deadline=8),
            **{**known, **settings},
        )
        try:
            async with lead:
                yield Stage(proxy, lead, honest, clock)
        finally:
            server.close()


async def _send(lead: LeadClient) -> Any:
    return await lead.instant_payments.send(
        account_number_id=ACCOUNT,
        amount=5000,
        creditor=Party(name="Alex Smith", account_number="1234567890"),
        creditor_agent=Agent(routing_number="111000111"),
    )


async def _simulate(lead: LeadClient) -> Any:
    return await lead.simulate.incoming(
        account_number_id=ACCOUNT,
        amount=5000,
        debtor=Party(name="Robin Brown", account_number="1234567890"),
        debtor_agent=Agent(routing_number="111000111"),
    )


class Call(NamedTuple):
    """A call of the client, what it needs, and how to see at the bank how often it was done."""

    prepare: Callable[[Stage], Awaitable[Any]]
    make: Callable[[LeadClient, str], Awaitable[Any]]
    count_done: Callable[[Stage, str], Awaitable[int]]
    is_write: bool = True
    is_keyed: bool = True
    """Whether the bank's description has an idempotency key for it."""
    gives_payment: bool = True


async def _no_payment(_: Stage) -> None:
    return None


async def _posted(stage: Stage) -> Any:
    payment = await stage.send()
    await stage.clock.advance(60)
    return payment


async def _asked(stage: Stage) -> Any:
    payment = await stage.receive()
    await stage.honest.simulate.incoming_return_request(payment.id, reason="duplication")
    await stage.clock.advance(60)
    return payment


async def _count_payments(stage: Stage, _: str) -> int:
    return len([one async for one in stage.honest.instant_payments.list(direction="outgoing", limit=100)])


async def _count_incoming(stage: Stage, _: str) -> int:
    await stage.clock.advance(60)
    return len([one async for one in stage.honest.instant_payments.list(direction="incoming", limit=100)])


async def _count_returns(stage: Stage, payment_id: str) -> int:
    return len((await stage.honest.instant_payments.retrieve(payment_id)).related_objects.return_payment_ids or ())


async def _count_requests(stage: Stage, payment_id: str) -> int:
    return len((await stage.honest.instant_payments.retrieve(payment_id)).return_requests)


async def _count_rejections(stage: Stage, payment_id: str) -> int:
    requests = (await stage.honest.instant_payments.retrieve(payment_id)).return_requests
    return len([one for one in requests if one.status == "rejected"])


async def _count_cancels(stage: Stage, payment_id: str) -> int:
    return int((await stage.honest.instant_payments.retrieve(payment_id)).status == "canceled")


async def _nothing(_: Stage, __: str) -> int:
    return 0


CALLS = {
    "send": Call(_no_payment, lambda lead, _: _send(lead), _count_payments),
    "return_payment": Call(
        Stage.receive, lambda lead, id_: lead.instant_payments.return_payment(id_, reason="duplication"), _count_returns
    ),
    "request_return": Call(
        _posted, lambda lead, id_: lead.instant_payments.request_return(id_, reason="duplication"), _count_requests
    ),
    "cancel": Call(Stage.send, lambda lead, id_: lead.instant_payments.cancel(id_), _count_cancels, is_keyed=False),
    "reject_return_request": Call(
        _asked,
        lambda lead, id_: lead.instant_payments.reject_return_request(id_, reason="customer_requested"),
        _count_rejections,
        is_keyed=False,
    ),
    "simulate.incoming": Call(_no_payment, lambda lead, _: _simulate(lead), _count_incoming, gives_payment=False),
    "retrieve": Call(Stage.send, lambda lead, id_: lead.instant_payments.retrieve(id_), _nothing, is_write=False),
    "list": Call(
        Stage.send, lambda lead, _: _page(lead.instant_payments.list(limit=1)), _nothing, False, gives_payment=False
    ),
    "events.list": Call(
        Stage.send, lambda lead, _: _page(lead.events.list(limit=1)), _nothing, False, gives_payment=False
    ),
    "check_availability": Call(
        _no_payment,
        lambda lead, _: lead.instant_payments.check_availability("111000111"),
        _nothing,
        False,
        gives_payment=False,
    ),
}


async def _page(pager: Any) -> Any:
    return await pager


def problem(status: int, code: str, *, numeric: bool = False) -> bytes:
    """The bank's error body."""
    return orjson.dumps(
        {"type": "about:blank", "code": code, "title": "A title", "status": status if numeric else str(status)}
    )


def responses() -> Iterator[Canned]:
    """All that may come back, but for a bank's success."""
    for status in PROBLEM_STATUSES:
        code = {409: "request_in_progress"}.get(status, "parameters_invalid")
        yield Canned(f"{status} problem", status, problem(status, code), is_refusal=status in REFUSALS)
    for status in FOREIGN_STATUSES:
        yield Canned(f"{status} html", status, b"<html>no</html>", "text/html")
    for status in (400, 404, 413, 502):
        yield Canned(f"{status} empty", status, b"")
        yield Canned(f"{status} json of a stranger", status, b'{"message": "Forbidden"}')
        yield Canned(f"{status} cut", status, problem(status, "parameters_invalid"), cut=True)
    yield Canned("200 html", 200, b"<html>hello</html>", "text/html")
    yield Canned("200 cut", 200, b'{"id": "instant_pay', cut=True)


def judge(call: Call, response: Canned, error: LeadError | None, *, lost: bool, done: int) -> str | None:  # noqa: C901, PLR0911 - one line for each rule
    """Say what is wrong with how a call ended, if anything is. ``done`` is how often the bank has done it."""
    if done > 1:
        return "done twice"
    if error is None:
        # A success counts only where the bank's own records say so, found out by reading.
        return None if call.is_write and done else "a success out of nothing"
    if call.is_write and (error.idempotency_key is None):
        return "without its key"
    if isinstance(error, RequestNotSentError):
        return "says that nothing was sent"
    if not call.is_write:
        is_bank = response.name.endswith("problem")
        wanted: tuple[type[LeadError], ...] = (APIError,) if is_bank else (NoAnswerError, MalformedResponseError)
        if response.status >= 500:
            wanted = (ServerError, NoAnswerError)
        if response.status == 408 and is_bank:
            wanted = (APIError, NoAnswerError)
        return None if isinstance(error, wanted) else f"a read must end in {wanted}"
    if isinstance(error, KeyReusedError | MalformedResponseError | OutcomeUnknownError):
        is_definite = response.is_refusal and not lost
        return "unknown, although the bank refused" if is_definite and call.is_keyed else None
    if not isinstance(error, APIError):
        return "not an error of a write"
    if done:
        return "refused, although it was done"
    if response.name.endswith("problem"):
        return None
    return "refused, although the bank has not spoken"


@pytest.mark.asyncio
@pytest.mark.parametrize("lost", [False, True], ids=["first attempt", "after a lost one"])
@pytest.mark.parametrize("name", CALLS)
async def test_what_is_raised_agrees_with_what_the_bank_holds(name: str, lost: bool) -> None:
    """Nothing is done twice, refused although it was done, or refused by anyone but the bank."""
    call = CALLS[name]
    wrong: list[str] = []
    async with staged(token=None) as stage:
        stage.proxy.passes_reads = call.is_write
        await stage.lead.instant_payments.check_availability("111000111")  # a token is at hand
        for response in responses():
            if lost and call.is_keyed and response.is_refusal and call.is_write:
                # By the bank's rules one key has one response: this refusal cannot follow what was done.
                continue
            stage.proxy.response, stage.proxy.losing = None, False
            payment = await call.prepare(stage)
            payment_id = payment.id if payment is not None else ""
            before = await call.count_done(stage, payment_id)
            stage.proxy.response, stage.proxy.losing = response, lost
            error: LeadError | None = None
            try:
                await call.make(stage.lead, payment_id)
            except LeadError as raised:
                error = raised
            stage.proxy.response = None
            done = await call.count_done(stage, payment_id) - before
            found = judge(call, response, error, lost=lost, done=done)
            if found is not None:
                wrong.append(f"{response.name}: {found} ({type(error).__name__}, done {done})")
    assert wrong == []


FOREIGN: dict[str, dict[str, Any]] = {
    "another amount": {"amount": 1},
    "another account number": {"account_number_id": "account_number_2"},
    "another creditor": {"creditor": {"name": "Mallory Jones", "account_number": "666"}},
    "another bank of the creditor": {"creditor_agent": {"routing_number": "222000222"}},
    "another direction": {"direction": "incoming"},
}


@pytest.mark.asyncio
@pytest.mark.parametrize("lost", [False, True], ids=["first attempt", "after a lost one"])
@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.gives_payment])
async def test_a_payment_that_was_not_asked_for_is_no_success(name: str, lost: bool) -> None:
    """A response about another payment is a mismatch: the outcome is unknown, and the key is kept."""
    call = CALLS[name]
    async with staged() as stage:
        stage.proxy.passes_reads = call.is_write
        payment = await call.prepare(stage)
        payment_id = payment.id if payment is not None else ""
        other = await stage.send()
        body = orjson.dumps(await _raw(stage, other.id))
        changes: Iterable[dict[str, Any]] = FOREIGN.values() if name == "send" else [{}]
        for changed in changes:
            canned = Canned("foreign", 200, orjson.dumps({**orjson.loads(body), **changed}))
            stage.proxy.response, stage.proxy.losing = canned, lost
            if call.is_write and not call.is_keyed and lost:
                continue  # what was lost is found by reading
            with pytest.raises(MismatchedResponseError) as caught:
                await call.make(stage.lead, payment_id)
            assert (caught.value.idempotency_key is not None) == call.is_write
            stage.proxy.response = None


async def _raw(stage: Stage, payment_id: str) -> Any:
    from leadpay import unstructure  # noqa: PLC0415 - used here only

    return unstructure(await stage.honest.instant_payments.retrieve(payment_id))


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
@pytest.mark.parametrize("html", [False, True], ids=["problem", "html"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_refusal_of_the_token_endpoint_is_about_the_token(name: str, status: int, html: bool) -> None:
    """Whatever the call: no verdict on a payment, and nothing has been done."""
    call = CALLS[name]
    async with staged() as stage:
        payment = await call.prepare(stage)
        payment_id = payment.id if payment is not None else ""
        before = await call.count_done(stage, payment_id)
        body = b"<html>no</html>" if html else problem(status, "unauthorized", numeric=True)
        stage.proxy.token_response = Canned("token", status, body, "text/html" if html else "application/json")
        with pytest.raises((TokenError, RequestNotSentError)) as caught:
            await call.make(stage.lead, payment_id)
        if status < 500 and not html:
            assert isinstance(caught.value, TokenError)
            assert isinstance(caught.value, AuthenticationError)
        assert await call.count_done(stage, payment_id) == before


@pytest.mark.asyncio
async def test_a_late_refusal_of_a_neighbour_is_not_ours() -> None:
    """On a connection whose responses are shifted by one: the payment was made, and its caller gets it."""
    async with Sandbox(seed=1) as bank, bank.client() as lead:

        async def send(account_number_id: str) -> InstantPayment:
            return await lead.instant_payments.send(
                account_number_id=account_number_id,
                amount=5000,
                creditor=Party(name="Alex Smith", account_number="1234567890"),
                creditor_agent=Agent(routing_number="111000111"),
            )

        await lead.account_numbers.deactivate("account_number_2")
        with pytest.raises(APIError):
            await send("account_number_2")
        bank.faults.add("late_response:send:1")
        sent = await send("account_number_1")
        assert bank.faults.triggered == {"late_response": 1}
        assert [payment.id for payment in bank.bank.payments.all()] == [sent.id]
