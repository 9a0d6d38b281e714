"""Claim, dispatch, settle, repeat."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Self
from weakref import WeakSet

from leadpay.clock import Clock, SystemClock
from leadpay.errors import ConfigurationError
from leadpay.inbox import Claim, Inbox, Lease, LeaseLostError
from leadpay.inbox.execution import ClaimExecution, WorkerConfig, name_handlers
from leadpay.inbox.retry import RETRIES
from leadpay.instrumentation import InboxMeasured, Observer, notify
from leadpay.webhooks.dispatcher import Dispatcher, traceback_without_messages
from leadpay.webhooks.router import WebhookRouter

logger = logging.getLogger("leadpay.inbox")

CONCURRENCY: Final = 16
"""How many payments are worked on side by side: handlers mostly wait for somebody else."""

TIMEOUT: Final = 60.0
"""How long a handler may run, in seconds, unless somebody says otherwise: one that hangs must not hang for ever."""

LEASE: Final = 60.0
"""How long a payment of a worker that died stays with it, in seconds; a worker that lives prolongs it."""

POLL: Final = 1.0
"""How often to look for what is due, in seconds, when nothing hints at it."""

SHUTDOWN_TIMEOUT: Final = 20.0
"""How long handlers may go on at a stop, in seconds: less than the thirty that most machinery waits before it kills."""

BODY_RETENTION_DAYS: Final = 90.0
"""How long the bodies of what is done are kept, in days: as long as the bank can be asked for them."""

STORE_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long to leave a store alone that failed once, twice and so on, in seconds."""

_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


class Worker:
    """Works on what an inbox holds, while the context lasts.

    Args:
        inbox: an open inbox.
        handlers: a router, or the dispatcher of one whose lifespans somebody else has entered.
        client: what ``context.client`` and ``context.refresh()`` use; a LeadClient.
        concurrency: how many payments are worked on side by side.
        retries: how long to wait before each further attempt, in seconds, for handlers that don't say it themselves.
        lease: how long a payment stays with a worker that died, in seconds.
        poll: how often to look for what is due, in seconds.
        shutdown_timeout: how long handlers may go on at a stop, in seconds, before they are cancelled.
        body_retention_days: for how many days the bodies of what is done are kept; None for ever.
        clock: what tells the time.
        rng: spreads repetitions.
        observer: a function that is told of handlers, dead letters, and every minute of what waits.

    Raises:
        ConfigurationError: a number is not positive.
    """

    def __init__(
        self,
        inbox: Inbox,
        handlers: WebhookRouter | Dispatcher,
        *,
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
        self.dispatcher = handlers if isinstance(handlers, Dispatcher) else Dispatcher(handlers, observer=observer)
        self._owns_dispatcher = handlers is not self.dispatcher
        self._observer = observer or self.dispatcher.observer
        self._clock = clock or SystemClock()
        self._concurrency = concurrency
        self._lease = lease
        self._poll = poll
        self._shutdown_timeout = shutdown_timeout
        self._body_retention_days = body_retention_days
        self._habits = WorkerConfig(
            inbox=inbox,
            dispatcher=self.dispatcher,
            names=name_handlers(self.dispatcher.router),
            retries=tuple(retries),
            timeout=TIMEOUT,
            clock=self._clock,
            rng=rng or Random(),  # noqa: S311 - spreads repetitions, guards nothing
            client=client,
            observer=self._observer,
        )
        self._turns: dict[asyncio.Task[None], Lease] = {}
        self._overtaken: WeakSet[asyncio.Task[None]] = WeakSet()
        self._freed = asyncio.Event()
        self._stopping = False
        self._pause: asyncio.Future[None] | None = None

    async def run_due(self) -> int:
        """Work until nothing is due any more, without waiting for what is due later: for scripts and tests.

        Returns:
            How many turns were taken.

        Raises:
            Exception: the store failed.
        """
        count = 0
        while claims := await self._claim(self._concurrency):
            await asyncio.gather(*(self._take(claim) for claim in claims))
            count += len(claims)
        return count

    async def __aenter__(self) -> Self:
        """Start working."""
        async with AsyncExitStack() as stack:
            if self._owns_dispatcher:
                await stack.enter_async_context(self.dispatcher)
            self._stack = stack.pop_all()
        self._stopping = False
        self._chores = [asyncio.create_task(self._keep_leases()), asyncio.create_task(self._keep_house())]
        self._claiming = asyncio.create_task(self._claim_on())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop claiming, finish what has been begun, cancel and release what takes longer than the shutdown_timeout."""
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        try:
            await self._claiming
            await self._finish()
        finally:
            await _cancel([self._claiming, *self._turns, *self._chores])
            await self._stack.aclose()

    # Claiming.

    async def _claim_on(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                await self._claim_once()
            except Exception as error:  # noqa: BLE001 - whatever a store raises, it may work again
                logger.error("the inbox cannot be worked on: %s", traceback_without_messages(error))  # noqa: TRY400 - may quote a row
                failures += 1
                if not self._stopping:
                    await self._rest(self._clock.sleep(STORE_BACKOFF[min(failures, len(STORE_BACKOFF)) - 1]))
            else:
                failures = 0

    async def _claim_once(self) -> None:
        """Fill the free slots, and wait if nothing is left to do."""
        free = self._concurrency - len(self._turns)
        claims = await self._claim(free)
        if self._stopping:
            for claim in claims:
                await self._release(claim.lease, self._clock.now())
            return
        for claim in claims:
            turn = asyncio.create_task(self._take(claim))
            self._turns[turn] = claim.lease
            turn.add_done_callback(self._end)
        if len(self._turns) == self._concurrency:
            self._freed.clear()
            await self._rest(self._freed.wait())
        elif len(claims) < free:
            await self._rest(self.inbox.wait_for_work(self._poll))

    async def _claim(self, limit: int) -> list[Claim]:
        return await self.inbox.claim(limit, now=self._clock.now(), lease=self._lease)

    async def _rest(self, until: Awaitable[Any]) -> None:
        """Wait for something, or for the stop."""
        self._pause = asyncio.ensure_future(until)
        await asyncio.wait([self._pause])
        if not self._pause.cancelled():
            self._pause.result()

    def _end(self, turn: asyncio.Task[None]) -> None:
        del self._turns[turn]
        self._freed.set()

    # A turn.

    async def _take(self, claim: Claim) -> None:
        """Work one claim through, and let it go; whatever happens is logged here and goes no further."""
        lease = claim.lease
        try:
            due_at = await ClaimExecution(claim, self._habits).take()
        except LeaseLostError:
            logger.warning("%s went to another worker; what this one did was not kept", lease.subject)
            return
        except asyncio.CancelledError:
            if asyncio.current_task() in self._overtaken:
                logger.warning("%s went to another worker; what this one did was not kept", lease.subject)
            else:
                await self._release(lease, self._clock.now())
            raise
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it may work again
            logger.error("%s is left for later: %s", lease.subject, traceback_without_messages(error))  # noqa: TRY400 - may quote a row
            due_at = self._clock.now() + STORE_BACKOFF[-1]
        await self._release(lease, due_at)

    async def _release(self, lease: Lease, due_at: float | None) -> None:
        try:
            await self.inbox.release(lease, due_at=due_at)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            logger.error("%s was not released: %s", lease.subject, traceback_without_messages(error))  # noqa: TRY400 - the same

    async def _finish(self) -> None:
        """Wait for the turns that are being taken, for as long as the shutdown_timeout lasts."""
        timer = asyncio.ensure_future(self._clock.sleep(self._shutdown_timeout))
        while self._turns and not timer.done():
            await asyncio.wait([timer, *self._turns], return_when=asyncio.FIRST_COMPLETED)
        await _cancel([timer])

    # Beside it.

    async def _keep_leases(self) -> None:
        """Prolong the leases of turns that take long; who has lost its lease stops at once."""
        while True:
            await self._clock.sleep(self._lease / 3)
            for turn, lease in list(self._turns.items()):
                try:
                    await self.inbox.record_result(lease, "", None, closes=None, now=self._clock.now())
                except LeaseLostError:
                    self._overtaken.add(turn)
                    turn.cancel()
                except Exception as error:  # noqa: BLE001 - the next time may work, and a fence guards the rest
                    logger.error("%s was not prolonged: %s", lease.subject, traceback_without_messages(error))  # noqa: TRY400 - the same

    async def _keep_house(self) -> None:
        """Purge once a day, and tell the observer every minute what waits."""
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
        notify(observer, InboxMeasured(stats.by_state.get("waiting", 0), stats.by_state.get("dead", 0), age))


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
