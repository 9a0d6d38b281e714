"""One handler and the events that it takes, as a frozen record. Pure."""

import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, TypeVar

import attrs

from leadpay.enums import (
    CounterpartyStatus,
    CounterpartyStatusLiteral,
    Direction,
    DirectionLiteral,
    EventType,
    OpenEnum,
    Status,
    StatusLiteral,
)
from leadpay.errors import RouterError
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.event import UnreadableWebhook

if TYPE_CHECKING:
    from leadpay.webhooks.context import Context

T = TypeVar("T")

EventHandler: TypeAlias = Callable[[Event], Awaitable[Any]] | Callable[[Event, "Context[Any, Any]"], Awaitable[Any]]
"""A coroutine function that takes any event, and optionally the context."""

PaymentHandler: TypeAlias = (
    Callable[[InstantPaymentEvent], Awaitable[Any]]
    | Callable[[InstantPaymentEvent, "Context[Any, Any]"], Awaitable[Any]]
)
"""A coroutine function that takes an event about an instant payment, and optionally the context."""

UnreadableHandler: TypeAlias = Callable[[UnreadableWebhook], Awaitable[Any]]
"""A coroutine function that takes a webhook which cannot be read as an event."""

OneOrMore: TypeAlias = T | Collection[T] | None
"""One value, or a collection of values of which any matches; None for no filter."""


class Options(TypedDict, total=False):
    """What an inbox knows a handler by, and how it runs: what every decorator takes."""

    name: str | None
    """The name under which an inbox remembers what this handler has done; ``module:qualified name`` if left out."""
    aliases: Collection[str] | None
    """Its earlier names: what was done under them is not done again."""
    retries: Sequence[float] | None
    """With an inbox: how long to wait before each further attempt, in seconds: ``(1, 5, 60)`` makes four attempts."""
    timeout: float | None
    """How long one attempt may run, in seconds."""


class Filters(Options, total=False):
    """Which payments a handler takes."""

    direction: OneOrMore[Direction | DirectionLiteral]
    status: OneOrMore[Status | StatusLiteral]
    counterparty_status: OneOrMore[CounterpartyStatus | CounterpartyStatusLiteral]
    is_return: bool | None
    account_id: OneOrMore[str]
    account_number_id: OneOrMore[str]


class PaymentFilters(Filters, total=False):
    """What a decorator for events about instant payments takes."""

    where: Callable[[InstantPaymentEvent], bool] | None
    """A function of your own: it takes the event, returns a bool, and does not wait."""


class EventFilters(Filters, total=False):
    """What ``on`` takes."""

    where: Callable[[Event], bool] | None
    """A function of your own: it takes the event, returns a bool, and does not wait."""
    mandatory: bool
    """For patterns with ``*``: whether the handler does what the bank demands for its mandatory events."""


ENUM_FILTERS: Final[Mapping[str, type[OpenEnum]]] = {
    "direction": Direction,
    "status": Status,
    "counterparty_status": CounterpartyStatus,
}
"""Filters that take the bank's enum values."""

ID_FILTERS: Final[Mapping[str, re.Pattern[str]]] = {
    "account_id": re.compile(r"account_(?!number_)\w+", re.ASCII),
    "account_number_id": re.compile(r"account_number_\w+", re.ASCII),
}
"""Filters that take IDs. An account's ID in place of an account number's is refused, since it would never match."""


@attrs.frozen(kw_only=True, eq=False)
class Route:
    """One handler, the types of event that it takes, and its filters."""

    handler: Callable[..., Awaitable[Any]]
    name: str
    """The name that was given, or ``module:qualified name``; an inbox keeps a handler's progress under it."""
    patterns: tuple[str, ...]
    """Types in the bank's current spelling, or patterns with ``*``; empty for an ``unhandled`` handler."""
    filters: Mapping[str, Collection[Any]]
    """Attributes of the payment, with the values that are taken."""
    where: Callable[[Any], bool] | None
    wants_context: bool
    router: Any
    """The router on which it was registered."""
    retries: tuple[float, ...] | None = None
    """With an inbox: how long to wait before each further attempt, in seconds; None for the worker's own schedule."""
    timeout: float | None = None
    """How long one attempt may run, in seconds; None for the dispatcher's own limit."""
    aliases: tuple[str, ...] = ()
    """Earlier names of the handler."""
    is_mandatory: bool = False
    """Whether a pattern with ``*`` counts as handling the events that the bank makes mandatory."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)

    @property
    def is_filtered(self) -> bool:
        """Whether it takes only some of the events of its types."""
        return bool(self.filters) or self.where is not None

    @property
    def is_fallback(self) -> bool:
        """Whether it takes only what no other handler takes."""
        return not self.patterns

    def takes_type(self, event_type: str) -> bool:
        """Whether it takes events of a type, filters aside."""
        return any(event_type == pattern or fnmatchcase(event_type, pattern) for pattern in self.patterns)

    def handles_mandatory(self, event_type: str, direction: str) -> bool:
        """Whether it handles a mandatory event, and does not only take everything, as an audit log does."""
        named = event_type in self.patterns or (self.is_mandatory and self.takes_type(event_type))
        return (
            named
            and direction in self.filters.get("direction", (direction,))
            and False in self.filters.get("is_return", (False,))
        )

    def failing(self, error: Exception) -> "Route":
        """Make the same route with a handler that raises the error that ``where`` raised."""

        async def handler(_: Event) -> None:
            raise error

        return attrs.evolve(self, handler=handler, wants_context=False)

    def describe_filters(self) -> str:
        """Write the filters as they were given, for a table."""
        texts = [f"{name}={'|'.join(sorted(str(value) for value in values))}" for name, values in self.filters.items()]
        return ", ".join([*texts, *(["where=" + _name(self.where)] if self.where else [])])


def make_route(
    handler: Callable[..., Awaitable[Any]], patterns: tuple[str, ...], filters: Mapping[str, Any], router: Any
) -> Route:
    """Check a handler and its filters, and make the record.

    Raises:
        RouterError: the handler is not a coroutine function of one or two positional arguments, or a filter is
            unknown or has a value that can never match; the message names the handler.
    """
    name = filters.get("name") or _name(handler)
    if not isinstance(name, str):
        raise RouterError(f"{_name(handler)}: name= must be a string")
    _check_no_method(handler, name)
    wants_context = _wants_context(handler, name)
    where: Any = filters.get("where")
    _check_where(where, name)
    values = {key: _values(key, value, name) for key, value in filters.items() if key not in _OPTIONS}
    if not patterns and (values or where):
        raise RouterError(f"{name}: unhandled() takes no filters")
    return Route(
        handler=handler,
        name=name,
        patterns=patterns,
        filters=values,
        where=where,
        wants_context=wants_context,
        router=router,
        retries=_retries(filters.get("retries"), name),
        timeout=_timeout(filters.get("timeout"), name),
        aliases=_aliases(filters.get("aliases", ()), name),
        is_mandatory=bool(filters.get("mandatory")),
    )


_OPTIONS: Final = frozenset({"where", "retries", "timeout", "name", "aliases", "mandatory"})


def make_pattern(event_type: str, *, unlisted: bool = False) -> str:
    """Check the name of an event type, in any of the bank's spellings, or a pattern with ``*``.

    Raises:
        RouterError: the name is not on the bank's list: most often it is misspelled.
    """
    if not isinstance(event_type, str) or not event_type:
        raise RouterError(f"on(): an event type must be a string such as 'ach.*', not {event_type!r}")
    if event_type.startswith("."):
        event_type = f"instant_payment{event_type}"  # as the bank's guides write it
    current = EventType(event_type)
    if "*" in event_type:
        if not unlisted and not any(fnmatchcase(known, event_type) for known in EventType):
            raise RouterError(
                f"on({event_type!r}): matches no type on the bank's list; if it is new, say unlisted=True"
            )
    elif not (current.is_known or unlisted):
        raise RouterError(f"on({event_type!r}): not on the bank's list of types; if it is new, say unlisted=True")
    return str(current)


def _name(handler: Any) -> str:
    while isinstance(handler, partial):
        handler = handler.func
    if not hasattr(handler, "__qualname__"):
        handler = type(handler)
    module = handler.__module__
    return f"{_main_module() if module == '__main__' else module}:{handler.__qualname__}"


def _main_module() -> str:
    """Find the name by which another program imports the module that Python was started with.

    Else ``python app.py`` and ``leadpay serve app:router`` would give one handler two names.
    """
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return main.__spec__.name
    if getattr(main, "__file__", None) is None:
        return "__main__"
    path = Path(str(main.__file__)).resolve()
    names = [path.stem]
    while (path := path.parent).joinpath("__init__.py").exists():
        names.insert(0, path.name)
    return ".".join(names)


def _check_no_method(handler: Any, name: str) -> None:
    """Refuse a decorator in a class body: the event would become ``self``."""
    if inspect.isfunction(handler) and next(iter(inspect.signature(handler).parameters), "") in ("self", "cls"):
        parent = handler.__qualname__.rpartition(".")[0]
        if parent and not parent.endswith("<locals>"):
            raise RouterError(
                f"{name}: is a method without its object; register the bound method, as in router.posted(obj.method)"
            )


def _wants_context(handler: Any, name: str) -> bool:
    if not callable(handler):
        raise RouterError(f"{name}: a handler must be a coroutine function (async def)")
    if not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)):
        raise RouterError(f"{name}: a handler must be a coroutine function: write 'async def'")
    signature = inspect.signature(handler)
    for arguments in (2, 1):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments == _CONTEXT_TOO and _second_is_context(signature, name)
    raise RouterError(f"{name}{signature}: a handler takes (event) or (event, context), by position")


_CONTEXT_TOO: Final = 2


def _second_is_context(signature: inspect.Signature, name: str) -> bool:
    """Refuse ``async def handler(event, retries=3)``, whose ``retries`` would silently become the context."""
    second = [*signature.parameters.values()][1:2]
    if second and second[0].default is not inspect.Parameter.empty and second[0].name != "context":
        raise RouterError(f"{name}: the second parameter gets the context, so it needs no default, or that name")
    return True


def check_unreadable_handler(handler: Any) -> None:
    """Check a handler of ``@router.unreadable``.

    Raises:
        RouterError: it is not a coroutine function with one parameter.
    """
    name = _name(handler)
    _check_no_method(handler, name)
    if _wants_context(handler, name):
        raise RouterError(f"{name}: a handler of unreadable webhooks takes (webhook) and no context")


def _check_where(where: Any, name: str) -> None:
    if where is not None and (not callable(where) or inspect.iscoroutinefunction(where)):
        raise RouterError(f"{name}: where= must be a plain function of the event")


def _retries(value: Any, name: str) -> tuple[float, ...] | None:
    if value is not None and (
        isinstance(value, str) or not isinstance(value, Sequence) or not all(_is_seconds(one) for one in value)
    ):
        raise RouterError(f"{name}: retries= must be the seconds to wait before each further attempt, as in (1, 5, 60)")
    return None if value is None else tuple(value)


def _aliases(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise RouterError(f"{name}: aliases= must be the handler's earlier names, as in ('app:credit',)")
    return tuple(value)


def _timeout(value: Any, name: str) -> float | None:
    if value is not None and not (_is_seconds(value) and value > 0):
        raise RouterError(f"{name}: timeout= must be a positive number of seconds")
    seconds: float | None = value
    return seconds


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0


def _values(key: str, value: Any, name: str) -> Collection[Any]:
    if key == "is_return":
        if not isinstance(value, bool):
            raise RouterError(f"{name}: is_return= must be True or False")
        return (value,)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Collection) or not values or not all(isinstance(one, str) for one in values):
        raise RouterError(f"{name}: {key}= must be a string or several")
    if key in ENUM_FILTERS:
        for one in values:
            if not ENUM_FILTERS[key](one).is_known:
                raise RouterError(f"{name}: {key}={one!r} is none of {', '.join(ENUM_FILTERS[key])}")
    elif key in ID_FILTERS:
        for one in values:
            if not ID_FILTERS[key].fullmatch(one):
                raise RouterError(f"{name}: {key}={one!r} is not such an ID")
    else:
        raise RouterError(f"{name}: there is no filter {key!r}")
    return frozenset(str(one) for one in values)
