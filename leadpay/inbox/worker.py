"""Claim ordering keys that are due, run their handlers, record the results, repeat."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Self
from weakref import WeakSet

from leadpay.clock import Clock, SystemClock
from leadpay.errors import ConfigurationError
from leadpay.inbox.bulkhead import QUEUE_SECONDS, Bulkhead
from leadpay.inbox.execution import ClaimExecution, WorkerConfig
from leadpay.inbox.retry import RETRIES
from leadpay.inbox.store import ALIAS, DEFAULT, Claim, Inbox, RunFinishedError
from leadpay.instrumentation import InboxMeasured, Observer, notify
from leadpay.signals import stop_on_signals
from leadpay.storage import Lease, LeaseLostError
from leadpay.webhooks.dispatcher import Dispatcher, traceback_without_messages
from leadpay.webhooks.router import WebhookRouter

logger = logging.getLogger("leadpay.inbox")

CONCURRENCY: Final = 16
"""How many payments are worked on, and handlers run, side by side: handlers mostly wait for other services."""

TIMEOUT: Final = 60.0
"""How long a handler may run, in seconds, unless its route or dispatcher says otherwise."""

LEASE: Final = 60.0
"""How long a payment of a worker that died stays with it, in seconds; a living worker prolongs it."""

POLL: Final = 1.0
"""How often to look for work that is due, in seconds, without a notification."""

SHUTDOWN_TIMEOUT: Final = 20.0
"""How long handlers may go on at a stop, in seconds: less than the 30 that most supervisors wait before SIGKILL."""

BODY_RETENTION_DAYS: Final = 90.0
"""How long the bodies of done events are kept, in days: as long as the bank lists its events."""

SUSPECT_SECONDS: Final = 2.0
"""How long a payment runs alone after its worker died, in seconds: what kills a process mostly does so soon."""

STORE_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long to wait after a store failed once, twice and so on, in seconds."""

_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


class Worker:
    """Runs the handlers of stored events: ``await Worker(inbox, router).run()``, or while ``async with`` lasts.

    Args:
        inbox: an open inbox.
        handlers: a router, or a dispatcher whose lifespans have been entered already.
        consumer: the program's name: each consumer gets every event, with its own progress and dead letters. Workers of
            one consumer share its events.
        client: what ``context.client`` and ``context.refresh()`` use; a LeadClient.
        concurrency: how many payments are worked on side by side, and how many slots the handlers share: half of them
            belong to the handlers in equal parts, at least one to each, so that no handler takes those of the others.
        retries: how long to wait before each further attempt, in seconds, for handlers that don't say it themselves.
        lease: how long a payment stays with a worker that died, in seconds.
        poll: how often to look for work that is due, in seconds.
        shutdown_timeout: how long handlers may go on at a stop, in seconds, before they are cancelled.
        body_retention_days: for how many days the bodies of done events are kept; None for ever.
        clock: what tells the time.
        rng: spreads retries.
        observer: a function that is called for each handler, each dead letter, and each minute with what waits.

    Raises:
        ConfigurationError: a number is not positive.
    """

    def __init__(
        self,
        inbox: Inbox,
        handlers: WebhookRouter | Dispatcher,
        *,
        consumer: str = DEFAULT,
        client: Any = None,
        concurrency: int = CONCURRENCY,
        retries: Sequence[float] = RETRIES,
        lease: float = LEASE,
        poll: float = POLL,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT,
        body_retention_days: float | None = BODY_RETENTION_DAYS,
        clock: Clock | None = None,
        rng: Random | None = None,
        observer: Observer | None = None,
    ) -> None:
        if (
            min(concurrency, lease, poll, 1 if body_retention_days is None else body_retention_days) <= 0
            or shutdown_timeout < 0
        ):
            raise ConfigurationError(
                "concurrency, lease, poll and body_retention_days must be positive, and shutdown_timeout not negative"
            )
        self.inbox = inbox
        self.consumer = consumer
        self.dispatcher = handlers if isinstance(handlers, Dispatcher) else Dispatcher(handlers, observer=observer)
        self._owns_dispatcher = handlers is not self.dispatcher
        self._observer = observer or self.dispatcher.observer
        self._clock = clock or SystemClock()
        self._concurrency = concurrency
        self._lease = lease
        self._poll = poll
        self._shutdown_timeout = shutdown_timeout
        self._body_retention_days = body_retention_days
        self._bulkhead = Bulkhead(concurrency, self._handler_names, self._clock, self._observer)
        self._config = WorkerConfig(
            inbox=inbox,
            dispatcher=self.dispatcher,
            retries=tuple(retries),
            timeout=TIMEOUT,
            clock=self._clock,
            rng=rng or Random(),  # noqa: S311 - spreads retries, guards nothing
            client=client,
            observer=self._observer,
            bulkhead=self._bulkhead,
            names=frozenset(name for route in self.dispatcher.router.routes() for name in route.names),
        )
        self._executions: dict[asyncio.Task[None], Lease] = {}
        self._preempted: WeakSet[asyncio.Task[None]] = WeakSet()
        self._slot_free = asyncio.Event()
        self._stopping = False
        self._lacking: set[str] = set()
        self._suspects_wait = False
        self._pause: asyncio.Future[None] | None = None
        self.is_running = False
        """Whether it looks for work: it was entered, and is not being stopped."""

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, or until this is cancelled; then stop as at the end of ``async with``."""
        with stop_on_signals() as stop:
            async with self:
                await stop.wait()

    async def run_due(self) -> int:
        """Work until nothing is due any more, without waiting for what is due later: for scripts and tests.

        Returns:
            How many claims were worked through.

        Raises:
            Exception: the store failed.
        """
        await self._register()
        count, limit = 0, self._concurrency
        self._bulkhead.queue_seconds = None
        try:
            while claims := await self._claim(limit):
                suspects = [claim for claim in claims if claim.abandoned and limit > 1]
                for claim in suspects:
                    await self._release(claim.lease, 0.0, abandoned=claim.abandoned)
                runnable = [claim for claim in claims if claim not in suspects]
                await asyncio.gather(*(self._execute(claim) for claim in runnable))
                count += len(runnable)
                limit = 1 if suspects else self._concurrency
        finally:
            self._bulkhead.queue_seconds = QUEUE_SECONDS
        return count

    async def __aenter__(self) -> Self:
        """Start working."""
        async with AsyncExitStack() as stack:
            if self._owns_dispatcher:
                await stack.enter_async_context(self.dispatcher)
            await self._register()
            self._stack = stack.pop_all()
        self._stopping = False
        self._background = [asyncio.create_task(self._prolong_leases()), asyncio.create_task(self._maintain())]
        self.is_running = True
        self._claiming = asyncio.create_task(self._claim_loop())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop claiming, finish what was begun, cancel and release what takes longer than ``shutdown_timeout``."""
        self._stopping = True
        self.is_running = False
        if self._pause is not None:
            self._pause.cancel()
        try:
            await self._claiming
            await self._finish()
        finally:
            await _cancel([self._claiming, *self._executions, *self._background])
            await self._stack.aclose()

    async def _register(self) -> None:
        """Have the consumer and its handlers known, so that other workers leave the handlers' runs to this one."""
        routes = list(self.dispatcher.router.routes())
        await self.inbox.register(
            self.consumer,
            {
                route.name: (
                    *(("*",) if route.is_fallback else route.patterns),
                    *(f"{ALIAS}{alias}" for alias in route.aliases),
                )
                for route in routes
            },
            aliases={alias: route.name for route in routes for alias in route.aliases},
        )

    def _handler_names(self) -> Iterator[str]:
        return (route.name for route in self.dispatcher.router.routes())

    # Claiming.

    async def _claim_loop(self) -> None:
        failures = 0
        try:
            while not self._stopping:
                failures = await self._try_claiming(failures)
        finally:
            self.is_running = False

    async def _try_claiming(self, failures: int) -> int:
        """Claim once, and say how often in a row the store has failed."""
        try:
            await self._claim_once()
        except Exception as error:  # noqa: BLE001 - any failure of a store may be over soon
            logger.error("the inbox cannot be worked on: %s", traceback_without_messages(error))  # noqa: TRY400 - may quote a row
            failures += 1
            if not self._stopping:
                await self._wait(self._clock.sleep(STORE_BACKOFF[min(failures, len(STORE_BACKOFF)) - 1]))
            return failures
        return 0

    async def _claim_once(self) -> None:
        """Fill the free slots, and wait if there is nothing more to do.

        A claim that follows an abandoned lease is a suspect: its events may have killed the process. It begins alone,
        so that it takes no other payment's attempt with it when it does so again.
        """
        alone = self._suspects_wait
        if alone:
            await self._wait_until_idle()
        free = 1 if alone else self._concurrency - len(self._executions)
        claims = await self._claim(free) if free > 0 else []
        self._suspects_wait = False
        for claim in claims:
            if self._stopping:
                await self._release(claim.lease, self._clock.now(), abandoned=claim.abandoned)
            elif claim.abandoned and not alone:
                self._suspects_wait = True
                await self._release(claim.lease, 0.0, abandoned=claim.abandoned)
            else:
                self._start(claim)
        if self._stopping:
            return
        if alone and claims:
            await self._wait_until_idle()
        elif len(self._executions) >= self._concurrency:
            self._slot_free.clear()
            await self._wait(self._slot_free.wait())
        elif len(claims) < free and not self._suspects_wait:
            await self._wait(self.inbox.wait_for_work(self._poll))

    async def _wait_until_idle(self) -> None:
        """Wait until no payment is worked on, but not for long: a handler may hang, and others must not wait for it."""
        timer = asyncio.ensure_future(self._clock.sleep(SUSPECT_SECONDS))
        try:
            while self._executions and not timer.done() and not self._stopping:
                self._slot_free.clear()
                await self._wait(_first(timer, self._slot_free.wait()))
        finally:
            timer.cancel()

    def _start(self, claim: Claim) -> None:
        execution = asyncio.create_task(self._execute(claim))
        self._executions[execution] = claim.lease
        execution.add_done_callback(self._end)

    async def _claim(self, limit: int) -> list[Claim]:
        return await self.inbox.claim(
            limit, now=self._clock.now(), lease=self._lease, consumer=self.consumer, has=self._config.names
        )

    async def _wait(self, until: Awaitable[Any]) -> None:
        """Wait for something, or for the stop."""
        self._pause = asyncio.ensure_future(until)
        await asyncio.wait([self._pause])
        if not self._pause.cancelled():
            self._pause.result()

    def _end(self, execution: asyncio.Task[None]) -> None:
        del self._executions[execution]
        self._slot_free.set()

    # One claim.

    async def _execute(self, claim: Claim) -> None:
        """Work one claim through, and release it; all errors are logged here and go no further."""
        lease = claim.lease
        execution = ClaimExecution(claim, self._config)
        try:
            due_at = await execution.run()
        except LeaseLostError:
            logger.warning("%s went to another worker; what this one did was not kept", lease.ordering_key)
            return
        except RunFinishedError as error:
            logger.warning("%s; what this worker did was not kept", error)
            due_at = self._clock.now()
        except asyncio.CancelledError:
            if asyncio.current_task() in self._preempted:
                logger.warning("%s went to another worker; what this one did was not kept", lease.ordering_key)
            else:
                await self._release(lease, self._clock.now())
            raise
        except Exception as error:  # noqa: BLE001 - any failure of a store may be over soon
            logger.error("%s is left for later: %s", lease.ordering_key, traceback_without_messages(error))  # noqa: TRY400 - may quote a row
            due_at = self._clock.now() + STORE_BACKOFF[-1]
        needs = execution.needs if due_at is None else None
        if needs is not None:
            due_at = self._clock.now()
            self._say_lacking(needs)
        await self._release(lease, due_at, needs=needs)

    def _say_lacking(self, handler: str) -> None:
        """Say once that runs are left to workers with another handler."""
        if handler not in self._lacking:
            self._lacking.add(handler)
            logger.warning(
                "the consumer %s has a handler %s that this worker lacks: its runs are left to workers that have it. "
                "If it was removed for good: leadpay inbox forget %s --consumer %s",
                self.consumer,
                handler,
                handler,
                self.consumer,
            )

    async def _release(
        self, lease: Lease, due_at: float | None, *, abandoned: int = 0, needs: str | None = None
    ) -> None:
        try:
            await self.inbox.release(lease, due_at=due_at, now=self._clock.now(), abandoned=abandoned, needs=needs)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            logger.error("%s was not released: %s", lease.ordering_key, traceback_without_messages(error))  # noqa: TRY400 - the same

    async def _finish(self) -> None:
        """Wait for the claims that are being worked on, for as long as ``shutdown_timeout``."""
        timer = asyncio.ensure_future(self._clock.sleep(self._shutdown_timeout))
        while self._executions and not timer.done():
            await asyncio.wait([timer, *self._executions], return_when=asyncio.FIRST_COMPLETED)
        await _cancel([timer])

    # In the background.

    async def _prolong_leases(self) -> None:
        """Prolong the leases of claims that take long; an execution whose lease is lost is cancelled at once."""
        while True:
            await self._clock.sleep(self._lease / 3)
            for execution, lease in list(self._executions.items()):
                try:
                    await self.inbox.record_result(lease, "", None, closes=None, now=self._clock.now())
                except LeaseLostError:
                    self._preempted.add(execution)
                    execution.cancel()
                except Exception as error:  # noqa: BLE001 - the next time may work, and a fencing token guards the rest
                    logger.error("%s was not prolonged: %s", lease.ordering_key, traceback_without_messages(error))  # noqa: TRY400 - the same

    async def _maintain(self) -> None:
        """Purge once a day, and tell the observer once a minute what waits."""
        purge_at = 0.0
        while True:
            now = self._clock.now()
            try:
                if self._body_retention_days is not None and now >= purge_at:
                    count = await self.inbox.purge(before=_date(now) - timedelta(days=self._body_retention_days))
                    logger.info("purged the bodies of %d events", count)
                    purge_at = now + _DAY
                if self._observer is not None:
                    await self._measure(self._observer, now)
            except Exception as error:  # noqa: BLE001 - the next time may work
                logger.error("the inbox could not be purged or measured: %s", traceback_without_messages(error))  # noqa: TRY400 - the same
            await self._clock.sleep(_MINUTE)

    async def _measure(self, observer: Observer, now: float) -> None:
        stats = await self.inbox.stats()
        oldest = stats.oldest_waiting
        age = None if oldest is None else (_date(now) - oldest).total_seconds()
        count = stats.by_state.get
        measured = InboxMeasured(
            count("waiting", 0), count("dead", 0), age, count("unhandled", 0), count("unreadable", 0)
        )
        notify(observer, measured)


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def _first(timer: asyncio.Future[None], other: Coroutine[Any, Any, Any]) -> None:
    """Wait for either; the other one ends with this."""
    task = asyncio.ensure_future(other)
    try:
        await asyncio.wait([timer, task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
