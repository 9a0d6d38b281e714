"""Serve an aiohttp application on a port of its own, within limits on the connections of strangers.

aiohttp parses HTTP. Each connection of it is wrapped in a protocol that closes a connection which waits too long, sends
too long a head, or must make room for another one.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from leadpay.webhooks.log_limiter import LogLimiter

try:
    import resource
except ImportError:  # pragma: no cover - Windows
    resource = None  # type: ignore[assignment] # checked where it is used

logger = logging.getLogger("leadpay.webhooks.http")

parser_logger = logging.getLogger("leadpay.webhooks.http.parser")
"""What aiohttp logs to: a stranger can cause a traceback with each malformed request."""

MAX_CONNECTIONS: Final = 2000
"""How many connections are open at once. With one more, the one that has waited longest without a request is closed.

Each takes some ten kilobytes. At most half of the process's file descriptors are used, which leaves the rest to its
store and its handlers.
"""

HEADER_SECONDS: Final = 10.0
"""How long the headers of a request may take, in seconds, from the connection or from the request's first byte."""

KEEPALIVE_SECONDS: Final = 75.0
"""How long a connection may rest between two requests, in seconds: longer than nginx keeps one, which is 60."""

MAX_HEAD_BYTES: Final = 16_384
"""Longest request line with headers, in bytes: the bank's have less than one kilobyte, proxies add a few lines."""

LINGER_SECONDS: Final = 1.0
"""How long the body of a refused request is read and dropped, in seconds, so that its sender sees the response."""

ACCEPTED_AT_ONCE: Final = 16
"""How many connections are accepted before others get their turn: a flood must not displace a webhook just come."""

BACKLOG: Final = 1024
"""How many connections wait in the system to be accepted. One that finds no place tries again a second later."""

_END_OF_HEAD: Final = b"\r\n\r\n"


@attrs.frozen(kw_only=True)
class ServerLimits:
    """The limits of a server's connections."""

    max_connections: int = MAX_CONNECTIONS
    header_seconds: float = HEADER_SECONDS
    keepalive_seconds: float = KEEPALIVE_SECONDS
    max_head_bytes: int = MAX_HEAD_BYTES
    linger_seconds: float = LINGER_SECONDS


@asynccontextmanager
async def serving(
    app: web.Application,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: ServerLimits | None = None,
    auto_decompress: bool = False,
) -> AsyncIterator[str]:
    """Serve an application while the context lasts.

    Args:
        app: the application; nothing else may serve it.
        host: the address to listen on.
        port: the port to listen on; 0 for any free one.
        limits: other limits than the defaults.
        auto_decompress: whether to inflate bodies that have a ``Content-Encoding``.

    Yields:
        The server's URL, without a path.

    Raises:
        OSError: the address or the port is not available.
    """
    connections = Connections(_within_descriptors(limits or ServerLimits()))
    app.middlewares.insert(0, connections.middleware)
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=auto_decompress,
        lingering_time=connections.limits.linger_seconds,
        logger=parser_logger,
        max_line_size=connections.limits.max_head_bytes,
    )
    await runner.setup()
    try:
        make = runner.server
        assert make is not None  # noqa: S101 - it has been set up
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: connections.wrap(make()), host, port, backlog=ACCEPTED_AT_ONCE)
        try:
            for one in server.sockets:
                # The same number goes to the system as its queue's length, which need not be so short.
                with socket.fromfd(one.fileno(), one.family, one.type) as listener:
                    listener.listen(BACKLOG)
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
    finally:
        connections.stop()
        await runner.cleanup()


def _within_descriptors(limits: ServerLimits) -> ServerLimits:
    """Take at most half of the file descriptors that the process may have."""
    if resource is None:  # pragma: no cover - Windows has no such limit
        return limits
    half = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    return attrs.evolve(limits, max_connections=min(limits.max_connections, half))


class Connections:
    """All connections of a server.

    Args:
        limits: how many there may be, and how long they may wait.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self.closed: Counter[str] = Counter()
        """How many connections were closed, by reason: ``crowded``, ``too_slow``, ``head_too_long``."""
        self._loop = asyncio.get_running_loop()
        self._log_limiter = LogLimiter()
        parser_logger.addFilter(self._is_admitted)
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        self._waiting: dict[_Connection, None] = {}
        """The connections on which no request is being handled, the one that has waited longest first."""
        self._sweep = self._loop.call_soon(self._close_late)

    def wrap(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """Wrap the protocol of a new connection."""
        return _Connection(self, inner)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell a connection that a request of it is being handled."""
        connection = self._open.get(request.transport) if request.transport else None
        if connection is None:
            return await handler(request)
        connection.handle()
        self._waiting.pop(connection, None)
        try:
            return await handler(request)
        finally:
            if connection.transport in self._open:
                connection.rest(is_body_read=request.content.at_eof())
                self._waiting[connection] = None

    def admit(self, connection: "_Connection", transport: asyncio.BaseTransport) -> bool:
        """Add a connection, and close another one if there are too many; False if all others are at work."""
        if len(self._open) >= self.limits.max_connections:
            self.log("crowded", f"more than {self.limits.max_connections} connections: the longest waiting are closed")
            if not self._waiting:
                return False
            next(iter(self._waiting)).abort()
        self._open[transport] = connection
        self._waiting[connection] = None
        return True

    def remove(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._open.pop(connection.transport, None)
        self._waiting.pop(connection, None)

    def log(self, reason: str, text: str) -> None:
        """Count and log a connection that is closed."""
        self.closed[reason] += 1
        admitted = self._log_limiter.admit(reason, text, self._loop.time())
        if admitted is not None:
            logger.warning("%s", admitted)

    def stop(self) -> None:
        """Look for late connections no more."""
        self._sweep.cancel()
        parser_logger.removeFilter(self._is_admitted)

    def _close_late(self) -> None:
        now = self._loop.time()
        for connection in [one for one in self._waiting if one.deadline <= now]:
            if not connection.is_resting:
                self.log("too_slow", f"a request's headers took more than {self.limits.header_seconds:g} seconds")
            connection.abort()
        # Ten times in the shortest wait is exact enough, and one timer is cheaper than one a connection.
        self._sweep = self._loop.call_later(self.limits.header_seconds / 10, self._close_late)

    def _is_admitted(self, record: logging.LogRecord) -> bool:
        return self._log_limiter.admit(str(record.msg), "", self._loop.time()) is not None


class _Connection(asyncio.Protocol):
    """Counts and times what comes, before aiohttp's protocol gets it."""

    transport: asyncio.Transport

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner: asyncio.Protocol | None = inner
        self._limits = connections.limits
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + self._limits.header_seconds
        self.is_resting = False
        """Whether it has handled a request, and no byte of another one has come."""
        self._is_in_head = True
        self._head = bytearray()
        """A head that is not complete. It is parsed once, in whatever small pieces a stranger sends it."""
        self._tail = b""
        """The last bytes that were passed on: of a request sent early, its head may end in the next ones."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's protocol
        self.transport = transport
        if self._connections.admit(self, transport):
            assert self._inner is not None  # noqa: S101 - lost later
            self._inner.connection_made(transport)
        else:
            self._inner = None
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        if self.is_resting:
            self.is_resting = False
            self.deadline = self._loop.time() + self._limits.header_seconds
        if self._is_in_head:
            self._head += data
            end = (self._tail + self._head).find(_END_OF_HEAD)
            length = len(self._head) if end < 0 else end - len(self._tail)
            if length > self._limits.max_head_bytes:
                self._connections.log("head_too_long", f"more than {self._limits.max_head_bytes} bytes of headers")
                self.abort()
                return
            if end < 0:
                return
            self._is_in_head = False
            data = bytes(self._head)
            self._head.clear()
        self._tail = data[1 - len(_END_OF_HEAD) :]
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)
            self._inner = None

    def handle(self) -> None:
        """Count nothing while a request is handled: its body has limits of its own."""
        self._is_in_head = False

    def rest(self, *, is_body_read: bool) -> None:
        """Wait for the next request, or for the rest of a body that is dropped."""
        self.is_resting = self._is_in_head = is_body_read
        self.deadline = self._loop.time() + (
            self._limits.keepalive_seconds if is_body_read else 2 * self._limits.linger_seconds
        )

    def abort(self) -> None:
        """Close it at once, without a response: a stranger's buffers are not worth waiting for."""
        self._connections.remove(self)
        self.transport.abort()
