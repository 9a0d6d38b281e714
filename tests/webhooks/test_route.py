"""What is refused when a handler is registered, and what a route knows."""

import sys
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from leadpay.errors import RouterError
from leadpay.webhooks.router import WebhookRouter
from tests.support.handlers import named


async def no_arguments() -> None:
    """Take too little."""


async def three(event: Any, context: Any, more: Any) -> None:
    """Take too much."""


async def default(event: Any, retries: int = 3) -> None:
    """Have a second parameter that is not the context."""


async def keyword(event: Any, *, needed: Any) -> None:
    """Need an argument that handlers do not get."""


def plain(event: Any) -> None:
    """Forget async."""


@pytest.mark.parametrize("handler", [no_arguments, three, default, keyword, plain, 5, None])
def test_wrong_handlers_are_refused_by_name(handler: Any) -> None:
    """A handler that cannot be called is an error at import time, naming it."""
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    for register in (WebhookRouter().posted, WebhookRouter().unhandled, WebhookRouter().on("*")):
        with pytest.raises(RouterError, match=name):
            register(handler)


class HandlerObject:
    """An object that is a handler."""

    async def __call__(self, event: Any, context: Any) -> None:
        """Handle."""


async def optional(event: Any, context: Any = None) -> None:
    """Take the context if there is one."""


async def bound(extra: int, event: Any) -> None:
    """Take something first."""


@pytest.mark.parametrize(
    ("handler", "wants"), [(HandlerObject(), True), (optional, True), (partial(bound, 1), False), (named("x"), False)]
)
def test_objects_partials_and_defaults_are_handlers(handler: Any, wants: bool) -> None:
    """Anything that can be awaited with an event, and optionally a context, is accepted."""
    router = WebhookRouter()
    router.posted(handler)
    assert [route.wants_context for route in router.routes()] == [wants]


async def async_where(event: Any) -> bool:
    """Wait, which a filter cannot."""
    return True


@pytest.mark.parametrize(
    ("filters", "reported"),
    [
        ({"direction": "inbound"}, "inbound"),
        ({"direction": 5}, "direction"),
        ({"status": []}, "status"),
        ({"status": ["posted", 5]}, "status"),
        ({"is_return": "yes"}, "is_return"),
        ({"account_id": "account_number_x"}, "account_number_x"),
        ({"account_number_id": "account_x"}, "account_x"),
        ({"amount": "5"}, "amount"),
        ({"where": "x"}, "where"),
        ({"where": async_where}, "where"),
    ],
)
def test_filters_that_can_never_match_are_refused(filters: dict[str, Any], reported: str) -> None:
    """A misspelled filter is an error that names the handler and the value."""
    with pytest.raises(RouterError, match=f"refused.*{reported}"):
        WebhookRouter().posted(**filters)(named("refused"))


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"name": 5}, "name"),
        ({"aliases": "old"}, "aliases"),
        ({"aliases": [5]}, "aliases"),
        ({"retries": 5}, "retries"),
        ({"retries": "15"}, "retries"),
        ({"retries": (1, -1)}, "retries"),
        ({"retries": (1, float("inf"))}, "retries"),
        ({"retries": (True,)}, "retries"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], reported: str) -> None:
    """On every decorator, at import time, with the handler's name."""
    router = WebhookRouter()
    for register in (router.posted(**options), router.on("ach.*", **options), router.unhandled(**options)):
        with pytest.raises(RouterError, match=f"refused.*{reported}"):
            register(named("refused"))


def test_a_handler_says_how_long_it_may_run_and_when_to_try_again() -> None:
    """On every decorator; without options the dispatcher and the worker decide."""
    router = WebhookRouter()
    router.posted(retries=(1, 2.5), timeout=3)(named("a"))
    router.on("ach.*", retries=[])(named("b"))
    router.unhandled(timeout=0.5)(named("c"))
    router.unhandled(named("d"))
    assert [(route.retries, route.timeout) for route in router.routes()] == [
        ((1, 2.5), 3),
        ((), None),
        (None, 0.5),
        (None, None),
    ]
    assert [route.filters for route in router.routes()] == [{}] * 4


@pytest.mark.parametrize("names", [(), ("",), (5,), ("ach.psted",), ("acch.*",)])
def test_names_that_are_not_listed_are_refused(names: tuple[Any, ...]) -> None:
    """A type that the bank does not list is most often misspelled."""
    with pytest.raises(RouterError, match=r"^on\("):
        WebhookRouter().on(*names)


@pytest.mark.parametrize("filters", [{"direction": "incoming"}, {"where": bool}, {"is_return": True}])
def test_a_fallback_takes_no_filters(filters: Any) -> None:
    """unhandled() takes what no other handler takes, all of it."""
    with pytest.raises(RouterError, match=r"refused: unhandled\(\) takes no filters"):
        WebhookRouter().unhandled(**filters)(named("refused"))


def test_a_handler_has_the_name_and_the_aliases_that_it_was_given() -> None:
    """On every decorator; without a name it is the module and the qualified name."""
    router = WebhookRouter()
    router.posted(name="credit", aliases=("app:credit",))(named("a"))
    router.on("ach.*", name="ach")(named("b"))
    router.unhandled(name="rest")(named("c"))
    router.unhandled(named("d"))
    assert [route.names for route in router.routes()] == [
        ("credit", "app:credit"),
        ("ach",),
        ("rest",),
        ("tests.support.handlers:d",),
    ]


@pytest.mark.parametrize(
    ("spec", "file", "module"),
    [
        ("shop.app", "shop/app.py", "shop.app"),
        (None, "app.py", "app"),
        (None, "shop/sub/app.py", "shop.sub.app"),
        (None, None, "__main__"),
    ],
)
def test_the_main_module_has_the_name_by_which_others_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str | None, file: str | None, module: str
) -> None:
    """A handler keeps its name, however Python was started: by -m, by a file, or without one."""
    (tmp_path / "shop" / "sub").mkdir(parents=True)
    for folder in ("shop", "shop/sub"):
        (tmp_path / folder / "__init__.py").touch()
    main = ModuleType("__main__")
    main.__spec__ = None if spec is None else ModuleSpec(spec, None)
    if file is not None:
        main.__file__ = str(tmp_path / file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    handler = named("credit")
    handler.__module__ = "__main__"
    router = WebhookRouter()
    router.posted(handler)
    assert [route.name for route in router.routes()] == [f"{module}:credit"]


def test_a_decorator_in_a_class_body_is_refused() -> None:
    """The event would become self; a bound method is fine."""
    router = WebhookRouter()

    class Handlers:
        async def credit(self, event: Any) -> None:
            """Credit."""

    with pytest.raises(RouterError, match="credit: is a method without its object; register the bound method"):
        router.posted(Handlers.credit)  # type: ignore[type-var]
    router.posted(Handlers().credit)

    async def local(self: Any, context: Any) -> None: ...

    router.posted(local)
