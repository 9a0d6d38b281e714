"""The ASGI application: spoken to by uvicorn in each framework, and message by message."""

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from django.conf import settings  # type: ignore[import-untyped] # has no types
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped] # the same
from fastapi import FastAPI
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from leadpay.errors import ConfigurationError
from leadpay.health import Health
from leadpay.webhooks.asgi import AsgiApp, WebhookApp
from leadpay.webhooks.receiver import PATH, WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

SECRET = "whsec_current"
Body = Callable[..., bytes]
Signed = Callable[..., dict[str, str]]
Message = MutableMapping[str, Any]


class Endpoint:
    """A receiver that notes what it does."""

    def __init__(self, clock: Any, **options: Any) -> None:
        self.steps: list[str] = []
        self.failing: str | None = None
        router = WebhookRouter("endpoint")

        @router.unhandled
        async def note(event: Any) -> None:
            self.steps.append(event.id)

        @router.lifespan
        @asynccontextmanager
        async def life() -> AsyncIterator[None]:
            self._step("enter")
            yield
            self._step("leave")

        self.receiver = WebhookReceiver(router, secrets=SECRET, clock=clock, **options)

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.failing == name:
            raise ConfigurationError(f"cannot {name}")


@pytest.fixture
def endpoint(clock: Any) -> Endpoint:
    return Endpoint(clock)


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application with uvicorn."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="auto"))
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def fastapi_route(receiver: WebhookReceiver) -> Any:
    webhooks = WebhookApp(receiver)
    app = FastAPI(lifespan=webhooks.lifespan)
    app.router.routes.append(Route(PATH, webhooks))
    return app


def starlette_mount(receiver: WebhookReceiver) -> Any:
    webhooks = WebhookApp(receiver, path="/lead")
    return Starlette(routes=[Mount("/webhooks", webhooks)], lifespan=webhooks.lifespan)


def quart(receiver: WebhookReceiver) -> Any:
    app = Quart(__name__)
    app.asgi_app = WebhookApp(receiver, app=app.asgi_app)  # type: ignore[assignment, method-assign] # as its docs say
    return app


def django(receiver: WebhookReceiver) -> Any:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=(), SECRET_KEY="made up", ALLOWED_HOSTS=["127.0.0.1"], LOGGING_CONFIG=None)
    return WebhookApp(receiver, app=get_asgi_application())


FRAMEWORKS: dict[str, Callable[[WebhookReceiver], Any]] = {
    "none": WebhookApp,
    "fastapi": lambda receiver: WebhookApp(receiver, app=FastAPI()),
    "fastapi_route": fastapi_route,
    "starlette": lambda receiver: WebhookApp(receiver, app=Starlette()),
    "starlette_mount": starlette_mount,
    "litestar": lambda receiver: WebhookApp(receiver, app=Litestar(logging_config=None)),
    "quart": quart,
    "django": django,
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.asyncio
async def test_every_framework_takes_it(framework: str, endpoint: Endpoint, make_body: Body, signed: Signed) -> None:
    """The receiver starts and stops with the server; other methods and paths are refused as they should be."""
    body = make_body()
    async with served(FRAMEWORKS[framework](endpoint.receiver)) as url, aiohttp.ClientSession() as session:
        assert endpoint.steps == ["enter"]
        for method, path, headers, status in (
            ("POST", PATH, signed(body), 200),
            ("POST", PATH, signed(body, "whsec_forged"), 401),
            ("POST", PATH, {"Content-Encoding": "gzip"}, 415),
            ("GET", PATH, {}, 405),
            ("POST", "/elsewhere", signed(body), 404),
        ):
            async with session.request(method, url + path, data=body, headers=headers) as response:
                assert response.status == status
                if status == 405:
                    assert response.headers["Allow"] == "POST"
    assert endpoint.steps == ["enter", "event_1", "leave"]


class Server:
    """What a server sends to an application, and gets from it."""

    def __init__(self, *messages: str | Message) -> None:
        self._messages = [{"type": one} if isinstance(one, str) else one for one in messages]
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """Give the next message."""
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        """Keep a message."""
        self.sent.append(message)

    @property
    def said(self) -> list[str]:
        """The types of the messages."""
        return [one["type"].partition(".")[2] for one in self.sent]


def scope_of(path: str = PATH, headers: dict[str, str] | None = None, **fields: Any) -> Message:
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"type": "http", "method": "POST", "path": path, "headers": raw, "client": ("10.1.1.1", 5), **fields}


async def status_of(app: AsgiApp, scope: Message, *messages: str | Message) -> int:
    server = Server(*messages)
    await app(scope, server.receive, server.send)
    assert server.said == ["response.start", "response.body"]
    return int(server.sent[0]["status"])


@pytest.mark.asyncio
async def test_a_body_in_pieces_is_put_together_and_one_that_is_cut_off_is_counted(
    endpoint: Endpoint, make_body: Body, signed: Signed
) -> None:
    """A sender that hangs up costs nothing."""
    app, body = WebhookApp(endpoint.receiver), make_body()
    pieces: list[Message] = [
        {"type": "http.request", "body": body[:9], "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": body[9:]},
    ]
    async with app.lifespan():
        assert await status_of(app, scope_of(headers=signed(body)), *pieces) == 200
        assert await status_of(app, scope_of(headers=signed(body)), pieces[0], "http.disconnect") == 400
    assert endpoint.receiver.counts == {"accepted": 1, "cut_off": 1}


@pytest.mark.asyncio
async def test_without_a_lifespan_the_receiver_starts_with_the_first_request(
    endpoint: Endpoint, make_body: Body, signed: Signed, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests that come together start it once; a warning says what is missing."""
    app = WebhookApp(endpoint.receiver)
    statuses = []
    for number in range(3):
        body = make_body(event_id=f"event_{number}")
        request = {"type": "http.request", "body": body}
        statuses.append(status_of(app, scope_of(headers=signed(body)), request))
    assert await asyncio.gather(*statuses) == [200] * 3
    assert endpoint.steps == ["enter", "event_0", "event_1", "event_2"]
    assert "lifespan=webhooks.lifespan" in caplog.text
    await app._running.stop()
    assert endpoint.steps[-1] == "leave"


@pytest.mark.parametrize(
    ("client", "forwarded", "status"),
    [
        (("10.1.1.1", 5), None, 401),
        (("10.2.2.2", 5), None, 403),
        (("10.2.2.2", 5), "10.1.1.1", 403),
        (("10.9.9.9", 5), "10.1.1.1", 401),
        (None, "10.1.1.1", 401),
        (None, None, 403),
    ],
)
@pytest.mark.asyncio
async def test_the_allow_list_is_the_one_of_mount(
    endpoint: Endpoint, client: Any, forwarded: str | None, status: int
) -> None:
    """X-Forwarded-For counts only behind a trusted proxy, which may be on a Unix socket."""
    app = WebhookApp(endpoint.receiver, allow=["10.1.1.1"], trusted_proxies=["10.9.9.9", "unix"])
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    async with app.lifespan():
        assert await status_of(app, scope_of(headers=headers, client=client)) == status


@pytest.mark.parametrize(
    ("path", "root", "status"), [("/lead/", "/lead", 401), ("/", "", 404), ("/api/webhooks/lead", "/api", 401)]
)
@pytest.mark.asyncio
async def test_below_a_mount_its_own_path_counts(endpoint: Endpoint, path: str, root: str, status: int) -> None:
    """A server's root path is taken off, too."""
    app = WebhookApp(endpoint.receiver)
    async with app.lifespan():
        assert await status_of(app, scope_of(path, root_path=root)) == status


class Store:
    """A store that cannot write."""

    async def probe(self) -> None:
        """Fail."""
        raise OSError("disk full of Gertrude")


@pytest.mark.asyncio
async def test_health_is_served_if_it_is_given(endpoint: Endpoint) -> None:
    """Without it, the paths are not there."""
    app = WebhookApp(endpoint.receiver, health=Health(receiver=endpoint.receiver))
    broken = WebhookApp(endpoint.receiver, health=Health(inbox=Store()))
    async with app.lifespan():
        assert await status_of(app, scope_of("/readyz", method="GET")) == 200
    assert await status_of(app, scope_of("/healthz", method="GET")) == 200
    assert await status_of(broken, scope_of("/readyz", method="GET")) == 503
    assert await status_of(WebhookApp(endpoint.receiver), scope_of("/readyz", method="GET")) == 404


@pytest.mark.asyncio
async def test_a_websocket_is_closed(endpoint: Endpoint) -> None:
    """There is none here."""
    server = Server("websocket.connect")
    await WebhookApp(endpoint.receiver)({"type": "websocket", "path": PATH}, server.receive, server.send)
    assert server.said == ["close"]


class Inner:
    """An application with a lifespan of its own, which fails on demand."""

    def __init__(self, failing: str | None = None) -> None:
        self.failing = failing

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Serve."""
        if self.failing == "at once":
            raise ValueError("knows no lifespan")
        await receive()
        if self.failing == "asked":
            raise ValueError("knows no lifespan")
        if self.failing == "startup":
            await send({"type": "lifespan.startup.failed", "message": "its own"})
            return
        try:
            await send({"type": "lifespan.startup.complete"})
        except ConfigurationError:
            await send({"type": "lifespan.startup.failed", "message": "once more"})
            raise
        await receive()
        if self.failing == "at the end":
            raise ValueError("failed")
        await send({"type": "lifespan.shutdown.complete"})


LIFESPAN = {"type": "lifespan"}


@pytest.mark.parametrize("inner", [None, Inner(), Inner("at once"), Inner("asked")])
@pytest.mark.asyncio
async def test_the_receiver_runs_inside_of_the_application_s_lifespan(endpoint: Endpoint, inner: Any) -> None:
    """Also if the application has none, and says so by an exception."""
    server = Server("lifespan.startup", "lifespan.shutdown")
    await WebhookApp(endpoint.receiver, app=inner)(LIFESPAN, server.receive, server.send)
    assert server.said == ["startup.complete", "shutdown.complete"]
    assert endpoint.steps == ["enter", "leave"]


@pytest.mark.parametrize("inner", [None, Inner()])
@pytest.mark.asyncio
async def test_a_receiver_that_does_not_start_stops_the_server(endpoint: Endpoint, inner: Any) -> None:
    """Without this message a server would take the error for "knows no lifespan", and go on."""
    endpoint.failing = "enter"
    server = Server("lifespan.startup")
    with pytest.raises(ConfigurationError, match="cannot enter"):
        await WebhookApp(endpoint.receiver, app=inner)(LIFESPAN, server.receive, server.send)
    assert server.sent == [{"type": "lifespan.startup.failed", "message": "the receiver does not start: cannot enter"}]


@pytest.mark.asyncio
async def test_an_application_that_does_not_start_starts_no_receiver(endpoint: Endpoint) -> None:
    """The server is told why; to stop is no error."""
    server = Server("lifespan.startup")
    app = WebhookApp(endpoint.receiver, app=Inner("startup"))
    await app(LIFESPAN, server.receive, server.send)
    await app._running.stop()
    assert server.sent == [{"type": "lifespan.startup.failed", "message": "its own"}]
    assert endpoint.steps == []


@pytest.mark.asyncio
async def test_the_application_s_own_failure_comes_through(endpoint: Endpoint) -> None:
    """It is not taken for "knows no lifespan"."""
    server = Server("lifespan.startup", "lifespan.shutdown")
    app = WebhookApp(endpoint.receiver, app=Inner("at the end"))
    with pytest.raises(ValueError, match="failed"):
        await app(LIFESPAN, server.receive, server.send)
    await app._running.stop()


@pytest.mark.asyncio
async def test_a_failure_to_stop_comes_through(endpoint: Endpoint) -> None:
    """It is the receiver's own."""
    endpoint.failing = "leave"
    app = WebhookApp(endpoint.receiver)
    with pytest.raises(ConfigurationError, match="cannot leave"):
        async with app.lifespan():
            assert endpoint.steps == ["enter"]


def test_it_can_be_used_in_one_event_loop_after_another(endpoint: Endpoint, make_body: Body, signed: Signed) -> None:
    """Some test clients run each request in a loop of its own."""
    app, body = WebhookApp(endpoint.receiver), make_body()
    for _ in range(2):
        request = {"type": "http.request", "body": body}
        assert asyncio.run(status_of(app, scope_of(headers=signed(body)), request)) == 200
    assert endpoint.steps == ["enter", "event_1", "leave", "enter", "leave"]
