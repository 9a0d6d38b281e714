"""Running an event's handlers: isolation, cancellation, lifespans, and the advice to paste."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.errors import RouterError
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.dispatcher import Dispatcher, Outcome, paste_ready, traceback_without_messages
from leadpay.webhooks.router import WebhookRouter

MakeEvent = Callable[..., Any]


def context_of(event: Event, **kwargs: Any) -> Context[Any, Any]:
    """Make a context as a receiver would."""
    return Context(event=event, received_at=datetime(2024, 3, 1, tzinfo=UTC), **kwargs)


async def dispatched(router: WebhookRouter, event: Event, **kwargs: Any) -> Outcome:
    """Run the handlers for an event."""
    return await Dispatcher(router, **kwargs).dispatch(event, context_of(event))


@pytest.mark.asyncio
async def test_one_handler_s_failure_does_not_affect_the_others(
    make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    """Every handler runs and has its own result; the log has the place but not the message."""
    router = WebhookRouter()

    @router.posted
    async def fails(event: InstantPaymentEvent) -> None:
        raise ValueError("Gertrude" + event.payment.debtor.name)

    @router.posted
    async def works(event: InstantPaymentEvent, context: Context) -> None:
        assert context.event is event

    @router.posted
    async def defers(event: InstantPaymentEvent) -> None:
        raise Defer(5)

    @router.posted
    async def discards(event: InstantPaymentEvent) -> None:
        raise Discard("not ours")

    outcome = await dispatched(router, make_event())
    assert [result.status for result in outcome.results] == ["failed", "succeeded", "deferred", "discarded"]
    assert [type(result.error) for result in outcome.results] == [ValueError, type(None), Defer, Discard]
    assert not outcome.succeeded
    assert Outcome(outcome.results[1:2] + outcome.results[3:]).succeeded
    assert "builtins.ValueError" in caplog.text
    assert "GertrudeGertrude" not in caplog.text
    assert "Gertrude Bell" not in caplog.text


@pytest.mark.asyncio
async def test_a_handler_s_own_limit_comes_before_the_dispatcher_s(make_event: MakeEvent) -> None:
    """Longer or shorter, and without any other."""
    router = WebhookRouter()

    @router.posted(timeout=0.01)
    async def short(event: InstantPaymentEvent) -> None:
        await asyncio.Event().wait()

    for limit in (60, None):
        (result,) = (await dispatched(router, make_event(), timeout=limit)).results
        assert (result.status, type(result.error)) == ("failed", TimeoutError)


@pytest.mark.asyncio
async def test_a_cancelled_inner_task_is_a_failure(make_event: MakeEvent) -> None:
    """Something that the handler awaited was cancelled: the handler failed, and we go on."""
    router = WebhookRouter()

    @router.posted
    async def waits(event: InstantPaymentEvent) -> None:
        inner = asyncio.create_task(asyncio.Event().wait())
        inner.cancel()
        await inner

    (result,) = (await dispatched(router, make_event())).results
    assert result.status == "failed"
    assert isinstance(result.error, asyncio.CancelledError)


@pytest.mark.asyncio
async def test_our_own_cancellation_passes_through(make_event: MakeEvent) -> None:
    """If our own task is cancelled, there is no result."""
    router = WebhookRouter()

    @router.posted
    async def waits(event: InstantPaymentEvent) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(dispatched(router, make_event()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_handler_that_is_left_behind_is_closed_after_its_loop(make_event: MakeEvent) -> None:
    """Where a loop ends in the middle of a handler, closing what is left of it makes no noise."""
    router, closed = WebhookRouter(), []

    @router.posted
    async def waits(event: InstantPaymentEvent) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(event)

    async def begun(handling: Coroutine[Any, Any, Outcome]) -> None:
        handling.send(None)

    event = make_event()
    handling = Dispatcher(router).dispatch(event, context_of(event))
    asyncio.run(begun(handling))
    handling.close()
    assert closed == [event]


@pytest.mark.asyncio
async def test_a_handler_that_takes_too_long_fails(make_event: MakeEvent) -> None:
    """With a timeout a handler is cut off; one that is in time is not."""
    router = WebhookRouter()

    @router.posted
    async def waits(event: InstantPaymentEvent) -> None:
        await asyncio.Event().wait()

    @router.posted
    async def quick(event: InstantPaymentEvent) -> None: ...

    slow, fast = (await dispatched(router, make_event(), timeout=0.01)).results
    assert (slow.status, type(slow.error), fast.status) == ("failed", TimeoutError, "succeeded")


@pytest.mark.asyncio
async def test_lifespans_are_entered_in_order_and_give_handlers_their_state(make_event: MakeEvent) -> None:
    """Each handler finds what its own router's lifespan gave, or None; the last to enter is the first to leave."""
    steps: list[str] = []
    states: list[Any] = []

    def router_of(name: str, lives: bool) -> WebhookRouter:
        router = WebhookRouter(name)

        @router.posted(name=name)
        async def handler(event: InstantPaymentEvent, context: Context) -> None:
            states.append(context.state)

        if lives:

            @router.lifespan
            @asynccontextmanager
            async def life() -> AsyncIterator[str]:
                steps.append(f"enter {name}")
                yield name
                steps.append(f"leave {name}")

        return router

    root = router_of("root", True)
    root.include(router_of("first", True))
    root.include(router_of("second", False))
    event = make_event()
    async with Dispatcher(root) as dispatcher:
        await dispatcher.dispatch(event, context_of(event))
    assert states == ["root", "first", None]
    assert steps == ["enter root", "enter first", "leave first", "leave root"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("instant_payment.posted", {}),
        ("instant_payment.posted", {"direction": "sideways"}),
        ("instant_payment.counterparty_status_update", {}),
        ("instant_payment.return_request_status_updated", {"direction": "outgoing"}),
        ("instant_payment.brand-new²", {}),
        ("wire.return_request.received", {}),
        ("brand.new", {}),
    ],
)
@pytest.mark.asyncio
async def test_the_advice_for_an_unhandled_event_is_ready_to_paste(
    make_event: MakeEvent, caplog: pytest.LogCaptureFixture, name: str, changes: dict[str, str]
) -> None:
    """The text that is logged, once per type, compiles, registers, and takes the event."""
    router = WebhookRouter()
    event = make_event(name, **changes)
    dispatcher = Dispatcher(router)
    for _ in range(2):
        assert (await dispatcher.dispatch(event, context_of(event))) == Outcome(())
    (record,) = caplog.records
    text = record.getMessage().partition("\n\n")[2]
    assert text == paste_ready(event)
    exec(text, {"router": router, "Event": Event, "InstantPaymentEvent": InstantPaymentEvent})  # noqa: S102 - our own
    assert len(dispatcher.select(event)) == 1
    assert "Gertrude" not in caplog.text


def test_only_a_router_is_dispatched() -> None:
    """Any other object is refused, with its type."""
    with pytest.raises(RouterError, match="a WebhookRouter is needed, not str"):
        Dispatcher("app:router")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("errors", "status", "kind"),
    [
        ([Defer(1), Defer(9), Discard("no")], "deferred", Defer),
        ([Discard("no"), ExceptionGroup("inner", [Discard("neither")])], "discarded", Discard),
        ([Defer(1), ValueError()], "failed", ExceptionGroup),
        ([ValueError()], "failed", ExceptionGroup),
    ],
)
@pytest.mark.asyncio
async def test_instructions_in_a_group_are_followed(
    make_event: MakeEvent, errors: list[Exception], status: str, kind: type[Exception]
) -> None:
    """A task group wraps what its tasks raise; any error among them makes it a failure."""
    router = WebhookRouter()

    @router.posted
    async def grouped(event: InstantPaymentEvent) -> None:
        raise ExceptionGroup("tasks", errors)

    (result,) = (await dispatched(router, make_event())).results
    assert (result.status, type(result.error)) == (status, kind)
    assert not isinstance(result.error, Defer) or result.error.seconds == 9


def test_a_traceback_has_causes_and_groups_and_no_messages() -> None:
    """Types and places of all that was raised; a suppressed context and a circle are left out."""
    inner = LookupError("Gertrude")
    error = RuntimeError("Gertrude")
    error.__cause__ = ExceptionGroup("Gertrude", [inner, inner, ExceptionGroup("Gertrude", [OSError("Gertrude")])])
    inner.__context__ = error
    assert traceback_without_messages(error) == (
        "builtins.ExceptionGroup\n"
        "error 1 of the group:\nbuiltins.LookupError\n"
        "error 3 of the group:\nbuiltins.ExceptionGroup\n"
        "error 1 of the group:\nbuiltins.OSError\n"
        "which led to:\nbuiltins.RuntimeError"
    )
    error.__cause__, error.__context__ = None, ValueError("Gertrude")
    assert traceback_without_messages(error) == "builtins.RuntimeError"
    error.__suppress_context__ = False
    assert traceback_without_messages(error) == "builtins.ValueError\nwhich led to:\nbuiltins.RuntimeError"


def test_a_traceback_quotes_no_source_line() -> None:
    """A line of source may hold data, as a call with literal arguments does."""
    accounts: dict[str, int] = {}
    try:
        accounts["Gertrude Bell"]
    except LookupError as error:
        text = traceback_without_messages(error)
    assert text.startswith(f'  File "{__file__}", line ')
    assert text.endswith("in test_a_traceback_quotes_no_source_line\nbuiltins.KeyError")
    assert "Gertrude" not in text
