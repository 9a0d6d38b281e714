"""Bytes and headers -> a status code: the whole rule of receiving, without a web framework."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeAlias

from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.errors import ConfigurationError, MalformedEventError, SignatureError
from leadpay.instrumentation import Observer, WebhookReceived, notify
from leadpay.models import Event
from leadpay.webhooks.context import Client, Context
from leadpay.webhooks.dispatcher import Dispatcher
from leadpay.webhooks.event import parse
from leadpay.webhooks.observed import ObservedDispatcher
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, TOLERANCE_MS, Secrets, Verifier

logger = logging.getLogger("leadpay.webhooks")

MAX_BODY_BYTES: Final = 1_048_576
"""Largest webhook that is read, in bytes: some seven hundred times a usual one, and a bound on a stranger's work."""

MAX_REMEMBERED: Final = 10_000
"""How many handled events a receiver without an inbox remembers, to drop their duplicates: at least the last half of
so many, and about a megabyte."""

MAX_SIMULTANEOUS: Final = 1_000
"""How many events a receiver works on at once; more are told 503, so that the bank's queue does the waiting."""

OK: Final = 200
MALFORMED: Final = 400
REFUSED: Final = 401
TOO_LARGE: Final = 413
HANDLER_FAILED: Final = 500
NOT_STORED: Final = 503


_Answer: TypeAlias = tuple[int, str]
"""The status that the bank is told, and the word that it is counted under."""


class EventStore(Protocol):
    """As much of an inbox as receiving needs."""

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Store an event durably, and say whether it was new; raise whatever went wrong, and it is not accepted."""
        ...

    def worker(self, dispatcher: Dispatcher, *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is stored while the context lasts."""
        ...


class WebhookReceiver:
    """Turns one webhook into a status code for the bank.

    ===  ==========================================================================================
    200  stored (with an inbox), or handled by every handler that takes it, now or before
    400  authentic, but unreadable
    401  the signature is missing, wrong, or out of time; ``counts`` has the reason word
    413  larger than ``max_body_bytes``
    500  a handler failed, or deferred: the bank repeats it in three hours
    503  the inbox could not store it, or more than ``max_simultaneous`` are being worked on
    ===  ==========================================================================================

    Args:
        router: the handlers.
        secrets: the signing secret, or several while one is being rotated out.
        inbox: where to keep events before they are handled; without one they are handled at once.
        client: what ``context.client`` and ``context.refresh()`` use; a LeadClient.
        tolerance_ms: how far a signature's time may be from now, in milliseconds, both ways.
        max_body_bytes: the largest body that is read.
        handler_timeout: how long one handler may run, in seconds; None for as long as it likes.
        work: whether to work on the inbox here too; False where other processes do.
        clock: what tells the time.
        observer: a function that is told of every webhook and every handler; see ``leadpay.instrumentation``.

    Raises:
        ConfigurationError: there is no secret, or an empty one.
    """

    def __init__(
        self,
        router: WebhookRouter,
        *,
        secrets: Secrets,
        inbox: EventStore | None = None,
        client: Client | None = None,
        tolerance_ms: int = TOLERANCE_MS,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_simultaneous: int = MAX_SIMULTANEOUS,
        handler_timeout: float | None = None,
        work: bool = True,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        if tolerance_ms <= 0 or max_body_bytes <= 0 or max_simultaneous <= 0:
            raise ConfigurationError("tolerance_ms, max_body_bytes and max_simultaneous must be positive")
        self.dispatcher = (
            Dispatcher(router, timeout=handler_timeout)
            if observer is None
            else ObservedDispatcher(router, timeout=handler_timeout, observer=observer)
        )
        self.max_body_bytes = max_body_bytes
        self._counts: dict[str, int] = {}
        self._verifier = Verifier(secrets)
        self._inbox = inbox
        self._client = client
        self._tolerance_ms = tolerance_ms
        self._max_simultaneous = max_simultaneous
        self._clock = clock or SystemClock()
        self._observer = observer
        self._once = _Once()
        self._work = work
        self._users = 0

    @property
    def counts(self) -> Counter[str]:
        """How often what happened until now: ``accepted``, ``duplicate``, ``failed``, every reason for refusing."""
        return Counter(self._counts)

    @property
    def router(self) -> WebhookRouter:
        """The handlers."""
        return self.dispatcher.router

    async def receive(self, *, body: bytes, headers: Mapping[str, str]) -> int:
        """Receive one webhook.

        Args:
            body: the raw bytes as they came, never JSON that was read and written again.
            headers: the request's headers; their case doesn't matter.

        Returns:
            The HTTP status to answer with. It never raises for what a sender can do.
        """
        now = self._clock.now()
        start = 0.0 if self._observer is None else self._clock.monotonic()
        event = self._admit(body, headers, now)
        if isinstance(event, tuple):
            status, result = event
        elif len(self._once.running) >= self._max_simultaneous:
            status, result = self._count(NOT_STORED, "too_many")
        elif self._inbox is None:
            status, result = await self._handle(event, now)
        else:
            status, result = await self._store(self._inbox, event, body, utc_datetime(now))
        if self._observer is not None:
            notify(self._observer, _fact(status, result, event, self._clock.monotonic() - start))
        return status

    def refuse(self, status: int, result: str, text: str) -> int:
        """Count and log a webhook that is refused before it is read whole, for whoever reads it.

        Args:
            status: the HTTP status to answer with.
            result: the word to count it under.
            text: what the log says of it.

        Returns:
            The status.
        """
        self._refuse(status, result, text)
        if self._observer is not None:
            notify(self._observer, _fact(status, result, None, 0.0))
        return status

    def _admit(self, body: bytes, headers: Mapping[str, str], now: float) -> Event | _Answer:
        """Verify and read; give the event, or what the bank is told if there is none."""
        if len(body) > self.max_body_bytes:
            return self._refuse(TOO_LARGE, "too_large", f"larger than {self.max_body_bytes} bytes")
        header = headers.get(HEADER)
        if header is None:
            header = _signature_header(headers)
        try:
            verified = self._verifier.verify(body, header, now_ms=int(now * 1000), tolerance_ms=self._tolerance_ms)
        except SignatureError as error:
            # An age problem is the bank's own webhook being refused: a clock or a tolerance is wrong.
            level = logging.ERROR if error.reason in ("too_old", "too_new") else logging.WARNING
            return self._refuse(REFUSED, error.reason, str(error), level)
        if verified.secret_index:
            self._counts["older_secret"] = self._counts.get("older_secret", 0) + 1
        try:
            event = parse(body)
        except MalformedEventError as error:
            return self._refuse(MALFORMED, "malformed", f"authentic, but cannot be read: {error}", logging.ERROR)
        return event

    def _count(self, status: int, result: str) -> _Answer:
        # A plain dict: a Counter, being a subclass, takes 0.5 us more for each webhook.
        counts = self._counts
        counts[result] = counts.get(result, 0) + 1
        return status, result

    def _refuse(self, status: int, result: str, text: str, level: int = logging.WARNING) -> _Answer:
        logger.log(level, "webhook refused: %s", text)
        return self._count(status, result)

    async def _store(self, inbox: EventStore, event: Event, body: bytes, received_at: datetime) -> _Answer:
        try:
            new = await inbox.add(event, body, received_at=received_at)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, nothing is stored
            logger.error("%s was not stored: %s", event.id, type(error).__name__)  # noqa: TRY400 - may quote the row
            return self._count(NOT_STORED, "not_stored")
        return self._count(OK, "accepted" if new else "duplicate")

    async def _handle(self, event: Event, now: float) -> _Answer:
        once, event_id = self._once, event.id
        while event_id in once.running:
            succeeded = await once.finished(event_id)
            if succeeded is not None:
                return self._count(OK if succeeded else HANDLER_FAILED, "duplicate")
        if event_id in once.done or event_id in once.done_before:
            return self._count(OK, "duplicate")

        def context() -> Context:
            return Context(event=event, received_at=utc_datetime(now), client=self._client)

        once.running[event_id] = succeeded = None
        try:
            succeeded = (await self.dispatcher.dispatch(event, context)).succeeded
        finally:
            once.end(event_id, succeeded)
        return self._count(OK, "accepted") if succeeded else self._count(HANDLER_FAILED, "failed")

    async def __aenter__(self) -> Self:
        """Enter the routers' lifespans and, with an inbox, start working on what is stored."""
        self._users += 1
        if self._users == 1:
            for event_type in self.router.unhandled_mandatory():
                logger.warning("the bank makes %s mandatory, and no handler of %s takes it", event_type, self.router)
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self.dispatcher)
                    if self._inbox is not None and self._work:
                        await stack.enter_async_context(self._inbox.worker(self.dispatcher, client=self._client))
                    self._stack = stack.pop_all()
            except BaseException:
                self._users -= 1
                raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop working and leave the lifespans, once the last of several mounts is gone."""
        self._users -= 1
        if self._users == 0:
            await self._stack.aclose()


def _fact(status: int, result: str, event: object, seconds: float) -> WebhookReceived:
    if not isinstance(event, Event):
        return WebhookReceived(status, result, None, None, None, seconds)
    return WebhookReceived(status, result, event.id, str(event.type), event.payment_id, seconds)


class _Once:
    """Which events are being handled, and which have been."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Future[bool | None] | None] = {}
        """With what those wait for who bring an event again meanwhile; hardly anybody does, so the first makes it."""
        self.done: set[str] = set()
        self.done_before: set[str] = set()
        """The generation before: two sets, of which the older is dropped, cost less than one that is in order."""

    async def finished(self, event_id: str) -> bool | None:
        """Wait until an event has been handled; None if the handling was cancelled."""
        future = self.running[event_id]
        if future is None:
            future = self.running[event_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(future)

    def end(self, event_id: str, succeeded: bool | None) -> None:
        """Remember a success, and tell those who wait; None for a handling that was cancelled."""
        future = self.running.pop(event_id)
        if succeeded:
            if len(self.done) >= MAX_REMEMBERED // 2:
                self.done_before, self.done = self.done, set()
            self.done.add(event_id)
        if future is not None:
            future.set_result(succeeded)


def _signature_header(headers: Mapping[str, str]) -> str | None:
    """Find the header however it is spelled."""
    return next((value for name, value in headers.items() if name.lower() == _HEADER), None)


_HEADER: Final = HEADER.lower()
