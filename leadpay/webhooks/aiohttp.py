"""Mount a receiver on an ``aiohttp.web.Application`` of yours, or let it listen on a port of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from leadpay.webhooks.http_server import ServerLimits, serving
from leadpay.webhooks.ip_allowlist import AllowList
from leadpay.webhooks.receiver import FORBIDDEN, PATH, WebhookReceiver

if TYPE_CHECKING:
    from leadpay.health import Health
    from leadpay.metrics import Metrics

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


def mount(
    app: web.Application,
    receiver: WebhookReceiver,
    *,
    path: str = PATH,
    allow: Iterable[str] | None = None,
    trusted_proxies: Iterable[str] = (),
) -> None:
    """Receive webhooks at a path of an application. One application can have several mounts.

    The receiver starts and stops with the application: the lifespans of its routers, and the work on its inbox.

    Args:
        app: the application, before it is started.
        receiver: what turns a webhook into a status.
        path: the path to receive at.
        allow: the only IP addresses or networks that may call; ``leadpay.config.WEBHOOK_SOURCES`` has the bank's.
        trusted_proxies: the proxies whose ``X-Forwarded-For`` is believed, ``"unix"`` for one on a Unix socket.

    Raises:
        ConfigurationError: an address cannot be read.
    """
    handle = _handler(receiver)
    if allow is not None:
        handle = _allowing(AllowList.of(allow, trusted_proxies), receiver, handle)

    async def run(_: web.Application) -> AsyncIterator[None]:
        async with receiver:
            yield

    app.router.add_post(path, handle)
    app.cleanup_ctx.append(run)


def mount_health(app: web.Application, health: "Health") -> None:
    """Serve ``/healthz`` (200 while the process works) and ``/readyz`` (200, or 503 with the parts that are not ready).

    Anyone may ask: the parts are checked once a second at most, and nothing private is shown.

    Args:
        app: the application, before it is started.
        health: the parts to check.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        readiness = await health.ready()
        return web.Response(text=str(readiness), status=200 if readiness.is_ready else 503)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


def mount_metrics(app: web.Application, metrics: "Metrics", *, path: str = "/metrics") -> None:
    """Serve metrics for Prometheus. They show how much you receive and send, so keep the path from strangers.

    Args:
        app: the application, before it is started.
        metrics: the observer that measures.
        path: the path to serve at.
    """

    async def render(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})

    app.router.add_get(path, render)


@asynccontextmanager
async def listening(
    receiver: WebhookReceiver,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    path: str = PATH,
    limits: ServerLimits | None = None,
    health: "Health | None" = None,
) -> AsyncIterator[str]:
    """Receive webhooks on a port while the context lasts, for a program that has no application of its own.

    Args:
        receiver: what turns a webhook into a status.
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
        path: the path to receive at.
        limits: other limits on connections than the defaults.
        health: serves ``/healthz`` and ``/readyz`` too.

    Yields:
        The URL to send webhooks to.

    Raises:
        OSError: the address or the port is not available.
    """
    app = web.Application()
    mount(app, receiver, path=path)
    if health is not None:
        mount_health(app, health)
    async with serving(app, host=host, port=port, limits=limits, auto_decompress=receiver.allow_compressed) as url:
        yield url + path


@asynccontextmanager
async def monitoring(
    metrics: "Metrics", health: "Health", *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve ``/metrics``, ``/healthz`` and ``/readyz`` on a port of their own while the context lasts.

    Args:
        metrics: the observer that measures.
        health: the parts to check.
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.

    Yields:
        The URL of the metrics.

    Raises:
        OSError: the address or the port is not available.
    """
    app = web.Application()
    mount_metrics(app, metrics)
    mount_health(app, health)
    async with serving(app, host=host, port=port) as url:
        yield f"{url}/metrics"


def _handler(receiver: WebhookReceiver) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        status = await receiver.receive_stream(headers=request.headers, chunks=_chunks(request))
        return web.Response(status=status)

    return handle


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Give the body as it comes, whatever the application's own limit is, or what a middleware has read of it."""
    if request.content.at_eof():
        yield await request.read()
        return
    async for chunk in request.content.iter_any():
        yield chunk


def _allowing(addresses: AllowList, receiver: WebhookReceiver, handle: _Handler) -> _Handler:
    async def handle_if_allowed(request: web.Request) -> web.Response:
        if addresses.allows(_peer(request), request.headers.getall("X-Forwarded-For", [])):
            return await handle(request)
        return web.Response(status=receiver.refuse(FORBIDDEN, "address", "its address is not on the allow-list"))

    return handle_if_allowed


def _peer(request: web.Request) -> str | None:
    name = request.transport.get_extra_info("peername") if request.transport else None
    return name[0] if isinstance(name, tuple) else None
