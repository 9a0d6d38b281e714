"""Receive webhooks in any ASGI application: FastAPI, Starlette, Litestar, Quart, Django, or with none.

One line puts it around an application, whose other requests pass through::

    app = WebhookApp(WebhookReceiver(router, secrets=...), app=app)

Nothing of the application, such as a middleware, reads the body before leadpay does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from leadpay.errors import LeadError
from leadpay.webhooks.ip_allowlist import AllowList
from leadpay.webhooks.receiver import FORBIDDEN, NOT_STORED, OK, PATH, WebhookReceiver

if TYPE_CHECKING:
    from leadpay.health import Health

logger = logging.getLogger("leadpay.webhooks")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An application of a framework, each of which types its messages in its own way."""

NOT_FOUND: Final = 404
NOT_ALLOWED: Final = 405


class WebhookApp:
    """An ASGI application that receives webhooks.

    The receiver starts and stops with the server, by ASGI's lifespan. Where a framework keeps the lifespan to itself,
    as a route or a mount does, give it ``lifespan``, or the receiver starts with the first request::

        webhooks = WebhookApp(receiver)
        app = FastAPI(lifespan=webhooks.lifespan)
        app.router.routes.append(Route("/webhooks/lead", webhooks))

    Args:
        receiver: what turns a webhook into a status.
        app: the application that gets every request for another path; without one, they are 404.
        path: the path to receive at. Below a framework's mount, the mount's own path counts, too.
        allow: the only IP addresses or networks that may call; ``leadpay.config.WEBHOOK_SOURCES`` has the bank's.
        trusted_proxies: the proxies whose ``X-Forwarded-For`` is believed, ``"unix"`` for one on a Unix socket.
        health: serves ``/healthz`` and ``/readyz`` too.

    Raises:
        ConfigurationError: an address cannot be read.
    """

    def __init__(
        self,
        receiver: WebhookReceiver,
        *,
        app: AsgiApp | None = None,
        path: str = PATH,
        allow: Iterable[str] | None = None,
        trusted_proxies: Iterable[str] = (),
        health: "Health | None" = None,
    ) -> None:
        self.receiver = receiver
        self._app = app
        self._path = path
        self._allowed = None if allow is None else AllowList.of(allow, trusted_proxies)
        self._health = health
        self._running = _Running(receiver)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of a server."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(scope, receive, send)
        elif scope["type"] == "http" and self._is_here(scope):
            await _respond(await self._receive(scope, receive), send)
        elif scope["type"] == "http" and self._health is not None and scope["path"] in ("/healthz", "/readyz"):
            await _respond_health(self._health, scope["path"], send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _respond(NOT_FOUND, send)
        else:
            await send({"type": "websocket.close"})

    @asynccontextmanager
    async def lifespan(self, _: Any = None) -> AsyncIterator[None]:
        """Run the receiver while the context lasts: for a framework's ``lifespan=``."""
        await self._running.start()
        try:
            yield
        finally:
            await self._running.stop()

    def _is_here(self, scope: Scope) -> bool:
        path, root = scope["path"], scope.get("root_path", "")
        below = path.removeprefix(root)
        return self._path in (path, below) or (self._app is None and bool(root) and below in ("", "/"))

    async def _receive(self, scope: Scope, receive: Receive) -> int:
        if scope["method"] != "POST":
            return NOT_ALLOWED
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if self._allowed is not None:
            peer = scope["client"][0] if scope.get("client") else None
            if not self._allowed.allows(peer, [value for name, value in headers if name == "x-forwarded-for"]):
                return self.receiver.refuse(FORBIDDEN, "address", "its address is not on the allow-list")
        if not self._running.is_started:
            logger.warning("the receiver starts with this first request; pass lifespan=webhooks.lifespan to start it")
            await self._running.start()
        return await self.receiver.receive_stream(headers=dict(headers), chunks=_chunks(receive))

    async def _serve_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the receiver within the application's own lifespan, if it has one."""
        lifespan = _Lifespan(self._running, receive, send)
        if self._app is not None:
            try:
                await self._app(scope, lifespan.receive, lifespan.send)
            except Exception:
                # ASGI wants an application that knows no lifespan to raise.
                if lifespan.is_begun:
                    raise
            else:
                return
        await lifespan.serve()


class _Running:
    """Holds the receiver in a task of its own, since some contexts must be left in the task that entered them."""

    def __init__(self, receiver: WebhookReceiver) -> None:
        self._receiver = receiver
        self._task: asyncio.Task[None] | None = None

    @property
    def is_started(self) -> bool:
        task = self._task
        return (
            task is not None
            and not task.done()
            and task.get_loop() is asyncio.get_running_loop()
            and self._started.done()
        )

    async def start(self) -> None:
        """Enter the receiver, once for all that wait for it; raises what entering raises."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._started, self._stopped = loop.create_future(), asyncio.Event()
            self._task = loop.create_task(self._hold(self._started, self._stopped))
        await asyncio.shield(self._started)

    async def stop(self) -> None:
        """Leave the receiver, if it was entered; raises what leaving raises."""
        if self._task is not None:
            self._stopped.set()
            await self._task

    async def _hold(self, started: "asyncio.Future[None]", stopped: asyncio.Event) -> None:
        try:
            async with self._receiver:
                started.set_result(None)
                await stopped.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)


class _Lifespan:
    """ASGI's lifespan, as it passes through to the application and back: the receiver runs inside of it."""

    def __init__(self, running: _Running, receive: Receive, send: Send) -> None:
        self._running = running
        self._receive = receive
        self._send = send
        self._is_asked = False
        self._has_failed = False
        self.is_begun = False
        """Whether the application takes part in it."""

    async def receive(self) -> MutableMapping[str, Any]:
        """Give the application what the server says."""
        self._is_asked = True
        return await self._receive()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Start and stop the receiver, and tell the server what the application says."""
        self.is_begun = True
        if self._has_failed:
            return
        if message["type"] == "lifespan.startup.complete":
            await self._start()
        elif message["type"].startswith("lifespan.shutdown."):
            await self._running.stop()
        await self._send(message)

    async def serve(self) -> None:
        """Stand in for an application that knows no lifespan."""
        if not self._is_asked:
            await self._receive()
        await self._start()
        await self._send({"type": "lifespan.startup.complete"})
        await self._receive()
        await self._running.stop()
        await self._send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        try:
            await self._running.start()
        except Exception as error:
            # Without this message a server takes the error for "knows no lifespan", and goes on.
            self._has_failed = True
            reason = str(error) if isinstance(error, LeadError) else type(error).__name__
            await self._send({"type": "lifespan.startup.failed", "message": f"the receiver does not start: {reason}"})
            raise


async def _respond(status: int, send: Send, body: bytes = b"") -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    if status == NOT_ALLOWED:
        headers.append((b"allow", b"POST"))
    if body:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _respond_health(health: "Health", path: str, send: Send) -> None:
    if path == "/healthz":
        await _respond(OK, send, b"ok\n")
        return
    readiness = await health.ready()
    await _respond(OK if readiness.is_ready else NOT_STORED, send, str(readiness).encode())


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        yield message.get("body", b"")
        if not message.get("more_body"):
            return
