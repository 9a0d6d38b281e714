"""Signed webhooks over HTTP, and their redelivery.

The bank's page on webhooks: success is any 2xx; otherwise again every three hours, up to 24 attempts.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple

import aiohttp

from leadpay.sandbox.clock import Clock
from leadpay.sandbox.faults import WEBHOOK, Faults
from leadpay.sandbox.models import Event
from leadpay.sandbox.timers import Timers
from leadpay.webhooks.signature import HEADER, sign

RETRY_AFTER: Final = 3 * 3600.0
"""Seconds from one attempt to the next. From the bank's page on webhooks."""

MAX_ATTEMPTS: Final = 24
"""How many times an event is sent to an endpoint that does not accept it. From the bank's page on webhooks."""

TIMEOUT: Final = 10.0
"""Seconds of real time that an endpoint has to respond. The bank's own limit is not published."""

MAX_REMEMBERED: Final = 100_000
"""How many attempts are kept in memory, so that a sandbox can run for weeks."""

MAX_EXCHANGES: Final = 1_000
"""Of how many attempts the request and the response are kept in memory: a few megabytes."""

MAX_RESPONSE: Final = 2_048
"""How many bytes of an endpoint's response are kept: enough for a problem's JSON, or the head of an HTML page."""

RESPONSE_TIMEOUT: Final = 1.0
"""Seconds that the rest of a response has once its status is known; the status alone decides."""


class Endpoint(NamedTuple):
    """A URL that gets webhooks, and the secret that signs them."""

    url: str
    secret: str


class Attempt(NamedTuple):
    """One attempt to deliver a webhook."""

    event_id: str
    type: str
    number: int
    """Counted from 1."""
    at: float
    """Seconds since 1970."""
    status: int | None
    """The status of the endpoint's response; None if there was none."""
    url: str
    """The endpoint's."""
    seconds: float
    """How long the endpoint took, in real time, whatever the sandbox's clock is."""
    error: str | None
    """Why it counts as failed, in one sentence; None if it was accepted."""
    sequence: int
    """Counted from 1 over all attempts of the sandbox."""

    @property
    def accepted(self) -> bool:
        """Whether the endpoint accepted it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - what 2xx means


class Exchange(NamedTuple):
    """What was sent with one attempt, and what came back."""

    attempt: Attempt
    headers: tuple[tuple[str, str], ...]
    """Of the request."""
    request_body: bytes
    response_headers: tuple[tuple[str, str], ...]
    response_body: bytes
    """Its first 2,048 bytes."""


class _Result(NamedTuple):
    """The result of one request to an endpoint."""

    status: int | None
    error: str | None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Deliverer:
    """Sends every event to every endpoint, those of one payment one after the other.

    Args:
        clock: the sandbox's.
        session: for the requests.
        show: returns an event's JSON with the newest version of its object.
        on_change: called when a timer was added or a webhook was sent.
        faults: what goes wrong on request.
    """

    def __init__(
        self,
        clock: Clock,
        session: aiohttp.ClientSession,
        show: Callable[[Event], dict[str, Any]],
        on_change: Callable[[], object],
        faults: Faults,
    ) -> None:
        self.timers = Timers()
        self.attempts: deque[Attempt] = deque(maxlen=MAX_REMEMBERED)
        self.exchanges: deque[Exchange] = deque(maxlen=MAX_EXCHANGES)
        self.on_attempt: list[Callable[[Attempt], object]] = []
        self._sequence = count(1)
        self._clock = clock
        self._session = session
        self._show = show
        self._on_change = on_change
        self._faults = faults
        self._first_attempts: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._overtaken: dict[Endpoint, Event] = {}
        self._queues: dict[tuple[Endpoint, str], deque[tuple[Event, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a webhook is being sent."""
        return bool(self._tasks)

    def announce(self, event: Event, endpoint: Endpoint) -> None:
        """Send a new event for the first time, with the faults that happen now."""
        late = self._faults.trigger(("webhook_delayed", "webhook_reordered"), WEBHOOK)
        overtaken = self._overtaken.pop(endpoint, None)
        if late is None:
            self.send(event, endpoint)
        elif late.kind == "webhook_reordered":
            self._overtaken[endpoint] = event
            self._later(late.value, partial(self._flush, endpoint, event))
        else:
            self._later(late.value, partial(self.send, event, endpoint))
        if self._faults.trigger(("webhook_duplicate",), WEBHOOK):
            self.send(event, endpoint)
        if overtaken is not None:
            self.send(overtaken, endpoint)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        self.timers.add(self._clock.now() + seconds, action)
        self._on_change()

    def _flush(self, endpoint: Endpoint, event: Event) -> None:
        if self._overtaken.get(endpoint) is event:
            del self._overtaken[endpoint]
            self.send(event, endpoint)

    def send(self, event: Event, endpoint: Endpoint, number: int = 1) -> None:
        """Send an event, after those of the same payment that are being sent.

        Args:
            event: the event.
            endpoint: the receiver.
            number: of the attempt, counted from 1.
        """
        key = (endpoint, event.object_id)
        waiting = self._queues.get(key)
        if waiting is not None:
            waiting.append((event, number))
            return
        self._queues[key] = deque([(event, number)])
        task = asyncio.get_running_loop().create_task(self._send_queue(key))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def resend(self, event: Event, endpoint: Endpoint) -> Attempt:
        """Send an event once more, at once, and without a redelivery if it fails."""
        known = (one.number for one in self.attempts if one.event_id == event.id and one.url == endpoint.url)
        at = self._clock.now()
        return await self._post(event, max(known, default=0) + 1, endpoint, at, self._sign(event, endpoint, at))

    async def aclose(self) -> None:
        """Cancel what is being sent."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._on_change()

    async def _send_queue(self, key: tuple[Endpoint, str]) -> None:
        endpoint, waiting = key[0], self._queues[key]
        try:
            while waiting:
                await self._attempt(*waiting.popleft(), endpoint)
        finally:
            del self._queues[key]

    async def _attempt(self, event: Event, number: int, endpoint: Endpoint) -> None:
        at = self._clock.now()
        attempt = await self._post(event, number, endpoint, at, self._signed(event, number, endpoint, at))
        if not attempt.accepted and number < MAX_ATTEMPTS:
            again = partial(self.send, event, endpoint, number + 1)
            self.timers.add(at + RETRY_AFTER, again, background=True)
        else:
            self._first_attempts.pop((event.id, endpoint.url), None)

    async def _post(
        self, event: Event, number: int, endpoint: Endpoint, at: float, signed: tuple[bytes, str]
    ) -> Attempt:
        loop, (body, signature) = asyncio.get_running_loop(), signed
        started = loop.time()
        result = await _post(self._session, endpoint.url, body, signature)
        seconds = loop.time() - started
        sequence = next(self._sequence)
        attempt = Attempt(
            event.id, event.type, number, at, result.status, endpoint.url, seconds, result.error, sequence
        )
        self.attempts.append(attempt)
        self.exchanges.append(Exchange(attempt, _headers(signature), body, result.headers, result.body))
        for told in self.on_attempt:
            told(attempt)
        return attempt

    def _signed(self, event: Event, number: int, endpoint: Endpoint, at: float) -> tuple[bytes, str]:
        first = (event.id, endpoint.url)
        if number > 1 and self._faults.trigger(("webhook_old_timestamp",), WEBHOOK):
            return self._first_attempts[first]
        signed = self._sign(event, endpoint, at)
        self._first_attempts.setdefault(first, signed)
        return signed

    def _sign(self, event: Event, endpoint: Endpoint, at: float) -> tuple[bytes, str]:
        shown = self._faults.change_data(self._show(event), WEBHOOK)
        body = json.dumps(shown, separators=(",", ":")).encode()
        return body, sign(body, endpoint.secret, int(at * 1000))


async def post_webhook(url: str, body: bytes, signature: str) -> int | None:
    """Send one webhook, once, with a connection of its own.

    Args:
        url: the endpoint's.
        body: the JSON as it was signed.
        signature: the value of the header.

    Returns:
        The status of the response; None if there was none.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        return (await _post(session, url, body, signature)).status


def _headers(signature: str) -> tuple[tuple[str, str], ...]:
    return ((HEADER, signature), ("Content-Type", "application/json"))


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, signature: str) -> _Result:
    try:
        async with session.post(url, data=body, headers=_headers(signature), allow_redirects=False) as response:
            content = b""
            # The status is known, so a body that is slow or cut off changes nothing.
            with suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(RESPONSE_TIMEOUT):
                    content = await response.content.read(MAX_RESPONSE)
            return _Result(response.status, _refusal(response.status), tuple(response.headers.items()), content)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return _Result(None, _failure(error))


def _refusal(status: int) -> str | None:
    if 200 <= status < 300:  # noqa: PLR2004 - what 2xx means
        return None
    if 300 <= status < 400:  # noqa: PLR2004 - what 3xx means
        return f"The endpoint responded with {status}: redirects are not followed, only 2xx is accepted."
    return f"The endpoint responded with {status}: only 2xx is accepted."


def _failure(error: Exception) -> str:
    """Say why there is no response, without the library's own text."""
    if isinstance(error, TimeoutError):
        return f"No response came within {TIMEOUT:g} seconds."
    if isinstance(error, aiohttp.ClientConnectorError):
        return "No connection: nothing listens there, or its name or certificate is wrong."
    if isinstance(error, ValueError):
        return "The endpoint's URL cannot be used."
    return "The connection broke before a response came."
