"""One Request in, one Response or one LeadError out. The only file here that knows aiohttp's errors."""

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from yarl import URL

from leadpay import __version__
from leadpay.client.requests import Request
from leadpay.config import Timeouts
from leadpay.errors import ConfigurationError, LeadError, NoAnswerError, RequestNotSentError

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

USER_AGENT: Final = f"leadpay/{__version__}"

MAX_RESPONSE_BYTES: Final = 16_777_216
"""Largest response that is read, in bytes, after decompression: sixty times a full page of the longest payments."""

MIN_TIMEOUT: Final = 0.001
"""Shortest time to connect, in seconds: to aiohttp, zero means no limit."""

MARGIN: Final = 0.02
"""How much earlier connecting must end than the attempt, in seconds, where time is short. If both ended at once, it
would be unknown whether the request was sent. A busy event loop looks at its timers more often than this."""

_PROXY_AUTHENTICATION: Final = 407

_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""There was no connection (DNS, connect, TLS, proxy), so the bank received nothing."""


class Response(NamedTuple):
    """The response to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """None if it was larger than MAX_RESPONSE_BYTES."""
    close: Callable[[], None] = lambda: None
    """Closes the connection that it came on, which may hold the response to another request, too."""
    is_on_kept_connection: bool = False
    """Whether the connection had other requests before, to one of which the response may be."""

    def __repr__(self) -> str:
        return f"Response({self.status})"


_CONNECTING: Final = asyncio.BaseTransport()
"""Stands for a connection that is not there yet."""

_connection: ContextVar[asyncio.BaseTransport | None] = ContextVar("connection", default=None)
"""The connection of the last request of this task: aiohttp has returned it to the pool before the response is read."""


_wants_new: ContextVar[bool] = ContextVar("wants_new", default=False)
"""Whether this task's request must be the first one of its connection."""

_is_kept: ContextVar[bool] = ContextVar("is_kept", default=False)
"""Whether the connection of the last request of this task had other requests before."""


class _Connector(aiohttp.TCPConnector):
    """A pool that never gives a connection with unread data: what came while it was idle would be the next response."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        self._used: WeakSet[object] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list["Trace"],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> "Connection":
        _connection.set(_CONNECTING)
        kept: list[Connection] = []
        try:
            while True:
                connection = await super().connect(req, traces, timeout)
                if connection.protocol is not None and connection.protocol.should_close:
                    connection.close()
                    continue
                is_kept = connection.protocol in self._used
                if is_kept and _wants_new.get():
                    kept.append(connection)
                    continue
                self._used.add(connection.protocol)
                _is_kept.set(is_kept)
                _connection.set(connection.transport)
                return connection
        finally:
            for connection in kept:
                connection.release()


class Transport:
    """Sends requests through an aiohttp session, whatever that session's own defaults are.

    Args:
        base_url: the bank's address.
        timeouts: how long to wait.
        session: a borrowed session, which is never closed here; if left out, one is made on first use.
    """

    def __init__(self, base_url: str, timeouts: Timeouts, session: aiohttp.ClientSession | None = None) -> None:
        self.base_url = base_url
        self._timeouts = timeouts
        self._total = timeouts.connect + timeouts.read
        self._borrowed = session
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def open(self) -> None:
        """Get ready: on first use, bind to the running event loop and make a session if none was borrowed.

        Raises:
            ConfigurationError: the client is closed, or the client or its session cannot be used here.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise ConfigurationError("this client is closed; make a new one")
        if self._loop is loop:
            return
        if self._loop is not None:
            raise ConfigurationError("this client belongs to another event loop; make one for each")
        session = self._borrowed
        if session is None:
            session = aiohttp.ClientSession(
                # Capacity limits the number of connections, before an attempt begins.
                connector=_Connector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        elif getattr(session, "_loop", loop) is not loop:
            # Otherwise each call would fail within aiohttp, and it would be unknown what was sent.
            raise ConfigurationError("session: belongs to another event loop")
        elif session.trust_env and _is_in_netrc(self.base_url):
            raise ConfigurationError(
                "session: trusts the environment, whose netrc file has a login for the bank's host, which contradicts "
                "the bank's token; make the session without trust_env, or remove the login"
            )
        self._session, self._loop = session, loop

    async def aclose(self) -> None:
        """Close the session if it is our own. To close again does nothing."""
        self._closed = True
        if self._session is not None and self._borrowed is None:
            await self._session.close()

    async def send(self, request: Request, token: str | None, left: float) -> Response:
        """Send once.

        Args:
            request: what to send.
            token: the access token; None for the request that asks for one.
            left: seconds that remain of the call; there may be none.

        Raises:
            RequestNotSentError: there was no connection.
            NoAnswerError: the connection was lost, or time ran out, at any point after that.
        """
        session = self._session
        if session is None or session.closed:
            raise RequestNotSentError("no connection to the bank: the session is closed", is_permanent=True)
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
        _connection.set(None)
        _is_kept.set(False)
        _wants_new.set(request.wants_new_connection)
        connect = min(self._timeouts.connect, max(left - MARGIN, MIN_TIMEOUT))
        try:
            async with (
                asyncio.timeout(min(left, self._total)),
                session.request(
                    request.method,
                    URL(self.base_url + request.path, encoded=True),
                    data=request.body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(connect=connect, sock_connect=connect),
                    # A redirect could take the token elsewhere.
                    allow_redirects=False,
                    raise_for_status=False,
                ) as response,
            ):
                body = await _read(response)
                connection = _connection.get()
                close = response.close if connection is None else connection.close
                return Response(response.status, response.headers, body, close, _is_kept.get())
        except _NOT_SENT as error:
            failure: LeadError = _not_sent(error, urlsplit(self.base_url).netloc)
        except Exception as error:  # noqa: BLE001 - aiohttp, ssl or zlib: it is unknown what the bank received
            host, name = urlsplit(self.base_url).netloc, type(error).__name__
            if _connection.get() is _CONNECTING:
                failure = RequestNotSentError(f"no connection to {host}: {name}")
            else:
                failure = NoAnswerError(f"no response from {host}: {name}")
        # Raised here, so that aiohttp's error, whose frames hold the request and this task, is not its context.
        raise failure


def _not_sent(error: Exception, host: str) -> RequestNotSentError:
    """Say why there was no connection; without aiohttp's own text, which may quote more than the host."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
        return RequestNotSentError(f"the certificate of {host} is not trusted: {reason}", is_permanent=True)
    number = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
    if number in {errno.EMFILE, errno.ENFILE}:
        return RequestNotSentError(f"no connection to {host}: too many open files", is_permanent=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return RequestNotSentError(
            f"no connection to {host}: the proxy responded with HTTP {error.status}",
            is_permanent=error.status == _PROXY_AUTHENTICATION,
        )
    detail = f" ({errno.errorcode[number]})" if number is not None and number in errno.errorcode else ""
    return RequestNotSentError(f"no connection to {host}: {type(error).__name__}{detail}")


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Read until the end; None if it is too much, whatever the headers promise."""
    chunks: list[bytes] = []
    size = 0
    while not response.content.at_eof():
        chunks.append(await response.content.readany())
        size += len(chunks[-1])
        if size > MAX_RESPONSE_BYTES:
            response.close()
            return None
    return b"".join(chunks)


def _is_in_netrc(url: str) -> bool:
    """Say whether aiohttp would find a login for a URL's host in a netrc file, the host's own or the default one.

    It then refuses each request that has a token before it is sent, in an error that looks like any other.
    """
    from netrc import NetrcParseError, netrc  # noqa: PLC0415 - few sessions trust the environment

    try:
        path = os.environ.get("NETRC") or Path.home() / ("_netrc" if os.name == "nt" else ".netrc")
        return netrc(str(path)).authenticators(urlsplit(url).hostname or "") is not None
    except (OSError, RuntimeError, NetrcParseError):
        return False
