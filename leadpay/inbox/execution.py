"""A payment's turn: what is due of it, in order, each handler on its own."""

import logging
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from random import Random
from typing import Any, Final

import attrs

from leadpay.clock import Clock
from leadpay.errors import MalformedEventError
from leadpay.inbox import Claim, EventState, HandlerRun, HandlerRunState, Inbox, LeaseLostError, StoredEvent
from leadpay.inbox.retry import next_wait
from leadpay.instrumentation import DeadLettered, Observer, notify
from leadpay.models import Event
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.dispatcher import Dispatcher, HandlerResult, traceback_without_messages
from leadpay.webhooks.event import parse
from leadpay.webhooks.route import Route
from leadpay.webhooks.router import WebhookRouter

logger = logging.getLogger("leadpay.inbox")

UNREADABLE: Final = "leadpay.webhooks.event:parse"
"""The name under which an event is kept as dead that this version cannot read."""

VANISHED: Final = "the process ended, or stalled, {} times while handling this"


@attrs.frozen(kw_only=True)
class WorkerConfig:
    """How a worker handles, whatever it handles."""

    inbox: Inbox
    dispatcher: Dispatcher
    names: Mapping[Hashable, str]
    """From :func:`name_handlers`."""
    retries: Sequence[float]
    timeout: float
    clock: Clock
    rng: Random
    client: Any
    observer: Observer | None


class ClaimExecution:
    """One claim, worked through once."""

    def __init__(self, claim: Claim, habits: WorkerConfig) -> None:
        self._claim = claim
        self._habits = habits
        self._newest = dict(claim.newest)
        self._lost = claim.lost
        self._held_back: set[str] = set()
        self._due_at = inf
        self._was_woken = False

    async def take(self) -> float | None:
        """Run what is due, and say when there will be more, in seconds since 1970.

        Raises:
            LeaseLostError: somebody else has the payment now.
            Exception: the store failed.
        """
        for delivery in self._claim.deliveries:
            await self._deliver(delivery)
            if self._was_woken:
                # Something older may have come, or something here been discarded: the next claim, at once, knows.
                break
        return None if self._due_at == inf else self._due_at

    async def _deliver(self, delivery: StoredEvent) -> None:
        try:
            event = parse(delivery.body or b"")
        except MalformedEventError as error:
            await self._give_up(
                delivery, HandlerRun(handler=UNREADABLE, state="dead", attempts=1, error=str(error)), []
            )
            return
        routes = self._routes(event)
        states: dict[str, HandlerRunState] = {name: _progress(delivery, name).state for name in routes}
        if "waiting" not in states.values():
            await self._settle(delivery, None, list(states.values()))
        for name, route in routes.items():
            if states[name] == "waiting" and self._is_due(delivery, name):
                others: list[HandlerRunState] = [state for other, state in states.items() if other != name]
                ended = await self._handle(delivery, event, route, _progress(delivery, name), others)
                states[name] = ended.state
                if ended.state == "waiting":
                    self._hold_back(ended)

    def _routes(self, event: Event) -> dict[str, Route]:
        """Pick the handlers by name, each once, however often it was registered."""
        routes: dict[str, Route] = {}
        for route in self._habits.dispatcher.select(event):
            routes.setdefault(self._habits.names.get(_key(route.handler), route.name), route)
        return routes

    def _is_due(self, delivery: StoredEvent, name: str) -> bool:
        """Whether a handler is through with all earlier events, and needn't wait for another attempt."""
        if name in self._held_back:
            return False
        progress = _progress(delivery, name)
        if progress.due_at is not None and progress.due_at > self._habits.clock.now():
            self._hold_back(progress)
            return False
        return True

    def _hold_back(self, handling: HandlerRun) -> None:
        self._held_back.add(handling.handler)
        self._due_at = min(self._due_at, handling.due_at or 0.0)

    async def _handle(
        self, delivery: StoredEvent, event: Event, route: Route, before: HandlerRun, others: Collection[HandlerRunState]
    ) -> HandlerRun:
        """Make one attempt, and record how it ended; ``before`` bears the handler's name here."""
        retries = self._habits.retries if route.retries is None else route.retries
        # A process that died over the first that was due cannot tell; its attempts count all the same.
        lost, self._lost = self._lost, 0
        before = attrs.evolve(before, attempts=before.attempts + lost)
        if lost and before.attempts > len(retries):
            dead = attrs.evolve(before, state="dead", due_at=None, error=VANISHED.format(lost))
            return await self._give_up(delivery, dead, others)
        attempt = attrs.evolve(before, attempts=before.attempts + 1)
        raised = await self._attempt(delivery, event, route, attempt, others)
        if raised is None:
            self._remember(attempt.handler, delivery.version)
            return attrs.evolve(attempt, state="done")
        ended = self._judge(raised, before, attempt, retries)
        if ended.state == "dead":
            return await self._give_up(delivery, ended, others)
        await self._settle(delivery, ended, [*others, ended.state])
        return ended

    async def _attempt(
        self,
        delivery: StoredEvent,
        event: Event,
        route: Route,
        attempt: HandlerRun,
        others: Collection[HandlerRunState],
    ) -> BaseException | None:
        """Run the handler and commit its success together with its work, or say what it raised."""
        habits = self._habits
        async with habits.inbox.transaction(self._claim.lease) as transaction:
            context = Context(
                event=event,
                received_at=delivery.received_at,
                attempt=attempt.attempts,
                is_stale=self._is_stale(attempt.handler, delivery.version),
                client=habits.client,
                transaction=transaction.connection,
            )
            if route.timeout is None and habits.dispatcher.timeout is None:
                route = attrs.evolve(route, timeout=habits.timeout)
            result: HandlerResult = await habits.dispatcher.run(route, event, context)
            if result.status != "succeeded":
                return result.error
            try:
                self._was_woken |= await transaction.commit(
                    delivery.event_id,
                    attrs.evolve(attempt, state="done", due_at=None, error=None),
                    closes=_closing([*others, "done"]),
                    now=habits.clock.now(),
                )
            except LeaseLostError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a store raises
                logger.error("%s on %s: not committed: %s", route.name, event.id, traceback_without_messages(error))  # noqa: TRY400 - may quote the row
                return error
        return None

    def _judge(
        self, error: BaseException, before: HandlerRun, attempt: HandlerRun, retries: Sequence[float]
    ) -> HandlerRun:
        """Say what comes after an attempt that raised."""
        now = self._habits.clock.now()
        if isinstance(error, Defer):
            return attrs.evolve(before, state="waiting", due_at=now + error.seconds)
        if isinstance(error, Discard):
            return attrs.evolve(attempt, state="discarded", due_at=None, error=error.reason)
        wait = next_wait(retries, attempt.attempts, self._habits.rng.random())
        if wait is None:
            return attrs.evolve(attempt, state="dead", due_at=None, error=traceback_without_messages(error))
        return attrs.evolve(attempt, state="waiting", due_at=now + wait, error=traceback_without_messages(error))

    async def _give_up(
        self, delivery: StoredEvent, dead: HandlerRun, others: Collection[HandlerRunState]
    ) -> HandlerRun:
        await self._settle(delivery, dead, [*others, dead.state])
        logger.error(
            "%s gave up on %s (%s) after %d attempts: see 'leadpay inbox show %s'",
            dead.handler,
            delivery.event_id,
            delivery.type,
            dead.attempts,
            delivery.event_id,
        )
        if self._habits.observer is not None:
            payment_id = None if delivery.subject == delivery.event_id else delivery.subject
            fact = DeadLettered(dead.handler, delivery.event_id, delivery.type, payment_id, dead.attempts)
            notify(self._habits.observer, fact)
        return dead

    async def _settle(
        self, delivery: StoredEvent, handling: HandlerRun | None, states: Iterable[HandlerRunState]
    ) -> None:
        self._was_woken |= await self._habits.inbox.record_result(
            self._claim.lease,
            delivery.event_id,
            handling,
            closes=_closing(states),
            now=self._habits.clock.now(),
        )

    def _is_stale(self, name: str, version: datetime | None) -> bool:
        newest = self._newest.get(name)
        return version is not None and newest is not None and newest > version

    def _remember(self, name: str, version: datetime | None) -> None:
        if version is not None and not self._is_stale(name, version):
            self._newest[name] = version


def name_handlers(router: WebhookRouter) -> dict[Hashable, str]:
    """Give each handler the name that its progress is kept under; namesakes are numbered in their order."""
    names: dict[Hashable, str] = {}
    counts: dict[str, int] = {}
    for route in router.routes():
        if _key(route.handler) not in names:
            count = counts[route.name] = counts.get(route.name, 0) + 1
            names[_key(route.handler)] = route.name if count == 1 else f"{route.name}#{count}"
    return names


def _key(handler: Any) -> Hashable:
    """Tell handlers apart: a bound method is another object each time, but equal."""
    return handler if isinstance(handler, Hashable) else id(handler)


def _progress(delivery: StoredEvent, name: str) -> HandlerRun:
    found = delivery.handlings.get(name)
    return HandlerRun(handler=name, state="waiting", attempts=0) if found is None else found


def _closing(states: Iterable[HandlerRunState]) -> EventState | None:
    """Say how an event ends whose handlers are that far."""
    found = set(states)
    if "waiting" in found:
        return None
    return "dead" if "dead" in found else "done"
