"""One Request in, one Response or one LeadError out. The only file here that knows aiohttp's errors."""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import aiohttp
from multidict import CIMultiDict, istr
from yarl import URL

from leadpay.client.limit import SingleTimeLimit, TimeLimit
from leadpay.client.requests import Request
from leadpay.config import Timeouts
from leadpay.errors import NoAnswerError, RequestNotSentError

MAX_RESPONSE_BYTES: Final = 16_777_216
"""Largest answer that is read, in bytes, after decompression: sixty times a full page of the longest payments."""

# Copied for each call: with names in lower case already, aiohttp prepares them in two thirds of the time of a dict. And
# as istr, since aiohttp goes through them twice, and any other name is made one each time.
_ALWAYS: Final = CIMultiDict({istr("Accept"): "application/json"})
_WITH_BODY: Final = CIMultiDict({**_ALWAYS, istr("Content-Type"): "application/json"})
_AUTHORIZATION: Final = istr("Authorization")
_IDEMPOTENCY_KEY: Final = istr("Idempotency-Key")

MIN_TIMEOUT: Final = 0.001
"""Shortest time that connecting is given, in seconds: to aiohttp, zero means for ever."""

MARGIN: Final = 0.02
"""How much earlier connecting ends than the attempt, in seconds, where time is short: when both end at once, nobody can
tell that nothing was sent. An event loop at work comes to look at its timers more often."""

MAX_URLS: Final = 32
"""Most URLs that are kept ready: all without an ID in them, and some with one."""

_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""No connection came about (DNS, connect, TLS, proxy), so the bank surely saw nothing."""


class Response(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """None if it was larger than MAX_RESPONSE_BYTES."""

    def __repr__(self) -> str:
        return f"Response({self.status})"


Send: TypeAlias = Callable[[Request, str | None, float], Awaitable[Response]]
"""Sends one request with a token, or without, within so many seconds. Tests pass a function of their own."""


class Transport:
    """Sends requests through an aiohttp session, whatever that session's own defaults are."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, timeouts: Timeouts) -> None:
        self._session = session
        self._timeouts = timeouts
        self._full = timeouts.connect + timeouts.read
        self._usual = TimeLimit(self._full), self._until_connected(self._full)
        # The path of most calls is always the same; to find its URL in yarl's own cache takes seven times as long.
        self._url = lru_cache(maxsize=MAX_URLS)(lambda path: URL(base_url + path, encoded=True))

    async def send(self, request: Request, token: str | None, left: float) -> Response:
        """Send once.

        Args:
            request: what to send.
            token: who we are; None where the token itself is asked for.
            left: seconds that remain of the call; none may be left.

        Raises:
            RequestNotSentError: no connection came about.
            NoAnswerError: the connection was lost, or time ran out, at whatever point after that.
        """
        if self._session.closed:
            raise RequestNotSentError("no connection to the bank: the session is closed")
        limit, timeout = self._usual if left >= self._full else (SingleTimeLimit(left), self._until_connected(left))
        wait = limit.begin()
        response = None
        try:
            try:
                # Without `async with`, which would release the connection once more after the last byte has done so.
                response = await self._session.request(
                    request.method,
                    self._url(request.path),
                    data=request.body,
                    headers=_headers(request, token),
                    timeout=timeout,
                    # A redirect could carry the token elsewhere.
                    allow_redirects=False,
                    raise_for_status=False,
                )
                # Most answers are whole by now, so that there is nothing to wait for.
                body = response.content.read_nowait() if response.content.is_eof() else await _read(response)
            except BaseException as error:
                if response is not None:
                    response.close()
                limit.end(wait, error)
                raise
            limit.end(wait)
            if not response.closed:
                # Its last byte did not release the connection, as after 101, which nobody asked for.
                response.close()
            whole = body if len(body) <= MAX_RESPONSE_BYTES else None
            # As a NamedTuple's own __new__ does it, in half the time.
            return tuple.__new__(Response, (response.status, response.headers, whole))
        except _NOT_SENT as error:
            raise RequestNotSentError(f"no connection to the bank: {type(error).__name__}") from None
        except Exception as error:  # noqa: BLE001 - whatever aiohttp, ssl or zlib raise: nobody knows what the bank saw
            raise NoAnswerError(f"no answer from the bank: {type(error).__name__}") from None

    def _until_connected(self, left: float) -> aiohttp.ClientTimeout:
        """Say how long aiohttp may take until it has a connection; the limit beside it is for all of an attempt."""
        connect = min(self._timeouts.connect, max(left - MARGIN, MIN_TIMEOUT))
        return aiohttp.ClientTimeout(connect=connect, sock_connect=connect)


def _headers(request: Request, token: str | None) -> CIMultiDict[str]:
    headers = (_ALWAYS if request.body is None else _WITH_BODY).copy()
    if token is not None:
        headers[_AUTHORIZATION] = f"Bearer {token}"
    if request.key is not None:
        headers[_IDEMPOTENCY_KEY] = request.key
    return headers


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read until the end, or until it is too much, whatever the headers promise."""
    chunks: list[bytes] = []
    size = 0
    while size <= MAX_RESPONSE_BYTES and not response.content.at_eof():
        chunks.append(await response.content.readany())
        size += len(chunks[-1])
    if size > MAX_RESPONSE_BYTES:
        response.close()
    return b"".join(chunks)
