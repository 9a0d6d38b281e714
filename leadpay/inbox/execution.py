"""Work one claim through: the handlers that are due, in the order of events, each on its own."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from math import inf
from random import Random
from typing import Any, Final

import attrs

from leadpay.clock import Clock
from leadpay.errors import MalformedEventError
from leadpay.inbox.retry import defers_too_long, next_wait
from leadpay.inbox.store import Claim, EventState, HandlerRun, HandlerRunState, Inbox, RunFinishedError, StoredEvent
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
    names: Collection[str] = ()
    """The names and aliases of the worker's handlers."""


class ClaimExecution:
    """One claim, worked through once."""

    def __init__(self, claim: Claim, config: WorkerConfig) -> None:
        self._claim = claim
        self._config = config
        self._latest_versions: dict[str, datetime] = {}
        self._abandoned = claim.abandoned
        self.is_released = False
        """Whether the last result has released the key too."""
        self.needs: str | None = None
        """A handler of the consumer that this worker lacks, and that takes one of the events."""
        for event in claim.newer:
            self._remember_newer(event)
        self._held_back: set[str] = set()
        self._due_at = inf
        self._prolonged_at = config.clock.monotonic()
        self._has_new_work = False

    async def run(self) -> float | None:
        """Run the handlers that are due, and say when the next one is, in seconds since 1970.

        Raises:
            LeaseLostError: another worker has the ordering key now.
            Exception: the store failed.
        """
        for stored in self._claim.events:
            await self._handle_event(stored)
            if self._has_new_work:
                # An older event may have come, or one of these may have been discarded: claim again at once.
                break
        return None if self._due_at == inf else self._due_at

    async def _handle_event(self, stored: StoredEvent) -> None:
        try:
            event = parse(stored.body or b"")
        except MalformedEventError as error:
            await self._record(stored, None, "unreadable", reason=str(error))
            logger.error("%s cannot be read, and can be replayed after an upgrade: %s", stored.event_id, error)  # noqa: TRY400 - it says all
            return
        routes = self._routes(stored, event)
        lacking = self._lacking(stored, event)
        states: dict[str, HandlerRunState] = {name: _run_of(stored, route).state for name, route in routes.items()}
        states |= dict.fromkeys(lacking, "waiting")
        if "waiting" not in states.values():
            await self._close(stored, list(states.values()))
        for name, route in routes.items():
            if states[name] == "waiting" and self._is_due(stored, route):
                others: list[HandlerRunState] = [state for other, state in states.items() if other != name]
                ended = await self._handle(stored, event, route, _run_of(stored, route), others)
                states[name] = ended.state
                if ended.state == "waiting":
                    self._hold_back(ended)
        if lacking:
            self.needs = lacking[0]

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
        """Pick the handlers by name, each once, however often it was registered."""
        routes: dict[str, Route] = {}
        for route in self._config.dispatcher.select(event):
            if stored.only is None or not stored.only.isdisjoint(route.names):
                routes.setdefault(route.name, route)
        return routes

    def _is_due(self, stored: StoredEvent, route: Route) -> bool:
        """Whether a handler is through with all earlier events, and its next attempt is due."""
        if route.name in self._held_back:
            return False
        run = _run_of(stored, route)
        if run.due_at is not None and run.due_at > self._config.clock.now():
            self._hold_back(run)
            return False
        return True

    def _hold_back(self, run: HandlerRun) -> None:
        self._held_back.add(run.handler)
        self._due_at = min(self._due_at, run.due_at or 0.0)

    async def _handle(
        self, stored: StoredEvent, event: Event, route: Route, before: HandlerRun, others: Collection[HandlerRunState]
    ) -> HandlerRun:
        """Make one attempt, and record how it ended; ``before`` has the name under which runs are stored."""
        retries = self._config.retries if route.retries is None else route.retries
        # Leases that expired without a result are attempts of the first handler run that is due.
        abandoned, self._abandoned = self._abandoned, 0
        before = attrs.evolve(before, attempts=before.attempts + abandoned)
        # One lost lease alone is no proof against the handler, however few retries it has.
        if abandoned >= ABANDONED_LIMIT and before.attempts > len(retries):
            dead = attrs.evolve(before, state="dead", due_at=None, error=ABANDONED.format(abandoned))
            return await self._give_up(stored, dead, others)
        await self._ensure_lease()
        attempt = attrs.evolve(before, attempts=before.attempts + 1)
        raised = await self._attempt(stored, event, route, attempt, others)
        if raised is None:
            self._remember(attempt.handler, stored.version)
            return attrs.evolve(attempt, state="done")
        if isinstance(raised, Defer):
            self._warn_of_long_deferral(stored, route, raised)
        ended = self._next_run(raised, before, attempt, retries)
        if ended.state == "dead":
            return await self._give_up(stored, ended, others)
        await self._record(stored, ended, _closing([*others, ended.state]))
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

    async def _attempt(
        self,
        stored: StoredEvent,
        event: Event,
        route: Route,
        attempt: HandlerRun,
        others: Collection[HandlerRunState],
    ) -> BaseException | None:
        """Run the handler and commit its success together with its work, or say what it raised."""
        config = self._config
        async with config.inbox.transaction(self._claim.lease) as transaction:
            context = Context(
                event=event,
                received_at=stored.received_at,
                attempt=attempt.attempts,
                is_stale=self._is_stale(attempt.handler, stored.version),
                client=config.client,
                transaction=transaction.connection,
            )
            if route.timeout is None and config.dispatcher.timeout is None:
                route = attrs.evolve(route, timeout=config.timeout)
            result: HandlerResult = await config.dispatcher.run(route, event, context)
            if result.status != "succeeded":
                return result.error
            done = attrs.evolve(attempt, state="done", due_at=None, error=None)
            try:
                self._has_new_work |= await transaction.commit(
                    stored.event_id,
                    done if others or self._is_kept(stored, done) else None,
                    closes=_closing([*others, "done"]),
                    now=config.clock.now(),
                )
            except (LeaseLostError, RunFinishedError):
                raise
            except Exception as error:  # noqa: BLE001 - any failure of a store is a failed attempt
                logger.error("%s on %s: not committed: %s", route.name, event.id, traceback_without_messages(error))  # noqa: TRY400 - may quote the row
                return error
        return None

    def _is_kept(self, stored: StoredEvent, run: HandlerRun) -> bool:
        """Whether the success of an event's only handler needs a row.

        It does after other attempts, for an event that is as old as the handler, and for one that was replayed.
        """
        known = self._claim.handlers.get(run.handler)
        return (
            run.attempts > 1
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

    async def _give_up(self, stored: StoredEvent, dead: HandlerRun, others: Collection[HandlerRunState]) -> HandlerRun:
        await self._record(stored, dead, _closing([*others, dead.state]))
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
