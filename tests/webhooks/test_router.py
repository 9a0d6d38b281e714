"""Which handlers run for which event."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import RouterError
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.event import UnreadableWebhook, parse
from leadpay.webhooks.router import WebhookRouter
from tests.support.handlers import named

PAYMENTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "payments.json").read_text())


def event(name: str, payload: str = "incoming, asked back", **changes: Any) -> Any:
    """Make an event as the bank would send it."""
    data = {**PAYMENTS[payload], **changes}
    return parse(
        json.dumps({"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": name, "object": data}).encode()
    )


def chosen(router: WebhookRouter, *args: Any, **kwargs: Any) -> list[str]:
    """Name the handlers that run for an event."""
    return [route.name.partition(":")[2] for route in router.select(event(*args, **kwargs))]


DECORATORS = {
    "under_review": "instant_payment.under_review",
    "posted": "instant_payment.posted",
    "rejected": "instant_payment.rejected",
    "counterparty_status_updated": "instant_payment.counterparty_status_updated",
    "return_request_response_needed": "instant_payment.return_request_response_needed",
    "return_request_status_updated": "instant_payment.return_request_status_updated",
}


@pytest.mark.parametrize("decorator", DECORATORS)
def test_each_decorator_takes_its_own_type(decorator: str) -> None:
    """With and without parentheses, and for both spellings on the wire, and the handler comes back unchanged."""
    router = WebhookRouter()
    handler = named("a")
    assert getattr(router, decorator)(handler) is handler
    assert getattr(router, decorator)()(handler) is handler
    for other, name in DECORATORS.items():
        for spelling in {name, name.replace("updated", "update")}:
            assert chosen(router, spelling) == (["a", "a"] if other == decorator else [])


def test_all_that_match_run_in_the_order_of_registration() -> None:
    """Included routers stand where they were included, also with what they register later."""
    root, child = WebhookRouter("root"), WebhookRouter("child")
    root.posted(named("1"))
    root.include(child)
    root.on("*")(named("4"))
    assert chosen(root, "instant_payment.posted") == ["1", "4"]
    child.on("instant_payment.*", "instant_payment.posted")(named("2"))
    child.posted(named("3"))
    assert chosen(root, "instant_payment.posted") == ["1", "2", "3", "4"]
    assert chosen(root, "ach.posted") == ["4"]
    assert repr(root) == "WebhookRouter('root', routes=4)"
    assert WebhookRouter().name == __name__


def test_unhandled_takes_what_no_other_handler_takes() -> None:
    """Fallbacks run only if no filter of any other handler lets the event through."""
    router = WebhookRouter()
    router.unhandled(named("rest"))
    router.posted(direction="outgoing")(named("out"))
    assert chosen(router, "instant_payment.posted") == ["rest"]
    assert chosen(router, "instant_payment.posted", direction="outgoing") == ["out"]
    assert chosen(router, "brand.new") == chosen(router, "brand.new") == ["rest"]


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ({"direction": "incoming"}, True),
        ({"direction": "outgoing"}, False),
        ({"direction": None}, True),
        ({"status": ["created", "posted"]}, True),
        ({"status": "rejected"}, False),
        ({"counterparty_status": "posted"}, False),
        ({"is_return": False}, True),
        ({"is_return": True}, False),
        ({"account_id": "account_main"}, True),
        ({"account_number_id": {"account_number_main", "account_number_x"}}, True),
        ({"account_number_id": "account_number_x"}, False),
        ({"where": lambda event: event.payment.amount > 5}, True),
        ({"where": lambda event: event.payment.amount < 5}, False),
        ({"direction": "outgoing", "where": lambda event: 1 / 0}, False),
    ],
)
def test_filters_look_at_the_payment(filters: dict[str, Any], matches: bool) -> None:
    """A handler runs if every filter lets the event through."""
    router = WebhookRouter()
    router.posted(**filters)(named("a"))
    assert chosen(router, "instant_payment.posted") == ["a"] * matches


def test_a_filter_on_the_payment_excludes_other_events() -> None:
    """An event without a payment matches no filter that looks at one."""
    router = WebhookRouter()
    router.on("*", direction="incoming")(named("a"))
    assert chosen(router, "ach.posted") == []
    assert [route.describe_filters() for route in router.routes()] == ["direction=incoming"]


def is_large(event: Any) -> bool:
    """Fail."""
    return bool(event.payment.amount / 0)


@pytest.mark.asyncio
async def test_a_where_that_raises_is_a_match_that_fails() -> None:
    """An error in a filter is reported as the handler's failure."""
    router = WebhookRouter()
    router.posted(where=is_large)(named("a"))
    received = event("instant_payment.posted")
    (route,) = router.select(received)
    with pytest.raises(ZeroDivisionError):
        await route.handler(received)
    assert next(router.routes()).describe_filters() == f"where={__name__}:is_large"


def test_unlisted_names_are_taken_when_that_is_said() -> None:
    """A brand new type can be handled, plainly and by pattern."""
    router = WebhookRouter()
    router.on("brand.new", "newer.*", unlisted=True)(named("a"))
    assert chosen(router, "brand.new") == chosen(router, "newer.still") == ["a"]


def test_cycles_double_inclusion_and_diamonds_are_refused_by_name() -> None:
    """A router can stand in a tree once; the message names both sides."""
    root, left, right, leaf = (WebhookRouter(name) for name in ("root", "left", "right", "leaf"))
    root.include(left)
    root.include(right)
    left.include(leaf)
    for parent, child, words in (
        (root, root, "root.*root"),
        (leaf, root, "leaf.*root"),
        (root, left, "root.*left"),
        (right, leaf, "right.*leaf"),
        (root, leaf, "root.*leaf"),
    ):
        with pytest.raises(RouterError, match=words):
            parent.include(child)
    with pytest.raises(RouterError, match=r"root: include.. takes a WebhookRouter, not str"):
        root.include("leaf")  # type: ignore[arg-type]
    WebhookRouter("another").include(leaf)


@asynccontextmanager
async def empty() -> AsyncIterator[None]:
    """Keep nothing open."""
    yield


def test_a_router_has_one_lifespan() -> None:
    """A second lifespan, or one that cannot be called, is refused, naming the router."""
    router = WebhookRouter("mine")
    with pytest.raises(RouterError, match="mine: a lifespan must be a function"):
        router.lifespan(5)  # type: ignore[type-var]
    assert router.lifespan(empty) is empty
    with pytest.raises(RouterError, match="mine: has a lifespan already"):
        router.lifespan(empty)
    assert list(router.lifespans()) == [(router, empty)]


def test_a_handler_of_unreadable_webhooks_takes_one_argument() -> None:
    """It gets no event and no context; anything else is refused at import."""
    router = WebhookRouter("mine")

    @router.unreadable
    async def keep(webhook: UnreadableWebhook) -> None: ...

    assert list(router.unreadable_handlers()) == [keep]
    with pytest.raises(RouterError, match="no context"):

        @router.unreadable  # type: ignore[type-var]
        async def two(webhook: UnreadableWebhook, context: object) -> None: ...

    with pytest.raises(RouterError, match="async def"):
        router.unreadable(lambda webhook: None)  # type: ignore[type-var]


def test_mandatory_events_without_a_handler_are_named() -> None:
    """A fallback does not count as a handler of them."""
    router = WebhookRouter()
    router.unhandled(named("rest"))
    router.posted(direction="outgoing")(named("out"))
    router.posted(is_return=True)(named("back"))
    both = ("instant_payment.posted", "instant_payment.return_request_response_needed")
    assert router.unhandled_mandatory() == both
    router.posted(direction=["incoming"])(named("in"))
    assert router.unhandled_mandatory() == both[1:]
    router.on("*")(named("log"))
    router.on("*.return_request_response_needed")(named("asked"))
    assert router.unhandled_mandatory() == both[1:]
    router.on("*", mandatory=True)(named("all"))
    assert router.unhandled_mandatory() == ()


def test_decorators_and_names_take_the_guides_spelling_too() -> None:
    """The bank's guides leave the object out, and write "update" for "updated"."""
    router = WebhookRouter()
    router.counterparty_status_update(named("a"))
    router.return_request_status_update(named("b"))
    router.on(".posted")(named("c"))
    router.on(".return_request_*")(named("d"))
    assert chosen(router, "instant_payment.counterparty_status_updated") == ["a"]
    assert chosen(router, "instant_payment.return_request_status_updated") == ["b", "d"]
    assert chosen(router, "instant_payment.posted") == ["c"]


def test_two_handlers_of_one_name_are_refused() -> None:
    """An inbox could not tell their progress apart: at registration, and at inclusion; aliases count too."""
    root, other = WebhookRouter("root"), WebhookRouter("other")
    handler = named("a")
    root.posted(handler)
    root.rejected(handler)
    with pytest.raises(RouterError, match=r"root: cannot register it: two handlers are called \S+:a; give them names"):
        root.posted(named("a"))
    root.posted(name="second", aliases=["first"])(named("a"))
    other.posted(name="first")(named("b"))
    with pytest.raises(RouterError, match="root: cannot include other: two handlers are called first"):
        root.include(other)
    assert [route.name.rpartition(":")[2] for route in root.routes()] == ["a", "a", "second"]


@pytest.mark.parametrize("before", [timedelta(seconds=-1), timedelta(microseconds=1), 3600])
def test_a_reminder_has_a_time_of_whole_seconds(before: Any) -> None:
    """Several handlers may have several times."""
    router = WebhookRouter("reminded")

    async def remind(event: InstantPaymentEvent) -> None: ...

    router.return_request_due(before=timedelta(days=2))(remind)
    router.return_request_due(before=timedelta())(remind)
    patterns = [pattern for route in router.routes() for pattern in route.patterns]
    assert patterns == ["instant_payment.return_request_due.172800", "instant_payment.return_request_due.0"]
    with pytest.raises(RouterError, match="timedelta of whole seconds"):
        router.return_request_due(before=before)
