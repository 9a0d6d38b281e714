"""Bytes and headers in, a status code out: what receiving a webhook means, without a web framework."""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterable, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias

from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.drift import Radar, notes
from leadpay.errors import ConfigurationError, MalformedEventError, SignatureError
from leadpay.instrumentation import Observer, WebhookReceived, notify
from leadpay.models import Event
from leadpay.webhooks.body import MAX_BODY_BYTES, BodyReader, BodyRefusedError
from leadpay.webhooks.context import Context
from leadpay.webhooks.dispatcher import Dispatcher
from leadpay.webhooks.event import UnreadableWebhook, parse
from leadpay.webhooks.log_limiter import LogLimiter
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.secrets import SecretRecorder, SecretStore
from leadpay.webhooks.signature import HEADER, TOLERANCE_MS, Secrets, Verifier, parse_header

if TYPE_CHECKING:
    from leadpay.client import LeadClient

logger = logging.getLogger("leadpay.webhooks")

MAX_REMEMBERED: Final = 10_000
"""How many handled events a receiver without an inbox remembers, to recognise their duplicates: about two megabytes."""

MAX_SIMULTANEOUS: Final = 1_000
"""How many events a receiver works on at once. More get a 503, so that they wait in the bank's queue."""

PATH: Final = "/webhooks/lead"
"""Where the bank's webhooks are received by default."""

OK: Final = 200
MALFORMED: Final = 400
REFUSED: Final = 401
FORBIDDEN: Final = 403
TOO_LARGE: Final = 413
ENCODED: Final = 415
HANDLER_FAILED: Final = 500
NOT_STORED: Final = 503

MAX_LENGTH_DIGITS: Final = 16
"""Longest ``Content-Length`` that is read, in digits: a limit on big integers."""

_HEADER: Final = HEADER.lower()

_Response: TypeAlias = tuple[int, str]
"""The status that the bank gets, and the result under which it is counted."""


class EventStore(Protocol):
    """The part of an inbox that a receiver uses."""

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Store an event durably, and return whether it was new. If this raises, the event is not accepted."""
        ...

    async def add_unreadable(
        self, event_id: str | None, body: bytes, problems: Sequence[str], *, received_at: datetime
    ) -> bool:
        """Store what the bank signed and cannot be read, and return whether it was new. If this raises, it is not."""
        ...

    def worker(self, dispatcher: Dispatcher, *, client: "LeadClient | None") -> AbstractAsyncContextManager[Any]:
        """Handle the stored events while the context lasts."""
        ...


def _check_secrets(secrets: Secrets) -> list[str | bytes]:
    """Refuse a list in one string, and a secret that was copied with a line break: every webhook would be refused."""
    listed = [secrets] if isinstance(secrets, str | bytes) else list(secrets or ())
    for secret in listed:
        text = secret.decode(errors="replace") if isinstance(secret, bytes) else secret
        if isinstance(text, str) and (text.strip() != text or "," in text):
            raise ConfigurationError("secrets: one has a comma, or white space at its ends; give several as a list")
    return listed


class WebhookReceiver:
    """Turns one webhook into a status code for the bank.

    ===  =============================================================================================================
    200  stored (with an inbox, even if it cannot be read), or handled by every handler that takes it, now or earlier
    400  authentic, but unreadable, without an inbox or a handler of ``@router.unreadable``
    401  the signature is missing, wrong, or out of time; ``counts`` has the reason
    408  the body took more than ten seconds to arrive
    413  larger than ``max_body_bytes``
    415  it has a ``Content-Encoding``, such as gzip
    500  a handler failed or deferred: the bank sends the webhook again in three hours
    503  the inbox could not store it, ``max_simultaneous`` others are being worked on, or very many bodies
         were being read
    ===  =============================================================================================================

    Args:
        router: the handlers.
        secrets: the signing secret, or several while one is being rotated out.
        inbox: where to store events before they are handled; without one they are handled at once.
        client: what ``context.client`` and ``context.refresh()`` use; a LeadClient.
        tolerance_ms: how far a signature's time may be from now, in milliseconds, both ways.
        max_body_bytes: the largest body that is read.
        max_simultaneous: how many events are worked on at once.
        allow_compressed: whether a body may have a ``Content-Encoding``, for a server or proxy that inflates it. The
            bank sends none, and a small body of a stranger can be inflated to a gigabyte.
        handler_timeout: how long one handler may run, in seconds; None for no limit.
        work: whether to handle the stored events here too; False if other processes do.
        clock: the source of the time.
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
        client: "LeadClient | None" = None,
        tolerance_ms: int = TOLERANCE_MS,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_simultaneous: int = MAX_SIMULTANEOUS,
        allow_compressed: bool = False,
        handler_timeout: float | None = None,
        work: bool = True,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        if tolerance_ms <= 0 or max_body_bytes <= 0 or max_simultaneous <= 0:
            raise ConfigurationError("tolerance_ms, max_body_bytes and max_simultaneous must be positive")
        self.dispatcher = Dispatcher(router, timeout=handler_timeout, observer=observer)
        self.max_body_bytes = max_body_bytes
        self.allow_compressed = allow_compressed
        self.counts: Counter[str] = Counter()
        """How often each result occurred: ``accepted``, ``duplicate``, ``failed``, and each reason for a refusal."""
        checked = _check_secrets(secrets)
        self._verifier = Verifier(checked)
        self._inbox = inbox
        self._client = client
        self._tolerance_ms = tolerance_ms
        self._max_simultaneous = max_simultaneous
        self._clock = clock or SystemClock()
        self._secrets = SecretRecorder(
            checked, store=inbox if isinstance(inbox, SecretStore) else None, clock=self._clock, observer=observer
        )
        self._observer = observer
        self._radar = Radar(observer)
        self._bodies = BodyReader(max_bytes=max_body_bytes)
        self._log_limiter = LogLimiter()
        self._deduplicator = _Deduplicator()
        self._work = work
        self._users = 0
        self.worker: Any = None
        """The worker that runs while the receiver is entered; None if there is no inbox, or others work on it."""
        self._storing = 0

    @property
    def _must_be_entered(self) -> bool:
        """Whether events would never be handled, or without what a lifespan opens. Handlers can be added late."""
        return (self._inbox is not None and self._work) or any(True for _ in self.router.lifespans())

    def _raise_if_inbox_is_not_open(self) -> None:
        # Once it was open, a closed one is a failure of the store: the bank sends the event again. A store of the
        # user's own need not say this.
        if not getattr(self._inbox, "was_opened", True):
            raise ConfigurationError("enter the inbox before its receiver: async with inbox")

    def _raise_if_not_entered(self) -> None:
        self._raise_if_inbox_is_not_open()
        if self._must_be_entered:
            raise ConfigurationError("enter the receiver while the application runs: async with receiver")

    @property
    def problem(self) -> str | None:
        """Why it could not accept a webhook now, for ``leadpay.health``; None if it could."""
        if self._users == 0:
            return "was not entered"
        worker_stopped = self.worker is not None and not self.worker.is_running
        return "its worker is not running" if worker_stopped else None

    @property
    def router(self) -> WebhookRouter:
        """The handlers."""
        return self.dispatcher.router

    async def receive_stream(self, *, headers: Mapping[str, str], chunks: AsyncIterable[bytes]) -> int:
        """Receive one webhook whose body has not been read yet, for a web framework's adapter.

        A request that cannot be accepted, whatever its body, is refused before a byte of it is read. The body is read
        within the limits of ``leadpay.webhooks.body``.

        Args:
            headers: the request's headers; their case doesn't matter.
            chunks: the body's raw bytes as they come.

        Returns:
            The HTTP status to respond with. Nothing that a sender can do makes this raise.

        Raises:
            ConfigurationError: as :meth:`receive`.
        """
        lowered = {name.lower(): value for name, value in headers.items()}
        if not self.allow_compressed and lowered.get("content-encoding", "identity").lower() != "identity":
            return self.refuse(ENCODED, "encoded", "it has a Content-Encoding, see allow_compressed")
        length = lowered.get("content-length", "0")
        if not length.isdecimal() or len(length) > MAX_LENGTH_DIGITS or int(length) > self.max_body_bytes:
            return self.refuse(TOO_LARGE, "too_large", f"larger than {self.max_body_bytes} bytes")
        header = lowered.get(_HEADER, "")
        try:
            parse_header(header or None)
        except SignatureError as error:
            return self.refuse(REFUSED, error.reason, str(error))
        try:
            body = await self._bodies.read(chunks)
        except BodyRefusedError as error:
            return self.refuse(error.status, error.result, str(error))
        except Exception as error:  # noqa: BLE001 - a body that is cut off or cannot be decoded is the sender's fault
            return self.refuse(MALFORMED, "cut_off", f"its body could not be read ({type(error).__name__})")
        return await self.receive(body=body, headers={HEADER: header})

    async def receive(self, *, body: bytes, headers: Mapping[str, str]) -> int:
        """Receive one webhook.

        Args:
            body: the raw bytes as they came, never JSON that was parsed and written again.
            headers: the request's headers; their case doesn't matter.

        Returns:
            The HTTP status to respond with. Nothing that a sender can do makes this raise.

        Raises:
            ConfigurationError: the receiver was not entered, and it works on an inbox or has a router with a lifespan;
                or the inbox was not entered.
        """
        if self._users == 0:
            self._raise_if_not_entered()
        now = self._clock.now()
        start = 0.0 if self._observer is None else self._clock.monotonic()
        event = None
        if len(body) > self.max_body_bytes:
            return self.refuse(TOO_LARGE, "too_large", f"larger than {self.max_body_bytes} bytes")
        try:
            header = headers.get(HEADER) or _find_header(headers)
            verified = self._verifier.verify(body, header, now_ms=int(now * 1000), tolerance_ms=self._tolerance_ms)
            if verified.secret_index:
                self.counts["older_secret"] += 1
            if verified.secret_index or self._secrets.is_needed:
                self._secrets.record(verified.secret_index, now)
            try:
                event = parse(body)
            finally:
                if notes.sightings:
                    self._radar.look("webhook", self._clock)
        except SignatureError as error:
            # If only the age is wrong, the bank's own webhook is refused: a clock or the tolerance is wrong.
            level = logging.ERROR if error.reason in ("too_old", "too_new") else logging.WARNING
            status, result = self._log_refusal(REFUSED, error.reason, str(error), level)
        except MalformedEventError as error:
            status, result = await self._accept_unreadable(error, body, utc_datetime(now))
        else:
            status, result = await self._accept(event, body, now)
        self.counts[result] += 1
        if self._observer is not None:
            notify(self._observer, _observation(status, result, event, self._clock.monotonic() - start))
        return status

    def refuse(self, status: int, result: str, text: str) -> int:
        """Log, count and observe a webhook that is refused before its body is read, for a web framework's adapter.

        Args:
            status: the HTTP status to respond with.
            result: what it is counted under.
            text: why, for the log; of many in a minute, only the first ten are logged.

        Returns:
            The status.
        """
        self._log_refusal(status, result, text)
        self.counts[result] += 1
        if self._observer is not None:
            notify(self._observer, _observation(status, result, None, 0.0))
        return status

    def _log_refusal(self, status: int, result: str, text: str, level: int = logging.WARNING) -> _Response:
        admitted = self._log_limiter.admit(result, text, self._clock.monotonic())
        if admitted is not None:
            logger.log(level, "webhook refused: %s", admitted)
        return status, result

    async def _accept(self, event: Event, body: bytes, now: float) -> _Response:
        """Store or handle an authentic event, each only once."""
        running = self._deduplicator.running
        if len(running) + self._storing >= self._max_simultaneous:
            return self._log_refusal(NOT_STORED, "too_many", f"{self._max_simultaneous} others are being worked on")
        if self._inbox is not None:
            adding = self._inbox.add(event, body, received_at=utc_datetime(now))
            return await self._store(adding, event.id, "accepted")
        while (first := running.get(event.id)) is not None:
            succeeded = await asyncio.shield(first)
            if succeeded is not None:
                return OK if succeeded else HANDLER_FAILED, "duplicate"
        if event.id in self._deduplicator.handled:
            return OK, "duplicate"

        running[event.id] = asyncio.get_running_loop().create_future()
        succeeded = None
        try:
            outcome = await self.dispatcher.dispatch(
                event, lambda: Context(event=event, received_at=utc_datetime(now), client=self._client)
            )
            succeeded = outcome.succeeded
        finally:
            self._deduplicator.end(event.id, succeeded)
        return (OK, "accepted") if succeeded else (HANDLER_FAILED, "failed")

    async def _accept_unreadable(self, error: MalformedEventError, body: bytes, received_at: datetime) -> _Response:
        """Keep what is authentic and cannot be read, or give it to the handlers for it; else refuse it."""
        name = error.event_id or "a webhook without an ID"
        logger.error("%s is authentic, but cannot be read: %s", name, error)
        if self._inbox is not None:
            adding = self._inbox.add_unreadable(error.event_id, body, str(error).splitlines(), received_at=received_at)
            return await self._store(adding, name, "unreadable")
        handlers = list(self.router.unreadable_handlers())
        if not handlers:
            return MALFORMED, "malformed"
        webhook = UnreadableWebhook(
            body=body,
            problems=error.problems,
            event_id=error.event_id,
            payment_id=error.payment_id,
            received_at=received_at,
        )
        results = [await self.dispatcher.run_unreadable(handler, webhook) for handler in handlers]
        return OK if all(results) else HANDLER_FAILED, "unreadable"

    async def _store(self, adding: Awaitable[bool], name: str, result: str) -> _Response:
        """Await that something is stored; its name is for the log, its result is what it is counted under if new."""
        self._storing += 1
        try:
            is_new = await adding
        except Exception as error:  # noqa: BLE001 - whatever a store raises, nothing is stored
            logger.error("%s was not stored: %s", name, type(error).__name__)  # noqa: TRY400 - may quote the row
            return NOT_STORED, "not_stored"
        finally:
            self._storing -= 1
        return OK, result if is_new else "duplicate"

    async def __aenter__(self) -> Self:
        """Enter the routers' lifespans and, with an inbox, start to handle what is stored."""
        self._raise_if_inbox_is_not_open()
        self._users += 1
        if self._users == 1:
            for event_type in self.router.unhandled_mandatory():
                logger.warning("the bank makes %s mandatory, and no handler of %s takes it", event_type, self.router)
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self.dispatcher)
                    await self._secrets.start()
                    stack.push_async_callback(self._secrets.stop)
                    if self._inbox is not None and self._work:
                        working = self._inbox.worker(self.dispatcher, client=self._client)
                        self.worker = await stack.enter_async_context(working)
                    self._stack = stack.pop_all()
            except BaseException:
                self._users -= 1
                raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop, and leave the lifespans, after the last of several mounts was left."""
        self._users -= 1
        if self._users == 0:
            await self._stack.aclose()


class _Deduplicator:
    """Which events are being handled, and which have been handled."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Future[bool | None]] = {}
        """Event ID -> a future that concurrent duplicates await: whether the handlers succeeded, None if cancelled."""
        self.handled: OrderedDict[str, None] = OrderedDict()
        """The IDs of handled events, the oldest first."""

    def end(self, event_id: str, succeeded: bool | None) -> None:
        """Remember a success, and wake up the duplicates; None if the handlers were cancelled."""
        if succeeded:
            self.handled[event_id] = None
            if len(self.handled) > MAX_REMEMBERED:
                self.handled.popitem(last=False)
        self.running.pop(event_id).set_result(succeeded)


def _find_header(headers: Mapping[str, str]) -> str | None:
    """Find the signature in headers whose names may be spelled in any case."""
    return next((value for name, value in headers.items() if name.lower() == _HEADER), None)


def _observation(status: int, result: str, event: Event | None, seconds: float) -> WebhookReceived:
    if event is None:
        return WebhookReceived(status, result, None, None, None, seconds)
    return WebhookReceived(status, result, event.id, str(event.type), event.payment_id, seconds)
