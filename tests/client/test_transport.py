"""One request over real connections: timeouts, cut responses, borrowed sessions, redirects."""

import asyncio
import errno
import gc
import gzip
import ssl
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import aiohttp
import orjson
import pytest
from aiohttp import web
from aioresponses import aioresponses

from leadpay import __version__
from leadpay.canned import CannedResponse
from leadpay.client import LeadClient
from leadpay.client.requests import Request, RetrySafety
from leadpay.client.retry import RetryPolicy
from leadpay.client.transport import Response, Transport
from leadpay.config import Timeouts
from leadpay.converter import unstructure
from leadpay.errors import (
    APIError,
    ConfigurationError,
    LeadError,
    MalformedResponseError,
    NoAnswerError,
    OutcomeUnknownError,
    RequestNotSentError,
)
from leadpay.models import Agent, InstantPayment, Party
from leadpay.sandbox import Sandbox

AT_ONCE = RetryPolicy(base=0, cap=0)
LONG = 30.0
SHORT = 0.01
ID = "instant_payment_1"
HTML = b"<html><h1>502 Bad Gateway</h1></html>"
POST = Request("send", RetrySafety.IDEMPOTENT, "POST", "/v1/instant_payments", None, "key-1")
REQUEST = Request("retrieve", RetrySafety.SAFE, "GET", "/v1/instant_payments/1")


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
    """The bytes of a payment, from the sandbox."""
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        return orjson.dumps(unstructure(await send(lead)))


def opened(session: aiohttp.ClientSession, url: str) -> Transport:
    """Make a transport of a borrowed session."""
    transport = Transport(url, Timeouts(), session)
    transport.open()
    return transport


class Raw:
    """A server made of bytes: cuts its first response short, and remembers the keys."""

    def __init__(self, response: bytes) -> None:
        self.response = response
        self.cut: int | None = None
        self.keys: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond until the connection ends."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                await reader.readexactly(int(lines.get(b"content-length", b"0")))
                self.keys.append(lines[b"idempotency-key"])
                cut, self.cut = self.cut, None
                writer.write(self.response[:cut])
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
    """Serve every request with one handler."""
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
async def test_a_connection_dropped_at_any_byte_of_the_response_gives_one_result(chunked: bool) -> None:
    """Before, inside and after the headers, and inside the body: the same key again, and the payment."""
    body = await a_payment()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if chunked:
        response = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        response = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    raw = Raw(response)
    async with raw.running() as url, LeadClient(base_url=url, token="t", retry=AT_ONCE) as lead:
        for cut in range(len(response)):
            raw.cut = cut
            raw.keys.clear()
            payment = await send(lead)
            assert orjson.dumps(unstructure(payment)) == body
            assert len(raw.keys) == 2, cut
            assert len(set(raw.keys)) == 1


@pytest.mark.asyncio
async def test_three_lost_responses_make_one_payment() -> None:
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
async def test_a_server_that_never_responds_is_an_unknown_outcome() -> None:
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
    """No server listens there."""
    async with Raw(b"").running() as url:
        pass
    timeouts = Timeouts(deadline=0.5)
    async with LeadClient(base_url=url, token="t", retry=AT_ONCE, timeouts=timeouts) as lead:
        with pytest.raises(RequestNotSentError, match=r"127\.0\.0\.1.*ECONNREFUSED") as caught:
            await send(lead, "mine")
    assert caught.value.idempotency_key == "mine"
    assert caught.value.attempts > 5


@pytest.mark.asyncio
async def test_redirects_are_not_followed() -> None:
    """The token would go along."""
    seen: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(redirect) as url, LeadClient(base_url=url, token="t") as lead:
        with pytest.raises(OutcomeUnknownError, match="HTTP 307"):
            await send(lead)
    assert set(seen) == {"/v1/instant_payments"}


@pytest.mark.asyncio
@pytest.mark.parametrize("compressed", [False, True])
async def test_a_response_that_is_too_large_is_not_read(compressed: bool) -> None:
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
        owned = lead._transport._session
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
async def test_canned_responses_of_the_bank_can_be_used_too() -> None:
    """The usual fake works, since nothing but the session is asked."""
    body = {**orjson.loads(await a_payment()), "id": "instant_payment_1"}
    with aioresponses() as bank:
        bank.post(
            "https://api.sandbox.lead.bank/v1/oauth/token", payload={"access_token": "a"}, response_class=CannedResponse
        )
        url = "https://api.sandbox.lead.bank/v1/instant_payments/instant_payment_1"
        bank.get(url, payload=body, response_class=CannedResponse)
        async with LeadClient(client_id="me", client_secret="s") as lead:
            payment = await lead.instant_payments.retrieve("instant_payment_1")
    assert unstructure(payment) == body


def test_a_session_of_another_event_loop_is_refused() -> None:
    """Before anything is sent through it."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(session: aiohttp.ClientSession) -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await LeadClient(token="t", session=session).instant_payments.retrieve(ID)
        await session.close()

    asyncio.run(use(asyncio.run(make())))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("machine 127.0.0.1 login me password canary", True),
        ("default login me password canary", True),
        ("machine elsewhere.example login me password canary", False),
        ("nonsense", False),
    ],
)
@pytest.mark.parametrize("place", ["NETRC", "HOME"])
async def test_a_login_in_netrc_that_a_borrowed_session_would_use_is_refused(
    *, line: str, refused: bool, place: str, new_bank: Any, send: Any, payment: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """Before anything is sent, with the key: aiohttp takes no token beside it, and would say so as anybody could."""
    (tmp_path / ".netrc").write_text(line)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv(place, str(tmp_path / ".netrc" if place == "NETRC" else tmp_path))
    bank = await new_bank((200, payment()))
    async with aiohttp.ClientSession(trust_env=True) as session:
        lead = bank.client(session=session)
        if refused:
            with pytest.raises(ConfigurationError, match="netrc") as caught:
                await send(lead, "mine")
            assert caught.value.idempotency_key == "mine"
            assert "canary" not in str(caught.value)
        else:
            assert (await send(lead)).id == ID
    assert bool(bank.requests) is not refused


@pytest.mark.asyncio
async def test_a_response_too_long_for_one_read_is_put_together(new_bank: Any, payment: Any) -> None:
    """A megabyte comes in several pieces, each after the call has begun to wait for it."""
    bank = await new_bank((200, payment(padding="x" * 2**20)))
    async with bank.client() as lead:
        assert len((await lead.instant_payments.retrieve(ID)).unknown_fields["padding"]) == 2**20


@pytest.mark.asyncio
async def test_an_endless_response_is_cut_off(new_bank: Any, send: Any) -> None:
    """Chunk after chunk without a length: it ends at the limit, and the yes counts as unreadable."""
    flood = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b" " * 2**20 + b"\r\n") * 18
    bank = await new_bank(flood)
    async with bank.client() as lead:
        with pytest.raises(MalformedResponseError, match="larger than"):
            await send(lead, "mine")
    assert len(bank.requests) == 1


@pytest.mark.asyncio
async def test_a_redirect_never_carries_the_token_elsewhere(new_bank: Any, send: Any, payment: Any) -> None:
    """Another host sees nothing, on reads and on writes."""
    other = await new_bank((200, payment()))
    bank = await new_bank((302, {}, {"Location": f"{other.url}/stolen"}))
    async with bank.client() as lead:
        for call in (send(lead), lead.instant_payments.retrieve("instant_payment_1")):
            with pytest.raises(LeadError, match="HTTP 302"):
                await call
    assert (len(bank.requests), other.requests) == (10, [])


@pytest.mark.asyncio
async def test_a_response_in_many_small_compressed_pieces_is_read_whole(
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


@contextmanager
def without_collector() -> Iterator[None]:
    """Let only that be freed which nothing refers to."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.asyncio
async def test_an_error_does_not_hold_the_task_that_it_ended(*, closes: bool) -> None:
    """Else each failed call would stay in memory with all its frames until the collector comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.readuntil(b"\r\n\r\n")
        if not closes:
            await silence.wait()
        writer.close()

    silence = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, aiohttp.ClientSession() as session:
        send = opened(session, f"http://{host}:{port}").send
        assert (await send(REQUEST, None, LONG)).status == 200
        with without_collector():
            task = asyncio.create_task(send(POST, None, 2 * SHORT))
            await asyncio.wait([task])
            assert isinstance(task.exception(), NoAnswerError)
            ended = weakref.ref(task)
            del task
            await asyncio.sleep(0)
            assert ended() is None
        silence.set()


@pytest.mark.asyncio
async def test_connecting_ends_before_an_attempt_that_has_little_time() -> None:
    """What had no connection by then was surely not sent; at the end of the attempt itself, it is not known."""
    given: list[aiohttp.ClientTimeout] = []

    class Session(NamedTuple):
        closed: bool = False
        trust_env: bool = False

        def request(self, *_: object, **options: Any) -> None:
            given.append(options["timeout"])
            raise OSError

    send = opened(cast("aiohttp.ClientSession", Session()), "http://127.0.0.1").send
    for left in (4.0, 0.03, 0.01, -1.0):
        with pytest.raises(LeadError):
            await send(REQUEST, None, left)
    assert [timeout.connect for timeout in given] == pytest.approx([3.98, 0.01, 0.001, 0.001])
    assert [timeout.sock_connect for timeout in given] == [timeout.connect for timeout in given]


@pytest.mark.asyncio
async def test_a_response_that_keeps_its_connection_gives_it_back_all_the_same() -> None:
    """As 101 does, which the last byte does not end; an open one would cause a warning later."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.read()
        closed.set()
        writer.close()

    asyncio.get_running_loop().set_debug(True)  # aiohttp warns of it only then
    closed = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        send = opened(session, f"http://{host}:{port}").send
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for _ in range(2):
                assert (await send(REQUEST, None, LONG)).status == 101
        assert not [warning for warning in warned if issubclass(warning.category, ResourceWarning)]
        await asyncio.wait_for(closed.wait(), 1)


def _connector_error(error: OSError) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(cast("Any", SimpleNamespace(host="h", port=1, ssl=True)), error)


def _certificate_error() -> aiohttp.ClientConnectorCertificateError:
    error = ssl.SSLCertVerificationError("canary")
    error.verify_message = "self-signed certificate"
    return aiohttp.ClientConnectorCertificateError(cast("Any", SimpleNamespace(host="h", port=1, is_ssl=True)), error)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "message", "is_permanent"),
    [
        (_certificate_error(), "the certificate of bank.example is not trusted: self-signed certificate", True),
        (_connector_error(OSError(errno.EMFILE, "canary")), "no connection to bank.example: too many open files", True),
        (_connector_error(OSError(errno.ECONNREFUSED, "canary")), "ClientConnectorError (ECONNREFUSED)", False),
        (_connector_error(OSError("canary")), "no connection to bank.example: ClientConnectorError", False),
        (aiohttp.ConnectionTimeoutError(), "no connection to bank.example: ConnectionTimeoutError", False),
        (aiohttp.ClientHttpProxyError(cast("Any", None), (), status=407), "the proxy responded with HTTP 407", True),
        (aiohttp.ClientHttpProxyError(cast("Any", None), (), status=502), "the proxy responded with HTTP 502", False),
    ],
)
async def test_the_error_of_a_failed_connection_names_the_host_and_the_reason(
    error: Exception, message: str, is_permanent: bool
) -> None:
    """Not what aiohttp says, which may quote more; what would fail again in the same way is not repeated."""

    class Session(NamedTuple):
        closed: bool = False
        trust_env: bool = False

        def request(self, *_: object, **__: Any) -> None:
            raise error

    transport = opened(cast("aiohttp.ClientSession", Session()), "https://bank.example")
    with pytest.raises(RequestNotSentError) as caught:
        await transport.send(REQUEST, None, LONG)
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)
    assert caught.value.is_permanent is is_permanent


@pytest.mark.asyncio
async def test_an_attempt_that_ends_while_it_connects_was_not_sent(new_bank: Any, send: Any) -> None:
    """Even where the time of the attempt ends at the same moment as the time to connect."""
    bank = await new_bank("hang")
    transport = Transport(bank.url, Timeouts())
    transport.open()
    with pytest.raises(RequestNotSentError, match="no connection to"):
        await transport.send(REQUEST, None, -1.0)
    await transport.aclose()


@pytest.mark.asyncio
async def test_a_request_says_which_program_it_is_of(new_bank: Any, send: Any, payment: Any) -> None:
    """The bank's support can tell the version."""
    bank = await new_bank((200, payment()))
    async with bank.client() as lead:
        await send(lead)
    assert bank.requests[0][2]["user-agent"] == f"leadpay/{__version__}"


def test_requests_and_responses_show_no_content() -> None:
    """Error trackers show the repr of local variables."""
    request = Request("send", RetrySafety.IDEMPOTENT, "POST", "/v1", b"canary", "key", {"creditor.name": "canary"})
    assert "canary" not in f"{request!r}{Response(200, {}, b'canary')!r}"
