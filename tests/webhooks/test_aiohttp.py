"""Mounts on a real application, spoken to over real sockets."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler

from leadpay.errors import ConfigurationError
from leadpay.health import Health
from leadpay.metrics import Metrics
from leadpay.webhooks.aiohttp import listening, mount, mount_health, mount_metrics
from leadpay.webhooks.receiver import PATH, WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

SECRET = "whsec_current"
Body = Callable[..., bytes]
Signed = Callable[..., dict[str, str]]


class Endpoint:
    """A receiver that notes the events that it handled."""

    def __init__(self, clock: Any, secret: str = SECRET, **kwargs: Any) -> None:
        self.handled: list[str] = []
        self.steps: list[str] = []
        router = WebhookRouter("endpoint")

        @router.unhandled
        async def note(event: Any) -> None:
            self.handled.append(event.id)

        @router.lifespan
        @asynccontextmanager
        async def life() -> AsyncIterator[None]:
            self.steps.append("enter")
            yield
            self.steps.append("leave")

        self.receiver = WebhookReceiver(router, secrets=secret, clock=clock, **kwargs)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[TestClient[Any, Any]]:
    """Serve an application on a loopback port of its own."""
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.asyncio
async def test_several_mounts_and_secrets_live_in_one_application(clock: Any, make_body: Body, signed: Signed) -> None:
    """One receiver at two paths and another with its own secret; lifespans are entered once and left."""
    app, one, two = web.Application(client_max_size=10), Endpoint(clock), Endpoint(clock, "whsec_second")
    mount(app, one.receiver)
    mount(app, one.receiver, path="/again")
    mount(app, two.receiver, path="/second")
    body = make_body()
    async with serving(app) as client:
        assert (one.steps, two.steps) == (["enter"], ["enter"])
        for path, headers, status in (
            (PATH, signed(body), 200),
            ("/again", signed(body), 200),
            ("/second", signed(body), 401),
            ("/second", signed(body, "whsec_second"), 200),
        ):
            async with client.post(path, data=body, headers=headers) as response:
                assert (response.status, await response.text()) == (status, "")
        async with client.get(PATH) as response:
            assert response.status == 405
    assert (one.handled, two.handled) == (["event_1"], ["event_1"])
    assert one.receiver.counts == {"accepted": 1, "duplicate": 1}
    assert one.steps == two.steps == ["enter", "leave"]


@pytest.mark.asyncio
async def test_an_oversized_chunked_body_is_not_read_to_its_end(clock: Any, signed: Signed) -> None:
    """A body without a length is cut off at the limit, with 413."""
    app, endpoint = web.Application(), Endpoint(clock, max_body_bytes=100)
    mount(app, endpoint.receiver)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 60
            await asyncio.sleep(0)

    async with serving(app) as client, client.post(PATH, data=endless(), headers=signed(b"x")) as response:
        assert response.status == 413
    assert endpoint.receiver.counts == {"too_large": 1}


@pytest.mark.asyncio
async def test_a_body_in_chunks_is_put_together(clock: Any, make_body: Body, signed: Signed) -> None:
    """The signature holds over what came in several pieces."""
    app, endpoint = web.Application(), Endpoint(clock)
    mount(app, endpoint.receiver)
    body = make_body()
    async with serving(app) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode())
        for start in range(0, len(body), 700):
            writer.write(body[start : start + 700])
            await writer.drain()
            await asyncio.sleep(0.01)
        assert b" 200 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert endpoint.handled == ["event_1"]


@pytest.mark.asyncio
async def test_a_body_that_is_cut_off_is_counted(clock: Any, make_body: Body, signed: Signed) -> None:
    """A sender that hangs up in the middle causes no error of ours, and nothing runs."""
    app, endpoint = web.Application(), Endpoint(clock)
    mount(app, endpoint.receiver)
    body = make_body()
    runner = web.AppRunner(app)  # unlike a TestServer, it does not cancel handlers whose sender hangs up
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode())
        writer.write(body[:50])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()
        async with asyncio.timeout(5):
            while not endpoint.receiver.counts:  # noqa: ASYNC110 - a counter has no event to wait for
                await asyncio.sleep(0.005)
    finally:
        await runner.cleanup()
    assert endpoint.receiver.counts == {"cut_off": 1}
    assert endpoint.handled == []


@pytest.mark.parametrize(("allow_compressed", "status"), [(False, 415), (True, 200)])
@pytest.mark.asyncio
async def test_a_compressed_body_is_refused_unless_it_is_asked_for(
    clock: Any, make_body: Body, signed: Signed, allow_compressed: bool, status: int
) -> None:
    """The bank sends none; ``listening`` doesn't even inflate it."""
    endpoint = Endpoint(clock, allow_compressed=allow_compressed)
    body = make_body()
    headers = {"Content-Encoding": "gzip", **signed(body)}
    async with listening(endpoint.receiver) as url, aiohttp.ClientSession() as session:
        async with session.post(url, data=gzip.compress(body), headers=headers) as response:
            assert response.status == status
        async with session.post(url, data=body, headers={"Content-Encoding": "identity", **signed(body)}) as response:
            assert response.status == 200
    assert endpoint.receiver.counts["encoded"] == (status == 415)


@pytest.mark.asyncio
async def test_a_middleware_may_read_the_body(clock: Any, make_body: Body, signed: Signed) -> None:
    """What it read with ``request.read()`` is what is verified."""
    seen: list[bytes] = []

    @web.middleware
    async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append(await request.read())
        return await handler(request)

    app, endpoint, body = web.Application(middlewares=[audit]), Endpoint(clock), make_body()
    mount(app, endpoint.receiver)
    async with serving(app) as client, client.post(PATH, data=body, headers=signed(body)) as response:
        assert response.status == 200
    assert seen == [body]


@pytest.mark.parametrize(
    ("allow", "proxies", "forwarded", "status"),
    [
        (["127.0.0.1"], [], None, 200),
        (["10.1.1.1"], [], None, 403),
        (["10.1.1.1"], [], "10.1.1.1", 403),
        (["10.1.1.1"], ["127.0.0.1"], "10.1.1.1", 200),
        (["10.1.1.1"], ["127.0.0.1"], "10.1.1.1, 10.2.2.2", 403),
    ],
)
@pytest.mark.asyncio
async def test_the_allow_list_trusts_no_header_by_default(  # noqa: PLR0917 - fixtures
    clock: Any,
    make_body: Body,
    signed: Signed,
    allow: list[str],
    proxies: list[str],
    forwarded: str | None,
    status: int,
) -> None:
    """X-Forwarded-For counts only behind a trusted proxy; a refused address is counted."""
    app, endpoint = web.Application(), Endpoint(clock)
    mount(app, endpoint.receiver, allow=allow, trusted_proxies=proxies)
    body = make_body()
    headers = signed(body) | ({"X-Forwarded-For": forwarded} if forwarded else {})
    async with serving(app) as client, client.post(PATH, data=body, headers=headers) as response:
        assert response.status == status
    assert endpoint.receiver.counts == ({"accepted": 1} if status == 200 else {"address": 1})


@pytest.mark.parametrize(("proxies", "status"), [([], 403), (["unix"], 200)])
@pytest.mark.asyncio
async def test_a_unix_socket_has_no_address_but_can_be_trusted(  # noqa: PLR0917 - fixtures
    clock: Any, make_body: Body, signed: Signed, tmp_path: Path, proxies: list[str], status: int
) -> None:
    """Behind a proxy on a Unix socket, its header is believed only if it is named."""
    app, endpoint = web.Application(), Endpoint(clock)
    mount(app, endpoint.receiver, allow=["10.1.1.1"], trusted_proxies=proxies)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    body = make_body()
    headers = signed(body) | {"X-Forwarded-For": "10.1.1.1"}
    connector = aiohttp.UnixConnector(str(tmp_path / "s"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"http://x{PATH}", data=body, headers=headers) as response,
    ):
        assert response.status == status
    await runner.cleanup()


def test_an_address_that_cannot_be_read_is_refused_at_once(clock: Any) -> None:
    """A malformed allow-list is an error before the application starts."""
    with pytest.raises(ConfigurationError, match="allow"):
        mount(web.Application(), Endpoint(clock).receiver, allow=["bank.example"])


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_receiver_listens_on_a_port_of_its_own(host: str, clock: Any, make_body: Body, signed: Signed) -> None:
    """Its URL is where to send webhooks, its lifespans last as long, and the port is closed afterwards."""
    endpoint, body = Endpoint(clock), make_body()
    async with listening(endpoint.receiver, host=host, path="/here") as url, aiohttp.ClientSession() as session:
        assert url.endswith("/here")
        async with session.post(url, data=body, headers=signed(body)) as response:
            assert response.status == 200
    assert endpoint.steps == ["enter", "leave"]


@pytest.mark.asyncio
async def test_a_port_that_is_taken_leaves_nothing_running(clock: Any) -> None:
    """The lifespans are left, and the error comes through."""
    one, two = Endpoint(clock), Endpoint(clock)
    async with listening(one.receiver) as url:
        with pytest.raises(OSError, match="address already in use"):
            await listening(two.receiver, port=int(url.split(":")[2].partition("/")[0])).__aenter__()
    assert two.steps == ["enter", "leave"]


class Store:
    """A store whose probe fails on demand."""

    error: Exception | None = None

    async def probe(self) -> None:
        """Fail, or not."""
        if self.error is not None:
            raise self.error


@pytest.mark.asyncio
async def test_health_is_mounted(clock: Any) -> None:
    """Not ready is 503, with the part that isn't; alive it is all the same."""
    app, store, endpoint = web.Application(), Store(), Endpoint(clock)
    mount(app, endpoint.receiver)
    mount_health(app, Health(inbox=store, receiver=endpoint.receiver, clock=clock))
    async with serving(app) as client:
        for error, status, text in ((None, 200, "inbox: ok"), (OSError("disk"), 503, "inbox: OSError")):
            store.error = error
            clock.time += 1
            async with client.get("/readyz") as response:
                assert (response.status, text in await response.text()) == (status, True)
            async with client.get("/healthz") as response:
                assert (response.status, await response.text()) == (200, "ok\n")


@pytest.mark.asyncio
async def test_metrics_are_mounted(clock: Any, make_body: Body, signed: Signed) -> None:
    """Prometheus reads what a receiver has counted."""
    metrics = Metrics()
    app, endpoint, body = web.Application(), Endpoint(clock, observer=metrics), make_body()
    mount(app, endpoint.receiver)
    mount_metrics(app, metrics)
    async with serving(app) as client:
        async with client.post(PATH, data=body, headers=signed(body)) as response:
            assert response.status == 200
        async with client.get("/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            assert 'lead_webhooks_total{lead_webhook_result="accepted"} 1.0' in await response.text()
