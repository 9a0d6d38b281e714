"""A table of routes, the decorators that fill it, and inclusion. Pure.

::

    router = WebhookRouter()

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent) -> None:
        print(event.payment.amount)
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar, Unpack, overload

from leadpay.enums import EventType
from leadpay.errors import RouterError
from leadpay.models import Event
from leadpay.webhooks.route import (
    EventFilters,
    EventHandler,
    Options,
    PaymentFilters,
    PaymentHandler,
    Route,
    UnreadableHandler,
    check_unreadable_handler,
    make_pattern,
    make_route,
)

H = TypeVar("H", bound=EventHandler)
P = TypeVar("P", bound=PaymentHandler)
U = TypeVar("U", bound=UnreadableHandler)
L = TypeVar("L", bound=Callable[[], AbstractAsyncContextManager[Any]])

MANDATORY: Final = (
    (EventType.INSTANT_PAYMENT_POSTED, "incoming"),
    (EventType.INSTANT_PAYMENT_RETURN_REQUEST_RESPONSE_NEEDED, "incoming"),
)
"""The events that a partner must handle (the bank's page on receiving and returning)."""


REMINDER_TYPE: Final = "instant_payment.return_request_due."
"""The type of a reminder, before the seconds before the deadline. Only ``leadpay.returns`` makes such events."""


class _Selection(NamedTuple):
    """The routes for a type of event."""

    routes: tuple[Route, ...]
    """Those that take the type, in order; the ``unhandled`` ones if there are none."""
    is_filtered: bool
    """Whether the filters of any of them have to look at the event."""


class PaymentDecorator:
    """A decorator for one type of event about instant payments, with or without parentheses."""

    def __init__(self, router: "WebhookRouter", event_type: EventType) -> None:
        self._router = router
        self._type = event_type

    @overload
    def __call__(self, handler: P, /) -> P: ...

    @overload
    def __call__(self, **filters: Unpack[PaymentFilters]) -> Callable[[P], P]: ...

    def __call__(self, *handler: Any, **filters: Any) -> Any:
        """Register a handler, or take filters and options and return a decorator that registers one.

        Raises:
            RouterError: the handler or a filter is wrong; the message names it.
        """
        register = self._router._decorator((str(self._type),), filters)  # noqa: SLF001 - a part of the router
        return register(*handler) if handler else register


class WebhookRouter:
    """Maps events to handlers; every handler that matches runs, in the order of registration."""

    def __init__(self, name: str | None = None) -> None:
        self.name: str = name or sys._getframe(1).f_globals.get("__name__", "router")  # noqa: SLF001 - as namedtuple does
        """How messages call this router; the module that made it, if no name was given."""
        self._entries: list[Route | WebhookRouter] = []
        self._parents: list[WebhookRouter] = []
        self._lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None
        self._unreadable: list[UnreadableHandler] = []
        self._table: dict[str, _Selection] = {}

    def __repr__(self) -> str:
        return f"WebhookRouter({self.name!r}, routes={len(list(self.routes()))})"

    # The decorators for events about instant payments.

    @property
    def under_review(self) -> PaymentDecorator:
        """The bank is looking at a payment by hand: ``@router.under_review``."""
        return PaymentDecorator(self, EventType.INSTANT_PAYMENT_UNDER_REVIEW)

    @property
    def posted(self) -> PaymentDecorator:
        """Funds have moved on the account: ``@router.posted(direction="incoming")``. Mandatory for incoming ones."""
        return PaymentDecorator(self, EventType.INSTANT_PAYMENT_POSTED)

    @property
    def rejected(self) -> PaymentDecorator:
        """A payment was rejected; see ``event.payment.rejection``: ``@router.rejected``."""
        return PaymentDecorator(self, EventType.INSTANT_PAYMENT_REJECTED)

    @property
    def counterparty_status_updated(self) -> PaymentDecorator:
        """The counterparty status of an outgoing payment changed: ``@router.counterparty_status_updated``."""
        return PaymentDecorator(self, EventType.INSTANT_PAYMENT_COUNTERPARTY_STATUS_UPDATED)

    counterparty_status_update = counterparty_status_updated
    """The same in the spelling of the bank's guides."""

    @property
    def return_request_response_needed(self) -> PaymentDecorator:
        """The counterparty requests a return and waits: ``@router.return_request_response_needed``.

        Mandatory, with a deadline: ``event.payment.active_return_request.deadline``.
        """
        return PaymentDecorator(self, EventType.INSTANT_PAYMENT_RETURN_REQUEST_RESPONSE_NEEDED)

    @property
    def return_request_status_updated(self) -> PaymentDecorator:
        """A return request of ours was accepted or rejected: ``@router.return_request_status_updated``."""
        return PaymentDecorator(self, EventType.INSTANT_PAYMENT_RETURN_REQUEST_STATUS_UPDATED)

    return_request_status_update = return_request_status_updated
    """The same in the spelling of the bank's guides."""

    def return_request_due(self, *, before: timedelta, **filters: Unpack[PaymentFilters]) -> Callable[[P], P]:
        """Register a handler that is reminded of an open return request: ``before=timedelta(days=2)``.

        :class:`leadpay.ReturnRequests` gives the reminder, once, and a worker runs the handler, like that of any event.
        A request may have several, with different times. The time is elapsed time, also when the clocks change.

        Args:
            before: how long before the deadline, in whole seconds.
            filters: filters and options, as of the other decorators.

        Raises:
            RouterError: the time, a filter or the handler is wrong.
        """
        if not isinstance(before, timedelta) or before < timedelta() or before.microseconds:
            raise RouterError("return_request_due(): before= must be a timedelta of whole seconds, and not negative")
        seconds = before.days * 86_400 + before.seconds
        return self._decorator((f"{REMINDER_TYPE}{seconds}",), filters)

    # The general ones.

    def on(self, *event_types: str, unlisted: bool = False, **filters: Unpack[EventFilters]) -> Callable[[H], H]:
        """Register a handler by the bank's names of types: ``@router.on("ach.*", "wire.posted")``.

        Args:
            event_types: names in either spelling, or patterns with ``*``; ``.posted`` is ``instant_payment.posted``.
            unlisted: whether to accept a name that is not on the list that this version knows.
            filters: filters and options. A filter that looks at a payment excludes all events about other objects.

        Raises:
            RouterError: a name, a filter or the handler is wrong.
        """
        if not event_types:
            raise RouterError("on(): name at least one event type")
        return self._decorator(tuple(make_pattern(one, unlisted=unlisted) for one in event_types), filters)

    @overload
    def unhandled(self, handler: H, /) -> H: ...

    @overload
    def unhandled(self, **options: Unpack[Options]) -> Callable[[H], H]: ...

    def unhandled(self, *handler: Any, **options: Any) -> Any:
        """Register a handler for what no other handler in the whole tree takes: ``@router.unhandled``.

        Raises:
            RouterError: the handler or an option is wrong; the message names it.
        """
        register = self._decorator((), options)
        return register(*handler) if handler else register

    def unreadable(self, handler: U, /) -> U:
        """Register a handler for what the bank signed and leadpay cannot read: ``@router.unreadable``.

        It takes one argument, an ``UnreadableWebhook``. It is for receivers without an inbox: an inbox keeps such
        a webhook itself, in the state ``unreadable``. The bank gets 200 if all of these handlers succeed, else 500, and
        sends the webhook again.

        Raises:
            RouterError: it is not a coroutine function with one parameter.
        """
        check_unreadable_handler(handler)
        self._unreadable.append(handler)
        return handler

    def lifespan(self, manager: L) -> L:
        """Keep something open while the router runs: ``@router.lifespan`` above an ``@asynccontextmanager``.

        It is entered at the start and left at the stop of the application. Handlers find what it yields in
        ``context.state``.

        Raises:
            RouterError: there is one already, or it is not a function.
        """
        if self._lifespan is not None:
            raise RouterError(f"{self.name}: has a lifespan already")
        if not callable(manager):
            raise RouterError(f"{self.name}: a lifespan must be a function that gives an async context manager")
        self._lifespan = manager
        return manager

    def include(self, other: "WebhookRouter") -> None:
        """Add another router's handlers at this place in the order; what it registers later counts too.

        Raises:
            RouterError: it is not a router, or it would be in this tree twice or within itself.
        """
        if not isinstance(other, WebhookRouter):
            raise RouterError(f"{self.name}: include() takes a WebhookRouter, not {type(other).__name__}")
        if self in other.tree():
            raise RouterError(f"{self.name}: cannot include {other.name}, which is or includes {self.name}")
        present = self.relatives()
        for added in other.tree():
            if added in present:
                raise RouterError(f"{self.name}: cannot include {other.name}: {added.name} is in this tree already")
        self._check_names(other.routes(), f"cannot include {other.name}")
        self._entries.append(other)
        other._parents.append(self)  # noqa: SLF001 - its own kind
        self._changed()

    # What it holds.

    def tree(self) -> "Iterator[WebhookRouter]":
        """This router and all that it includes."""
        yield self
        for entry in self._entries:
            if isinstance(entry, WebhookRouter):
                yield from entry.tree()

    def relatives(self) -> "set[WebhookRouter]":
        """All routers of the tree that this one is in, itself too: those that cannot be included in it again."""
        return {router for root in self._roots() for router in root.tree()}

    def routes(self) -> Iterator[Route]:
        """All routes, included ones too, in the order in which they run."""
        for entry in self._entries:
            if isinstance(entry, WebhookRouter):
                yield from entry.routes()
            else:
                yield entry

    def lifespans(self) -> "Iterator[tuple[WebhookRouter, Callable[[], AbstractAsyncContextManager[Any]]]]":
        """The lifespans of this router and of all that it includes."""
        for router in self.tree():
            if router._lifespan is not None:  # noqa: SLF001 - its own kind
                yield router, router._lifespan  # noqa: SLF001 - the same

    def unreadable_handlers(self) -> Iterator[UnreadableHandler]:
        """All handlers for unreadable webhooks, included ones too."""
        for router in self.tree():
            yield from router._unreadable  # noqa: SLF001 - its own kind

    def select(self, event: Event) -> Sequence[Route]:
        """Select the routes that run for an event: all that match or, if none does, the ``unhandled`` ones.

        If ``where`` raises, the handler counts as selected and failed, so that the error is reported.
        """
        routes, is_filtered = self._table.get(event.event) or self._select_by_type(event.event)
        if not is_filtered:
            return routes
        matched = []
        for route in routes:
            for name, values in route.filters.items():
                # The object of any other event is JSON data, which has no such attribute.
                if getattr(event.object, name, None) not in values:
                    break
            else:
                try:
                    if route.where is None or route.where(event):
                        matched.append(route)
                except Exception as error:  # noqa: BLE001 - a user's function
                    matched.append(route.failing(error))
        return matched or self._fallbacks()

    def unhandled_mandatory(self) -> tuple[str, ...]:
        """Name the events that the bank makes mandatory and no handler takes, such as ``instant_payment.posted``."""
        return tuple(
            str(event_type)
            for event_type, direction in MANDATORY
            if not any(route.handles_mandatory(event_type, direction) for route in self.routes())
        )

    def _select_by_type(self, event_type: EventType) -> _Selection:
        """Select the routes for a type. Only listed types are remembered, since anyone can make up new ones."""
        routes = tuple(route for route in self.routes() if route.takes_type(event_type))
        selection = _Selection(routes or self._fallbacks(), any(route.is_filtered for route in routes))
        if event_type.is_known:
            self._table[event_type] = selection
        return selection

    def _fallbacks(self) -> tuple[Route, ...]:
        return tuple(route for route in self.routes() if route.is_fallback)

    def _decorator(self, patterns: tuple[str, ...], filters: Mapping[str, Any]) -> Callable[[Any], Any]:
        given = {key: value for key, value in filters.items() if value is not None}
        return lambda handler: self._register(handler, patterns, given)

    def _register(self, handler: Any, patterns: tuple[str, ...], filters: Mapping[str, Any]) -> Any:
        route = make_route(handler, patterns, filters, self)
        self._check_names([route], "cannot register it")
        self._entries.append(route)
        self._changed()
        return handler

    def _check_names(self, added: Iterable[Route], problem: str) -> None:
        """Refuse two handlers of one name, whose progress an inbox could not tell apart."""
        known = {name: route.handler for root in self._roots() for route in root.routes() for name in route.names}
        for route in added:
            for name in route.names:
                if known.setdefault(name, route.handler) != route.handler:
                    raise RouterError(f"{self.name}: {problem}: two handlers are called {name}; give them names: name=")

    def _roots(self) -> "Iterator[WebhookRouter]":
        if not self._parents:
            yield self
        for parent in self._parents:
            yield from parent._roots()  # noqa: SLF001 - its own kind

    def _changed(self) -> None:
        self._table.clear()
        for parent in self._parents:
            parent._changed()  # noqa: SLF001 - its own kind
