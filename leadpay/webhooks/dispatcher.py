"""Run one event's handlers, keep one's failure from the others, report one Outcome."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from leadpay.errors import RouterError
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.route import Route
from leadpay.webhooks.router import WebhookRouter

logger = logging.getLogger("leadpay.webhooks")

LazyContext: TypeAlias = Context | Callable[[], Context]
"""A context, or what makes it: that costs as much as finding a handler, and most handlers take none."""

_new: Final = tuple.__new__
"""What the ``__new__`` of a NamedTuple calls, which is Python code and takes 0.5 us more for each result."""

HandlerStatus: TypeAlias = Literal["succeeded", "failed", "deferred", "discarded"]


class HandlerResult(NamedTuple):
    """How one handler of an event ended; how long it took is told to an observer (``leadpay.facts``)."""

    handler: str
    """``module:qualified name``."""
    status: HandlerStatus
    error: BaseException | None = None
    """What it raised; a Defer or a Discard too."""


class Outcome(NamedTuple):
    """How an event ended: one result for each handler that ran, in their order; none if nothing takes the event."""

    results: tuple[HandlerResult, ...]

    @property
    def succeeded(self) -> bool:
        """Whether nothing is left to do: every handler succeeded or discarded the event."""
        for result in self.results:  # noqa: SIM110 - a generator would cost more than all the rest of it
            if result.status not in ("succeeded", "discarded"):
                return False
        return True


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
        routes = self.router.select(event) or self._advise(event)
        if len(routes) == 1:  # the common case, a third cheaper without the list
            return _new(Outcome, ((await self.run(routes[0], event, context),),))
        shared = made(context)
        return Outcome(tuple([await self.run(route, event, shared) for route in routes]))

    def select(self, event: Event) -> list[Route]:
        """Pick the handlers that run for the event; when there is none, say so once per type."""
        return self.router.select(event) or self._advise(event)

    async def run(self, route: Route, event: Event, context: LazyContext) -> HandlerResult:
        """Run one handler; whatever it raises becomes its result."""
        status: HandlerStatus = "succeeded"
        error: BaseException | None = None
        try:
            timeout = self.timeout if route.timeout is None else route.timeout
            handling = self._with_context(route, event, context) if route.wants_context else route.handler(event)
            if timeout is None:
                await handling
            else:
                async with asyncio.timeout(timeout):
                    await handling
        except Defer as wish:
            status, error = "deferred", wish
        except Discard as wish:
            status, error = "discarded", wish
            logger.info("%s discarded %s", route.name, event.id)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that the handler awaited was cancelled, not we.
            status, error = self._failed(route, event, cancelled)
        except Exception as failure:  # noqa: BLE001 - one handler's failure is not its neighbour's
            status, error = self._failed(route, event, failure)
        return _new(HandlerResult, (route.name, status, error))

    def _failed(self, route: Route, event: Event, error: BaseException) -> tuple[HandlerStatus, BaseException]:
        logger.error("%s failed on %s (%s)\n%s", route.name, event.id, event.type, where_raised(error))
        return "failed", error

    def _with_context(self, route: Route, event: Event, context: LazyContext) -> Awaitable[Any]:
        context = made(context)
        context.state = self._states.get(route.router)
        return route.handler(event, context)

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

    def _advise(self, event: Event) -> list[Route]:
        """Log a handler that is ready to paste, once per type and direction, and give no routes."""
        # What is not listed shares one entry, since strangers' names have no end.
        words = [event.type, *([event.payment.direction] if isinstance(event, InstantPaymentEvent) else [])]
        kind = tuple(str(word) if word.is_known else "?" for word in words)
        if kind not in self._advised:
            self._advised.add(kind)
            logger.warning("no handler takes %s; paste this one:\n\n%s", event.type, paste_ready(event))
        return []


def made(context: LazyContext) -> Context:
    """Make the context if it is not made yet."""
    return context if isinstance(context, Context) else context()


def where_raised(error: BaseException) -> str:
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
