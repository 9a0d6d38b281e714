"""Run one event's handlers, keep one's failure from the others, report one Outcome."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self, TypeAlias

from leadpay.errors import RouterError
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.outcome import HandlerResult, Outcome
from leadpay.webhooks.route import Route
from leadpay.webhooks.router import WebhookRouter

logger = logging.getLogger("leadpay.webhooks")

LazyContext: TypeAlias = Context | Callable[[], Context]
"""A context, or what makes it: that costs as much as finding a handler, and most handlers take none."""


class Dispatcher:
    """Runs the handlers that a router maps events to.

    Args:
        router: the handlers.
        timeout: how long one handler may run, in seconds, unless it says so itself; None for as long as it likes.
    """

    def __init__(self, router: WebhookRouter, *, timeout: float | None = None) -> None:
        if not isinstance(router, WebhookRouter):
            raise RouterError(f"a WebhookRouter is needed, not {type(router).__name__}")
        self.router = router
        self.timeout = timeout
        self._states: dict[WebhookRouter, Any] = {}
        self._advised: set[tuple[str, ...]] = set()

    async def dispatch(self, event: Event, context: LazyContext) -> Outcome:
        """Run all handlers that take the event, one after the other, in the order of registration.

        Args:
            event: what happened.
            context: for the handlers that take one; or a function that makes it, called if there is such a handler.
        """
        routes = self.select(event)
        if len(routes) != 1:
            return await self._run_each(routes, event, made(context))
        (route,) = routes  # the common case, without the coroutine and the objects that several take
        try:
            await self._handling(route, event, context)
        except BaseException as error:  # noqa: BLE001 - judged there
            return Outcome((self._judged(route, event, error),))
        return route.success

    def select(self, event: Event) -> Sequence[Route]:
        """Pick the handlers that run for the event; when there is none, say so once per type."""
        return self.router.select(event) or self._advise(event)

    async def run(self, route: Route, event: Event, context: LazyContext) -> HandlerResult:
        """Run one handler; whatever it raises becomes its result."""
        try:
            await self._handling(route, event, context)
        except BaseException as error:  # noqa: BLE001 - judged there
            return self._judged(route, event, error)
        return route.success.results[0]

    def _handling(self, route: Route, event: Event, context: LazyContext) -> Awaitable[Any]:
        """Call the handler, and give what is to be awaited."""
        if route.wants_context:
            context = made(context)
            context.state = self._states.get(route.router)
            handling = route.handler(event, context)
        else:
            handling = route.handler(event)
        timeout = self.timeout if route.timeout is None else route.timeout
        return handling if timeout is None else _limited(handling, timeout)

    async def _run_each(self, routes: Sequence[Route], event: Event, context: Context) -> Outcome:
        return Outcome(tuple([await self.run(route, event, context) for route in routes]))

    def _judged(self, route: Route, event: Event, error: BaseException) -> HandlerResult:
        """Say what an error means.

        Raises:
            BaseException: it was meant for us: our own cancellation, or the interpreter's end.
        """
        if isinstance(error, Defer):
            return HandlerResult(route.name, "deferred", error)
        if isinstance(error, Discard):
            logger.info("%s discarded %s", route.name, event.id)
            return HandlerResult(route.name, "discarded", error)
        if not (isinstance(error, Exception) or _is_foreign_cancellation(error)):
            raise error
        logger.error("%s failed on %s (%s)\n%s", route.name, event.id, event.type, traceback_without_messages(error))
        return HandlerResult(route.name, "failed", error)

    async def __aenter__(self) -> Self:
        """Enter the lifespans of all routers, in order."""
        async with AsyncExitStack() as stack:
            for router, lifespan in self.router.lifespans():
                self._states[router] = await stack.enter_async_context(lifespan())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave them in the opposite order."""
        await self._stack.aclose()
        self._states.clear()

    def _advise(self, event: Event) -> Sequence[Route]:
        """Log a handler that is ready to paste, once per type and direction, and give no routes."""
        # What is not listed shares one entry, since strangers' names have no end.
        words = [event.type, *([event.payment.direction] if isinstance(event, InstantPaymentEvent) else [])]
        kind = tuple(str(word) if word.is_known else "?" for word in words)
        if kind not in self._advised:
            self._advised.add(kind)
            logger.warning("no handler takes %s; paste this one:\n\n%s", event.type, paste_ready(event))
        return ()


async def _limited(handling: Awaitable[Any], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await handling


def _is_foreign_cancellation(error: BaseException) -> bool:
    """Tell whether something that the handler awaited was cancelled, and not we."""
    if not isinstance(error, asyncio.CancelledError):
        return False  # without a look at the task: a coroutine may be closed after its loop
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


def made(context: LazyContext) -> Context:
    """Make the context if it is not made yet."""
    return context if isinstance(context, Context) else context()


def traceback_without_messages(error: BaseException) -> str:
    """Write an error's type and the lines that led to it, without its message, which may hold anything."""
    lines = traceback.format_tb(error.__traceback__)
    return "".join([*lines, f"{type(error).__module__}.{type(error).__qualname__}"])


def paste_ready(event: Event) -> str:
    """Write a handler for just such an event."""
    name = str(event.type).rpartition(".")[2]
    function = "on_" + "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    if not isinstance(event, InstantPaymentEvent):
        unlisted = "" if event.type.is_known else ", unlisted=True"
        return f"@router.on({str(event.type)!r}{unlisted})\nasync def {function}(event: Event) -> None: ...\n"
    if not event.type.is_known:
        decorator = f"on({str(event.type)!r}, unlisted=True)"
    else:
        decorator = name.replace("updated", "update")
        if event.payment.direction.is_known:
            decorator += f"(direction={str(event.payment.direction)!r})"
    return f"@router.{decorator}\nasync def {function}(event: InstantPaymentEvent) -> None: ...\n"
