"""Work one claim through: the handlers that are due, in the order of events, each on its own."""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Sequence
from datetime import datetime
from math import inf
from random import Random
from typing import Any, Final

import attrs

from leadpay.clock import Clock
from leadpay.errors import InboxError, MalformedEventError
from leadpay.inbox.bulkhead import Bulkhead, Slot
from leadpay.inbox.own_transaction import OwnTransaction
from leadpay.inbox.retry import defers_too_long, next_wait
from leadpay.inbox.store import (
    Claim,
    EventState,
    HandlerRun,
    HandlerRunState,
    Inbox,
    RunFinishedError,
    StoredEvent,
    Transaction,
)
from leadpay.instrumentation import DeadLettered, Observer, notify
from leadpay.models import Event
from leadpay.storage import LeaseLostError
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.dispatcher import Dispatcher, HandlerResult, traceback_without_messages
from leadpay.webhooks.event import parse
from leadpay.webhooks.route import Route

logger = logging.getLogger("leadpay.inbox")

ABANDONED_LIMIT: Final = 3
"""After how many lost leases in a row a handler run may be dead: a deploy or a power cut loses one."""

ABANDONED: Final = "the process ended, or stalled, {} times while handling this"


@attrs.frozen(kw_only=True)
class WorkerConfig:
    """What the executions of one worker have in common."""

    inbox: Inbox
    dispatcher: Dispatcher
    retries: Sequence[float]
    timeout: float
    clock: Clock
    rng: Random
    client: Any
    observer: Observer | None
    bulkhead: Bulkhead
    names: Collection[str] = ()
    """The names and aliases of the worker's handlers."""


@attrs.frozen
class _Work:
    """One event for one handler."""

    stored: StoredEvent
    event: Event
    route: Route
    run: HandlerRun
    """What is recorded of it so far."""


class ClaimExecution:
    """One claim, worked through once.

    Each handler goes through the events in their order, and the handlers go side by side. So one that hangs or waits
    for its next attempt holds up itself only.
    """

    def __init__(self, claim: Claim, config: WorkerConfig) -> None:
        self._claim = claim
        self._config = config
        self._latest_versions: dict[str, datetime] = {}
        self._abandoned = claim.abandoned
        self.needs: str | None = None
        """A handler of the consumer that this worker lacks, and that takes one of the events."""
        for event in claim.newer:
            self._remember_newer(event)
        self._states: dict[str, dict[str, HandlerRunState]] = {}
        """The state of each handler run, by event and handler."""
        self._closed: set[str] = set()
        self._due_at = inf
        self._prolonged_at = config.clock.monotonic()
        self._has_new_work = False

    async def run(self) -> float | None:
        """Run the handlers that are due, and say when the next one is, in seconds since 1970.

        Raises:
            LeaseLostError: another worker has the ordering key now.
            Exception: the store failed.
        """
        lanes: dict[str, list[_Work]] = {}
        for stored in self._claim.events:
            await self._plan(stored, lanes)
        if self._claim.abandoned or len(lanes) == 1:
            # One of them may have killed the process: which one shows only if they run one after the other.
            for lane in lanes.values():
                await self._run_lane(lane)
        elif lanes:
            await side_by_side(self._run_lane(lane) for lane in lanes.values())
        return None if self._due_at == inf else self._due_at

    async def _plan(self, stored: StoredEvent, lanes: dict[str, list[_Work]]) -> None:
        """Add an event to what its handlers have to do; if there is none, record this."""
        try:
            event = parse(stored.body or b"")
        except MalformedEventError as error:
            await self._record(stored, None, "unreadable", reason=str(error))
            logger.error("%s cannot be read, and can be replayed after an upgrade: %s", stored.event_id, error)  # noqa: TRY400 - it says all
            return
        states = self._states[stored.event_id] = {}
        for name, route in self._routes(stored, event).items():
            run = _run_of(stored, route)
            states[name] = run.state
            if run.state == "waiting":
                lanes.setdefault(name, []).append(_Work(stored, event, route, run))
        for name in self._lacking(stored, event):
            self.needs = name
            states[name] = "waiting"
        if "waiting" not in states.values():
            await self._close(stored, list(states.values()))

    def _lacking(self, stored: StoredEvent, event: Event) -> list[str]:
        """Name the handlers of the consumer that this worker lacks, and that may still take the event."""
        own = self._config.names
        return [
            known.name
            for known in self._claim.handlers.values()
            if known.name not in own
            and known.takes_type(str(event.type))
            and (stored.only is None or known.name in stored.only)
            and _state_of(stored, known.name) == "waiting"
        ]

    async def _close(self, stored: StoredEvent, states: Collection[HandlerRunState]) -> None:
        """Close an event for which no handler is left to run."""
        # Handlers that were removed from the code, and those of another program, have finished runs too.
        finished = states or [run.state for run in stored.handler_runs.values() if run.state != "waiting"]
        await self._record(stored, None, _closing(finished))
        if not finished and stored.only is None:
            logger.warning("%s (%s) is unhandled, and can be replayed", stored.event_id, stored.type)

    def _routes(self, stored: StoredEvent, event: Event) -> dict[str, Route]:
        """Pick the handlers by name, each once, however often it was registered.

        One that a newer release has renamed is left to the workers of that release: its runs have the new name, and to
        run it under the old one would do it twice.
        """
        routes: dict[str, Route] = {}
        newer = [known for known in self._claim.handlers.values() if known.name not in self._config.names]
        renamed = {alias for known in newer for alias in known.aliases}
        for route in self._config.dispatcher.select(event):
            if route.name in renamed:
                continue
            if stored.only is None or not stored.only.isdisjoint(route.names):
                routes.setdefault(route.name, route)
        return routes

    async def _run_lane(self, lane: Sequence[_Work]) -> None:
        """Let one handler work on its events, until one has to wait."""
        for work in lane:
            # With new work, an older event may have come, or one of these may have been discarded: claim again at once.
            if self._has_new_work:
                return
            if work.run.due_at is not None and work.run.due_at > self._config.clock.now():
                self._due_at = min(self._due_at, work.run.due_at)
                return
            slot = await self._config.bulkhead.take(work.route.name)
            if not isinstance(slot, Slot):
                self._due_at = min(self._due_at, slot)
                return
            try:
                ended = await self._handle(work, slot)
            finally:
                self._config.bulkhead.give_back(slot)
            if ended.state == "waiting":
                self._due_at = min(self._due_at, ended.due_at or 0.0)
                return

    async def _handle(self, work: _Work, slot: Slot) -> HandlerRun:
        """Make one attempt, and record how it ended; ``work.run`` has the name under which runs are stored."""
        stored, route = work.stored, work.route
        retries = self._config.retries if route.retries is None else route.retries
        # Leases that expired without a result are attempts of the first handler run that is due.
        abandoned, self._abandoned = self._abandoned, 0
        before = attrs.evolve(work.run, attempts=work.run.attempts + abandoned)
        # One lost lease alone is no proof against the handler, however few retries it has.
        if abandoned >= ABANDONED_LIMIT and before.attempts > len(retries):
            return await self._give_up(
                stored, attrs.evolve(before, state="dead", due_at=None, error=ABANDONED.format(abandoned))
            )
        await self._ensure_lease()
        attempt = attrs.evolve(before, attempts=before.attempts + 1)
        raised = await self._attempt(work, attempt)
        slot.failed = raised is not None and not isinstance(raised, Defer | Discard)
        if raised is None:
            self._remember(attempt.handler, stored.version)
            await self._close_if_last(stored)
            return attrs.evolve(attempt, state="done")
        if isinstance(raised, Defer):
            self._warn_of_long_deferral(stored, route, raised)
        ended = self._next_run(raised, before, attempt, retries)
        if ended.state == "dead":
            return await self._give_up(stored, ended)
        await self._record_run(stored, ended)
        return ended

    async def _ensure_lease(self) -> None:
        """Prolong the lease if half of it is over, so that no attempt begins after its end.

        The event loop may have been blocked, or the process paused, so the worker's heartbeat is not enough.
        """
        clock, lease = self._config.clock, self._claim.lease
        if clock.monotonic() - self._prolonged_at < lease.seconds / 2:
            return
        self._prolonged_at = clock.monotonic()
        self._has_new_work |= await self._config.inbox.record_result(lease, "", None, closes=None, now=clock.now())

    async def _attempt(self, work: _Work, attempt: HandlerRun) -> BaseException | None:
        """Run the handler and commit its success together with its work, or say what it raised."""
        config, stored, event, route = self._config, work.stored, work.event, work.route
        done = attrs.evolve(attempt, state="done", due_at=None, error=None)
        async with config.inbox.transaction(self._claim.lease, handler=attempt.handler) as transaction:
            own = OwnTransaction(config.inbox.dialect, lambda: self._completion(stored, done), transaction.connection)
            context = Context(
                event=event,
                received_at=stored.received_at,
                attempt=attempt.attempts,
                is_stale=self._is_stale(attempt.handler, stored.version),
                client=config.client,
                transaction=transaction.connection,
                complete=own.complete,
            )
            if route.timeout is None and config.dispatcher.timeout is None:
                route = attrs.evolve(route, timeout=config.timeout)
            result: HandlerResult = await config.dispatcher.run(route, event, context)
            if own.is_used:
                return await self._learn(stored, route, done, result)
            if result.status != "succeeded":
                return result.error
            return await self._commit(transaction, stored, done)

    async def _commit(self, transaction: Transaction, stored: StoredEvent, done: HandlerRun) -> BaseException | None:
        """Commit what the handler has written and its success, or say what was raised."""
        closes = self._closing_with(stored, done)
        run = done if self._is_kept(stored, done) else None
        now = self._config.clock.now()
        try:
            self._has_new_work |= await transaction.commit(stored.event_id, run, closes=closes, now=now)
        except (LeaseLostError, RunFinishedError):
            raise
        except Exception as error:  # noqa: BLE001 - any failure of a store is a failed attempt
            cause = traceback_without_messages(error)
            logger.error("%s on %s: not committed: %s", done.handler, stored.event_id, cause)  # noqa: TRY400 - may quote the row
            return error
        self._note(stored, done, closes)
        return None

    def _completion(self, stored: StoredEvent, done: HandlerRun) -> Any:
        """Give the statements that record a success, for a transaction of the user's own."""
        return self._config.inbox.completion(
            self._claim.lease,
            stored.event_id,
            done if self._is_kept(stored, done) else None,
            closes=self._closing_with(stored, done),
            now=self._config.clock.now(),
        )

    async def _learn(
        self, stored: StoredEvent, route: Route, done: HandlerRun, result: HandlerResult
    ) -> BaseException | None:
        """Ask the store whether the user has committed, whatever the handler did afterwards."""
        claim = await self._config.inbox.refresh(self._claim.lease, now=self._config.clock.now())
        waiting = [] if claim is None else [one for one in claim.events if one.event_id == stored.event_id]
        self._has_new_work |= claim is not None and claim.lease.revision > self._claim.lease.revision
        if waiting and _run_of(waiting[0], route).state == "waiting":
            return result.error or InboxError("context.complete_in: the transaction was not committed")
        if result.status != "succeeded":
            logger.warning("%s ended as %s on %s, after it was committed", done.handler, result.status, stored.event_id)
        self._note(stored, done, None if waiting else "done")
        return None

    def _is_kept(self, stored: StoredEvent, run: HandlerRun) -> bool:
        """Whether a success needs a row: not if it is the event's only handler, and succeeded at its first attempt.

        For an event that is as old as the handler, and for one that was replayed, it does.
        """
        known = self._claim.handlers.get(run.handler)
        return (
            len(self._states[stored.event_id]) > 1
            or run.attempts > 1
            or bool(stored.handler_runs)
            or stored.only is not None
            or known is None
            or stored.number <= known.since
        )

    def _next_run(
        self, error: BaseException, before: HandlerRun, attempt: HandlerRun, retries: Sequence[float]
    ) -> HandlerRun:
        """Give the run after an attempt that raised."""
        now = self._config.clock.now()
        if isinstance(error, Defer):
            return attrs.evolve(before, state="waiting", due_at=now + error.seconds)
        if isinstance(error, Discard):
            return attrs.evolve(attempt, state="discarded", due_at=None, error=error.reason)
        wait = next_wait(retries, attempt.attempts, self._config.rng.random())
        if wait is None:
            return attrs.evolve(attempt, state="dead", due_at=None, error=traceback_without_messages(error))
        return attrs.evolve(attempt, state="waiting", due_at=now + wait, error=traceback_without_messages(error))

    def _warn_of_long_deferral(self, stored: StoredEvent, route: Route, defer: Defer) -> None:
        age = self._config.clock.now() - stored.received_at.timestamp()
        if defers_too_long(age, defer.seconds):
            hours = (age + defer.seconds) / 3_600
            logger.warning(
                "%s defers %s (%s) to %.0f hours after it was received", route.name, stored.event_id, stored.type, hours
            )

    async def _give_up(self, stored: StoredEvent, dead: HandlerRun) -> HandlerRun:
        await self._record_run(stored, dead)
        logger.error(
            "%s gave up on %s (%s) after %d attempts: see 'leadpay inbox show %s'",
            dead.handler,
            stored.event_id,
            stored.type,
            dead.attempts,
            stored.event_id,
        )
        if self._config.observer is not None:
            payment_id = None if stored.ordering_key == stored.event_id else stored.ordering_key
            observation = DeadLettered(dead.handler, stored.event_id, stored.type, payment_id, dead.attempts)
            notify(self._config.observer, observation)
        return dead

    async def _record_run(self, stored: StoredEvent, run: HandlerRun) -> None:
        closes = self._closing_with(stored, run)
        await self._record(stored, run, closes)
        self._note(stored, run, closes)
        await self._close_if_last(stored)

    async def _record(
        self, stored: StoredEvent, run: HandlerRun | None, closes: EventState | None, *, reason: str | None = None
    ) -> None:
        self._has_new_work |= await self._config.inbox.record_result(
            self._claim.lease,
            stored.event_id,
            run,
            closes=closes,
            now=self._config.clock.now(),
            reason=reason,
        )

    def _closing_with(self, stored: StoredEvent, run: HandlerRun) -> EventState | None:
        """Give the event's final state if this handler run is the last one."""
        states: dict[str, HandlerRunState] = {**self._states[stored.event_id], run.handler: run.state}
        return _closing(states.values())

    def _note(self, stored: StoredEvent, run: HandlerRun, closes: EventState | None) -> None:
        self._states[stored.event_id][run.handler] = run.state
        if closes is not None:
            self._closed.add(stored.event_id)

    async def _close_if_last(self, stored: StoredEvent) -> None:
        """Close an event whose last handlers ended at the same moment, each while the other one was not recorded."""
        closes = _closing(self._states[stored.event_id].values())
        if closes is not None and stored.event_id not in self._closed:
            self._closed.add(stored.event_id)
            await self._record(stored, None, closes)

    def _remember_newer(self, stored: StoredEvent) -> None:
        """Note which handlers are through with a newer version; without a row, it is the only handler that took it."""
        for run in stored.handler_runs.values():
            if run.state == "done":
                self._remember(run.handler, stored.version)
        if stored.handler_runs or stored.state != "done":
            return
        try:
            event = parse(stored.body or b"")
        except MalformedEventError:  # its body was purged
            names = [route.name for route in self._config.dispatcher.router.routes() if route.takes_type(stored.type)]
        else:
            names = [route.name for route in self._config.dispatcher.router.select(event)]
        for name in names:
            self._remember(name, stored.version)

    def _is_stale(self, name: str, version: datetime | None) -> bool:
        latest = self._latest_versions.get(name)
        return version is not None and latest is not None and latest > version

    def _remember(self, name: str, version: datetime | None) -> None:
        if version is not None and not self._is_stale(name, version):
            self._latest_versions[name] = version


def _state_of(stored: StoredEvent, name: str) -> HandlerRunState:
    run = stored.handler_runs.get(name)
    return "waiting" if run is None else run.state


def _run_of(stored: StoredEvent, route: Route) -> HandlerRun:
    """Find the handler's run, under its name or an alias."""
    for name in route.names:
        if (found := stored.handler_runs.get(name)) is not None:
            return attrs.evolve(found, handler=route.name)
    return HandlerRun(handler=route.name, state="waiting", attempts=0)


def _closing(states: Iterable[HandlerRunState]) -> EventState | None:
    """Give an event's final state from the states of its handler runs; None if one waits."""
    found = set(states)
    if not found:
        return "unhandled"
    ends: tuple[EventState, ...] = ("dead", "done", "discarded")
    return None if "waiting" in found else next(state for state in ends if state in found)


async def side_by_side(runs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end, whatever one of them raises, and then raise it.

    Only a lost lease ends the others at once.
    """
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(isinstance(error, LeaseLostError) for error in _errors(tasks)):
            _cancel(tasks)
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        _cancel(tasks)
        await asyncio.wait(tasks)
        raise
    for error in sorted(_errors(tasks), key=lambda error: not isinstance(error, LeaseLostError)):
        raise error


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def _errors(tasks: Iterable[asyncio.Task[None]]) -> list[BaseException]:
    """List what the tasks raised; one that was cancelled by its own handler counts too."""
    ended = [task for task in tasks if task.done()]
    errors = [asyncio.CancelledError() if task.cancelled() else task.exception() for task in ended]
    return [error for error in errors if error is not None]
