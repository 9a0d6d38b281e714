"""Run the handlers of one event. One handler's failure does not affect the others."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any, Literal, Self, TypeAlias

import attrs

from leadpay.errors import RouterError
from leadpay.instrumentation import HandlerBlocked, HandlerEnded, HandlerStarted, Observer, notify
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.event import UnreadableWebhook
from leadpay.webhooks.route import Route, UnreadableHandler
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.supervision import BLOCKING_SECONDS, Supervised

logger = logging.getLogger("leadpay.webhooks")

HandlerStatus: TypeAlias = Literal["succeeded", "failed", "deferred", "discarded"]

LazyContext: TypeAlias = Context[Any, Any] | Callable[[], Context[Any, Any]]
"""A context, or a function that makes it. Most handlers take no context, and making one takes a while."""


@attrs.define
class HandlerResult:
    """How one handler of an event ended."""

    handler: str
    """The handler's name: ``module:qualified name``."""
    status: HandlerStatus
    error: BaseException | None = None
    """What it raised, a Defer or a Discard too."""


@attrs.define
class Outcome:
    """How the handlers of an event ended: one result for each handler that ran, in their order."""

    results: tuple[HandlerResult, ...]

    @property
    def succeeded(self) -> bool:
        """Whether nothing is left to do: every handler succeeded or discarded the event."""
        return all(result.status in ("succeeded", "discarded") for result in self.results)


class Dispatcher:
    """Runs the handlers that a router selects for an event.

    Args:
        router: the handlers.
        timeout: how long one handler may run, in seconds, unless its decorator says it; None for no limit.
        observer: a function that is told when a handler starts and ends; see ``leadpay.instrumentation``.
    """

    def __init__(
        self, router: WebhookRouter, *, timeout: float | None = None, observer: Observer | None = None
    ) -> None:
        if not isinstance(router, WebhookRouter):
            raise RouterError(f"a WebhookRouter is needed, not {type(router).__name__}")
        self.router = router
        self.timeout = timeout
        self.observer = observer
        self.program: str | None = None
        """What ``context.program`` is: the name of the program whose handlers these are; see ``leadpay.programs``."""
        self._states: dict[WebhookRouter, Any] = {}
        self._advised: set[tuple[str, ...]] = set()

    async def dispatch(self, event: Event, context: LazyContext) -> Outcome:
        """Run all handlers that take the event, one after the other, in the order of registration.

        Args:
            event: what happened.
            context: for the handlers that take one; or a function that makes it, called if there is such a handler.
        """
        results = []
        for route in self.select(event):
            result = await self.run(route, event, context)
            results.append(result)
        return Outcome(tuple(results))

    def select(self, event: Event) -> Sequence[Route]:
        """Select the handlers that run for the event. If there are none, log this once for each type."""
        return self.router.select(event) or self._advise(event)

    async def run(self, route: Route, event: Event, context: LazyContext) -> HandlerResult:
        """Run one handler, and turn what it raises into its result."""
        observed = None
        if self.observer is not None:
            context = resolve_context(context)
            observed = _ObservedRun(self.observer, route, event, context)
        supervised = None
        try:
            if route.wants_context:
                context = resolve_context(context)
                context.state = self._states.get(route.router)
                context.program = self.program
                supervised = Supervised(route.handler(event, context))
            else:
                supervised = Supervised(route.handler(event))
            timeout = self.timeout if route.timeout is None else route.timeout
            if timeout is None:
                await supervised
            else:
                async with asyncio.timeout(timeout):
                    await supervised
            result = HandlerResult(route.name, "succeeded")
        except BaseException as error:
            if not (isinstance(error, Exception) or _is_cancellation_of_another_task(error)):
                if observed is not None:
                    observed.end("cancelled", error)
                raise
            result = _result_of(error, route, event)
        finally:
            if supervised is not None and (supervised.is_abandoned or supervised.blocked_seconds >= BLOCKING_SECONDS):
                self._report(route, event, supervised)
        if observed is not None:
            observed.end(result.status, result.error)
        return result

    async def run_unreadable(self, handler: UnreadableHandler, webhook: UnreadableWebhook) -> bool:
        """Run one handler of ``@router.unreadable``, and say whether it succeeded."""
        try:
            async with asyncio.timeout(self.timeout):
                await handler(webhook)
        except Exception as error:  # noqa: BLE001 - a user's function
            name = webhook.event_id or "a webhook without an ID"
            logger.error("a handler of unreadable webhooks failed on %s: %s", name, traceback_without_messages(error))  # noqa: TRY400 - its message may hold anything
            return False
        return True

    def _report(self, route: Route, event: Event, supervised: Supervised) -> None:
        """Name a handler that blocked the event loop, or was left because it did not obey its cancellation."""
        seconds = supervised.blocked_seconds
        if supervised.is_abandoned:
            logger.error("%s went on after it was cancelled, and was abandoned; event %s", route.name, event.id)
        if seconds >= BLOCKING_SECONDS:
            logger.warning(
                "%s blocked the event loop for %.1f seconds on %s: move that call to a thread (asyncio.to_thread)",
                route.name,
                seconds,
                event.id,
            )
            if self.observer is not None:
                blocked = HandlerBlocked(route.name, event.id, str(event.type), event.payment_id, seconds)
                notify(self.observer, blocked)

    async def __aenter__(self) -> Self:
        """Enter the lifespans of all routers, in order."""
        async with AsyncExitStack() as stack:
            for router, lifespan in self.router.lifespans():
                self._states[router] = await stack.enter_async_context(lifespan())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave the lifespans in the opposite order."""
        await self._stack.aclose()
        self._states.clear()

    def _advise(self, event: Event) -> Sequence[Route]:
        """Log a handler that is ready to paste, once for each type and direction, and return no routes."""
        # All unlisted values share one entry, since anyone can make up new ones.
        values = [event.type, *([event.payment.direction] if isinstance(event, InstantPaymentEvent) else [])]
        kind = tuple(str(value) if value.is_known else "?" for value in values)
        if kind not in self._advised:
            self._advised.add(kind)
            logger.warning("no handler takes %s; paste this one:\n\n%s", event.type, paste_ready(event))
        return ()


class _ObservedRun:
    """Tells an observer when a handler starts and ends."""

    def __init__(self, observer: Observer, route: Route, event: Event, context: Context[Any, Any]) -> None:
        self._observer = observer
        self._started = HandlerStarted(
            route.name, event.id, str(event.type), event.payment_id, context.attempt, context.received_at
        )
        notify(observer, self._started)
        self._start = perf_counter()

    def end(self, status: HandlerStatus | Literal["cancelled"], error: BaseException | None) -> None:
        error_name = type(error).__name__ if status in ("failed", "cancelled") else None
        notify(self._observer, HandlerEnded(self._started, status, error_name, perf_counter() - self._start))


def _result_of(error: BaseException, route: Route, event: Event) -> HandlerResult:
    """Turn what a handler raised into its result."""
    if isinstance(error, BaseExceptionGroup):
        error = _instruction_of(error) or error
    if isinstance(error, Defer):
        return HandlerResult(route.name, "deferred", error)
    if isinstance(error, Discard):
        logger.info("%s discarded %s", route.name, event.id)
        return HandlerResult(route.name, "discarded", error)
    logger.error("%s failed on %s (%s)\n%s", route.name, event.id, event.type, traceback_without_messages(error))
    return HandlerResult(route.name, "failed", error)


def _instruction_of(group: BaseExceptionGroup[BaseException]) -> Defer | Discard | None:
    """Find what a group tells us to do, if it holds no error: the longest deferral, or else a discard."""
    instructions, errors = group.split((Defer, Discard))
    if instructions is None or errors is not None:
        return None
    leaves = list(_leaves(instructions))
    deferrals = [leaf for leaf in leaves if isinstance(leaf, Defer)]
    if deferrals:
        return max(deferrals, key=lambda leaf: leaf.seconds)
    return next(leaf for leaf in leaves if isinstance(leaf, Discard))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _is_cancellation_of_another_task(error: BaseException) -> bool:
    """Whether something that the handler awaited was cancelled, and not the task that runs the handler."""
    if not isinstance(error, asyncio.CancelledError):
        return False  # without asking for the task: a coroutine may be closed after its loop
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


def resolve_context(context: LazyContext) -> Context[Any, Any]:
    """Make the context if it is not made yet."""
    return context if isinstance(context, Context) else context()


def traceback_without_messages(error: BaseException) -> str:
    """Write the types of an error, of its causes and of a group's errors, with the places that led to them.

    A place is a file, a line number and a function. Messages and source lines are left out: both may contain private
    data.
    """
    return "\n".join(_describe(error, {id(error)}))


def _describe(error: BaseException, seen: set[int]) -> Iterator[str]:
    cause = error.__cause__ if error.__suppress_context__ else error.__cause__ or error.__context__
    if cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield from _describe(cause, seen)
        yield "which led to:"
    # With an empty line given, none is read from the file.
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    places = traceback.StackSummary.from_list([(frame.filename, frame.lineno or 0, frame.name, "") for frame in frames])
    lines = "".join(places.format())
    yield f"{lines}{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions, 1):
            if id(inner) not in seen:
                seen.add(id(inner))
                yield f"error {number} of the group:"
                yield from _describe(inner, seen)


def paste_ready(event: Event) -> str:
    """Write a handler that takes this event and those like it."""
    name = str(event.type).rpartition(".")[2]
    function = "on_" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    if not isinstance(event, InstantPaymentEvent):
        unlisted = "" if event.type.is_known else ", unlisted=True"
        return f"@router.on({str(event.type)!r}{unlisted})\nasync def {function}(event: Event) -> None: ...\n"
    if not event.type.is_known:
        decorator = f"on({str(event.type)!r}, unlisted=True)"
    else:
        decorator = name
        if event.payment.direction.is_known:
            decorator += f"(direction={str(event.payment.direction)!r})"
    return f"@router.{decorator}\nasync def {function}(event: InstantPaymentEvent) -> None: ...\n"
