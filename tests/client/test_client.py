"""The client over real sockets: dropped connections, borrowed sessions, other event loops."""

import asyncio
import gzip
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aioresponses import aioresponses

from leadpay.client import LeadClient
from leadpay.client.retry import RetryPolicy
from leadpay.config import Timeouts
from leadpay.converter import unstructure
from leadpay.errors import (
    APIError,
    ConfigurationError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    RequestNotSentError,
)
from leadpay.models import Agent, InstantPayment, Party
from leadpay.sandbox import Sandbox

AT_ONCE = RetryPolicy(base=0, cap=0)


async def send(lead: LeadClient, key: str | None = None) -> InstantPayment:
    """Send a payment."""
    return await lead.instant_payments.send(
        account_number_id="account_number_1",
        amount=5000,
        creditor=Party(name="Alex Smith", account_number="1234567890"),
        creditor_agent=Agent(routing_number="111000111"),
        idempotency_key=key,
    )


async def a_payment() -> bytes:
    """The bytes of a payment, from the pretend bank."""
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        return orjson.dumps(unstructure(await send(lead)))


class Raw:
    """A server made of bytes: cuts its first answer short, and remembers the keys."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.cut: int | None = None
        self.keys: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests until the connection ends."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                await reader.readexactly(int(lines.get(b"content-length", b"0")))
                self.keys.append(lines[b"idempotency-key"])
                cut, self.cut = self.cut, None
                writer.write(self.answer[:cut])
                await writer.drain()
                if cut is not None:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen on a free port."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """Answer every request with one handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_connection_dropped_at_any_byte_of_the_answer_gives_one_result(chunked: bool) -> None:
    """Before, inside and after the headers, and inside the body: the same key again, and the payment."""
    body = await a_payment()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if chunked:
        answer = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        answer = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    raw = Raw(answer)
    async with raw.running() as url, LeadClient(base_url=url, token="t", retry=AT_ONCE) as lead:
        for cut in range(len(answer)):
            raw.cut = cut
            raw.keys.clear()
            payment = await send(lead)
            assert orjson.dumps(unstructure(payment)) == body
            assert len(raw.keys) == 2, cut
            assert len(set(raw.keys)) == 1


@pytest.mark.asyncio
async def test_three_lost_answers_make_one_payment() -> None:
    """Accepted and dropped three times: one payment at the bank, one result for the caller."""
    async with Sandbox(delay=0, faults=["response_lost:send:3"]) as bank, bank.client(retry=AT_ONCE) as lead:
        payment = await send(lead)
        assert [one.id for one in bank.bank.payments.all()] == [payment.id]


@pytest.mark.asyncio
async def test_an_unknown_outcome_is_resumed_with_its_key() -> None:
    """Sending again with the error's key gives the one payment."""
    async with Sandbox(delay=0, faults=["response_lost:send:5"]) as bank, bank.client(retry=AT_ONCE) as lead:
        with pytest.raises(OutcomeUnknownError) as caught:
            await send(lead)
        payment = await send(lead, caught.value.idempotency_key)
        assert [one.id for one in bank.bank.payments.all()] == [payment.id]


@pytest.mark.asyncio
async def test_a_server_that_never_answers_is_an_unknown_outcome() -> None:
    """Time runs out in one of our errors."""

    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    timeouts = Timeouts(connect=0.05, read=0.05, deadline=0.12)
    async with (
        serving(silent) as url,
        LeadClient(base_url=url, token="t", retry=AT_ONCE, timeouts=timeouts) as lead,
    ):
        with pytest.raises(OutcomeUnknownError):
            await send(lead)
        with pytest.raises(NoAnswerError):
            await lead.instant_payments.retrieve("instant_payment_1")


@pytest.mark.asyncio
async def test_a_connection_that_is_refused_means_that_nothing_was_sent() -> None:
    """Nobody listens there."""
    async with Raw(b"").running() as url:
        pass
    async with LeadClient(base_url=url, token="t", retry=AT_ONCE) as lead:
        with pytest.raises(RequestNotSentError) as caught:
            await send(lead, "mine")
    assert (caught.value.idempotency_key, caught.value.attempts) == ("mine", 5)


@pytest.mark.asyncio
async def test_five_hundred_tasks_without_a_token_make_one_token_request() -> None:
    """And five hundred payments."""
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        await asyncio.gather(*(send(lead) for _ in range(500)))
        assert bank.tokens.issued == 1
        assert len(bank.bank.payments.all()) == 500


@pytest.mark.asyncio
async def test_redirects_are_not_followed() -> None:
    """The token would go along."""
    seen: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(redirect) as url, LeadClient(base_url=url, token="t") as lead:
        with pytest.raises(APIError) as caught:
            await send(lead)
    assert caught.value.status == 307
    assert seen == ["/v1/instant_payments"]


@pytest.mark.asyncio
@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_that_is_too_large_is_not_read(compressed: bool) -> None:
    """Sixteen mebibytes are the end, after decompression too."""
    flood = b" " * 17_000_000

    async def large(_: web.Request) -> web.Response:
        if compressed:
            return web.Response(body=gzip.compress(flood), headers={"Content-Encoding": "gzip"})
        return web.Response(body=flood)

    async with serving(large) as url, LeadClient(base_url=url, token="t") as lead:
        with pytest.raises(MalformedResponseError, match="larger than 16777216 bytes"):
            await send(lead)


@pytest.mark.asyncio
async def test_a_borrowed_session_is_never_closed_and_its_defaults_don_t_matter() -> None:
    """An owned one always is."""
    async with Sandbox(delay=0) as bank:
        async with aiohttp.ClientSession(
            base_url="http://127.0.0.1:9/", raise_for_status=True, timeout=aiohttp.ClientTimeout(total=0.000001)
        ) as session:
            async with bank.client(session=session) as lead:
                await send(lead)
                with pytest.raises(APIError):
                    await lead.instant_payments.retrieve("instant_payment_unknown")
            assert not session.closed
        lead = bank.client()
        await send(lead)
        owned = lead._session
        assert owned is not None
        await lead.aclose()
        await lead.aclose()
        assert owned.closed
        with pytest.raises(ConfigurationError, match="closed"):
            await send(lead)


@pytest.mark.asyncio
async def test_a_borrowed_session_that_is_closed_means_that_nothing_was_sent() -> None:
    """One of our errors, with the key."""
    session = aiohttp.ClientSession()
    await session.close()
    async with LeadClient(base_url="http://localhost:9", token="t", session=session, retry=AT_ONCE) as lead:
        with pytest.raises(RequestNotSentError):
            await send(lead)


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_borrowed_session_with_an_auth_of_its_own_is_refused() -> None:
    """It would contradict the bank's token."""
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("me", "s")) as session:
        with pytest.raises(ConfigurationError, match="auth"):
            LeadClient(token="t", session=session)


def test_a_second_event_loop_is_refused() -> None:
    """A client belongs to the loop that first used it."""
    lead = LeadClient(token="t", base_url="http://localhost:9")

    async def use() -> None:
        async with lead:
            pass

    async def only_enter() -> None:
        await lead.__aenter__()
        session = lead._session
        assert session is not None
        await session.close()

    asyncio.run(only_enter())
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(use())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"client_id": "me"},
        {"client_id": "me", "client_secret": ""},
        {"client_id": "me", "client_secret": "\ud800"},
        {"client_id": "me", "client_secret": b"s"},
        {"client_id": 5, "client_secret": "s"},
        {"client_id": "me", "client_secret": "s", "token": "t"},
        {"token": "t", "environment": "staging"},
        {"token": "t", "environment": "staging", "base_url": "http://localhost:1"},
        {"token": "t", "base_url": "http://example.com"},
        {"token": "t", "base_url": "http://localhost.example.com"},
        {"token": "t", "base_url": "ftp://localhost"},
        {"token": "t", "base_url": "https://user:pass@example.com"},
        {"token": "t", "base_url": "https://[::1"},
    ],
)
def test_contradictory_settings_are_refused_at_construction(arguments: dict[str, Any]) -> None:
    """Before anything can be sent anywhere."""
    with pytest.raises(ConfigurationError):
        LeadClient(**arguments)


def test_production_cannot_be_simulated() -> None:
    """Refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="simulate"):
        _ = LeadClient(token="t", environment="production").simulate
    assert LeadClient(token="t").simulate is not None


def test_settings_come_from_a_mapping_and_arguments_go_first() -> None:
    """No secret is in the repr."""
    env = {"LEAD_CLIENT_ID": "me", "LEAD_CLIENT_SECRET": "s3cret", "LEAD_ENVIRONMENT": "production"}
    assert repr(LeadClient.from_env(env)) == "LeadClient(base_url='https://api.lead.bank')"
    local = {**env, "LEAD_BASE_URL": "http://127.0.0.1:1/"}
    assert repr(LeadClient.from_env(local)) == "LeadClient(base_url='http://127.0.0.1:1')"
    assert "2" in repr(LeadClient.from_env(env, base_url="http://[::1]:2", token="t"))
    assert "api.lead.bank" in repr(LeadClient.from_env(local, environment="production"))
    with pytest.raises(ConfigurationError):
        LeadClient.from_env({})


@pytest.mark.asyncio
async def test_canned_answers_of_the_bank_can_be_used_too() -> None:
    """The usual fake works, since nothing but the session is asked."""

    class CannedResponse(aiohttp.ClientResponse):
        """What aioresponses makes lacks an argument that newer versions of aiohttp want."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(
                *args, **{**({"stream_writer": SimpleNamespace(output_size=0)} if WANTS_WRITER else {}), **kwargs}
            )

    body = orjson.loads(await a_payment())
    with aioresponses() as bank:
        bank.post(
            "https://api.sandbox.lead.bank/v1/oauth/token", payload={"access_token": "a"}, response_class=CannedResponse
        )
        url = "https://api.sandbox.lead.bank/v1/instant_payments/instant_payment_1"
        bank.get(url, payload=body, response_class=CannedResponse)
        async with LeadClient(client_id="me", client_secret="s") as lead:
            payment = await lead.instant_payments.retrieve("instant_payment_1")
    assert unstructure(payment) == body


WANTS_WRITER = "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters
