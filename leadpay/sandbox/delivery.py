"""Signed webhooks over HTTP, and their redelivery.

The bank's page on webhooks: success is any 2xx; otherwise again every three hours, up to 24 attempts.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import aiohttp

from leadpay.sandbox.clock import Clock
from leadpay.sandbox.disguise import disguise
from leadpay.sandbox.faults import WEBHOOK, Faults
from leadpay.sandbox.models import Event
from leadpay.sandbox.timers import Schedule
from leadpay.webhooks.signature import HEADER, sign

RETRY_AFTER: Final = 3 * 3600.0
"""Seconds from one attempt to the next. From the bank's page on webhooks."""

MAX_ATTEMPTS: Final = 24
"""How often an event is sent to an endpoint that does not accept it. From the bank's page on webhooks."""

TIMEOUT: Final = 10.0
"""Seconds of real time that an endpoint has to answer. The bank does not say; a receiver should need far less."""

MAX_REMEMBERED: Final = 100_000
"""How many attempts are remembered, so that a sandbox that runs for weeks does not fill the memory."""


class Endpoint(NamedTuple):
    """Where webhooks go."""

    url: str
    secret: str


class Attempt(NamedTuple):
    """One webhook as it was sent."""

    event_id: str
    type: str
    number: int
    """Counted from 1."""
    at: float
    """Seconds since 1970."""
    status: int | None
    """What the endpoint answered; None if it did not."""

    @property
    def accepted(self) -> bool:
        """Whether the endpoint took it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - what 2xx means


class Deliverer:
    """Sends every event to every endpoint, those of one payment one after the other.

    Args:
        clock: the sandbox's.
        session: for the requests.
        show: an event's JSON, in its newest version.
        wake: called when a redelivery was planned or a webhook was sent.
        faults: what goes wrong on request.
    """

    def __init__(
        self,
        clock: Clock,
        session: aiohttp.ClientSession,
        show: Callable[[Event], dict[str, Any]],
        wake: Callable[[], object],
        faults: Faults,
    ) -> None:
        self.schedule = Schedule()
        self.attempts: deque[Attempt] = deque(maxlen=MAX_REMEMBERED)
        self._clock = clock
        self._session = session
        self._show = show
        self._wake = wake
        self._faults = faults
        self._first: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._overtaken: dict[Endpoint, Event] = {}
        self._lanes: dict[tuple[Endpoint, str], deque[tuple[Event, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a webhook is on its way."""
        return bool(self._tasks)

    def announce(self, event: Event, endpoint: Endpoint) -> None:
        """Send a new event for the first time, with the faults that strike now."""
        late = self._faults.draw(("webhook_delayed", "webhook_reordered"), WEBHOOK)
        overtaken = self._overtaken.pop(endpoint, None)
        if late is None:
            self.send(event, endpoint)
        elif late.kind == "webhook_reordered":
            self._overtaken[endpoint] = event
            self._later(late.value, partial(self._flush, endpoint, event))
        else:
            self._later(late.value, partial(self.send, event, endpoint))
        if self._faults.draw(("webhook_duplicate",), WEBHOOK):
            self.send(event, endpoint)
        if overtaken is not None:
            self.send(overtaken, endpoint)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        self.schedule.add(self._clock.now() + seconds, action)
        self._wake()

    def _flush(self, endpoint: Endpoint, event: Event) -> None:
        if self._overtaken.get(endpoint) is event:
            del self._overtaken[endpoint]
            self.send(event, endpoint)

    def send(self, event: Event, endpoint: Endpoint, number: int = 1) -> None:
        """Send an event, after those of the same payment that are on their way.

        Args:
            event: which.
            endpoint: where to.
            number: the attempt's, counted from 1.
        """
        lane = (endpoint, event.payment_id)
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append((event, number))
            return
        self._lanes[lane] = deque([(event, number)])
        task = asyncio.get_running_loop().create_task(self._drive(lane))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def aclose(self) -> None:
        """Give up what is on its way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake()

    async def _drive(self, lane: tuple[Endpoint, str]) -> None:
        endpoint, waiting = lane[0], self._lanes[lane]
        try:
            while waiting:
                await self._attempt(*waiting.popleft(), endpoint)
        finally:
            del self._lanes[lane]

    async def _attempt(self, event: Event, number: int, endpoint: Endpoint) -> None:
        at = self._clock.now()
        body, signature = self._signed(event, number, endpoint, at)
        status = await _post(self._session, endpoint.url, body, signature)
        attempt = Attempt(event.id, event.type, number, at, status)
        self.attempts.append(attempt)
        if not attempt.accepted and number < MAX_ATTEMPTS:
            again = partial(self.send, event, endpoint, number + 1)
            self.schedule.add(at + RETRY_AFTER, again, background=True)
        else:
            self._first.pop((event.id, endpoint.url), None)

    def _signed(self, event: Event, number: int, endpoint: Endpoint, at: float) -> tuple[bytes, str]:
        first = (event.id, endpoint.url)
        if number > 1 and self._faults.draw(("webhook_old_timestamp",), WEBHOOK):
            return self._first[first]
        shown = disguise(self._show(event), self._faults, WEBHOOK)
        body = json.dumps(shown, separators=(",", ":")).encode()
        signature = sign(body, endpoint.secret, int(at * 1000))
        self._first.setdefault(first, (body, signature))
        return body, signature


async def post_webhook(url: str, body: bytes, signature: str) -> int | None:
    """Send one webhook, once, with a connection of its own.

    Args:
        url: where to.
        body: the JSON as it was signed.
        signature: the header's value.

    Returns:
        The status of the answer; None if there was none.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        return await _post(session, url, body, signature)


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, signature: str) -> int | None:
    headers = {HEADER: signature, "Content-Type": "application/json"}
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
