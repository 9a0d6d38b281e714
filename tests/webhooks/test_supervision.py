"""Handlers that block the event loop, and handlers that do not obey their cancellation."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from leadpay.instrumentation import HandlerBlocked
from leadpay.models import Event
from leadpay.webhooks.context import Context
from leadpay.webhooks.dispatcher import Dispatcher, HandlerResult
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.supervision import BLOCKING_SECONDS, CANCEL_SECONDS, _abandoned
from tests.support.virtual_time import VirtualLoop


async def run(event: Event, handler: Callable[[Any], Awaitable[Any]], **options: Any) -> HandlerResult:
    """Run one handler by a dispatcher."""
    router = WebhookRouter()
    router.on("*", name="app:handler")(handler)
    (route,) = router.routes()
    context: Any = Context(event=event, received_at=event.created_at)
    return await Dispatcher(router, **options).run(route, event, context)


def test_a_handler_that_swallows_its_cancellation_is_abandoned(
    make_event: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Its time limit counts, and some seconds for its end; it is named, and not resumed again."""
    steps: list[str] = []

    async def stubborn(event: Event) -> None:
        while True:
            try:
                await asyncio.sleep(3_600)
            except BaseException as error:
                steps.append(type(error).__name__)
                if len(steps) > 2:
                    raise

    with VirtualLoop.running() as loop:
        result = loop.run_until_complete(run(make_event(), stubborn, timeout=10.0))
        assert (result.status, type(result.error)) == ("failed", TimeoutError)
        assert loop.time() == 10.0 + CANCEL_SECONDS
    assert steps == ["CancelledError", "GeneratorExit"]
    _abandoned.pop()
    assert "app:handler went on after it was cancelled, and was abandoned" in caplog.text


def test_the_end_of_a_worker_is_not_held_up_either(make_event: Callable[..., Any]) -> None:
    """The task that runs a stubborn handler is cancelled, and ends as cancelled."""

    async def stubborn(event: Event) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3_600)

    async def stop() -> None:
        task = asyncio.create_task(run(make_event(), stubborn))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with VirtualLoop.running() as loop:
        loop.run_until_complete(stop())
        assert loop.time() == 1.0 + CANCEL_SECONDS


def test_a_handler_may_take_a_moment_to_end(make_event: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """It closes what it has opened, and then it is a timeout as any other."""
    steps: list[str] = []

    async def tidy(event: Event) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(CANCEL_SECONDS - 1)
            steps.append("closed")

    with VirtualLoop.running() as loop:
        result = loop.run_until_complete(run(make_event(), tidy, timeout=10.0))
        assert (result.status, type(result.error)) == ("failed", TimeoutError)
    assert steps == ["closed"]
    assert "abandoned" not in caplog.text


def test_timeouts_within_a_handler_are_its_own_affair(make_event: Callable[..., Any]) -> None:
    """They cancel the task, and take it back: the handler goes on for as long as it likes."""
    steps: list[int] = []

    async def patient(event: Event) -> None:
        for number in range(3):
            try:
                async with asyncio.timeout(4):
                    await asyncio.sleep(3_600)
            except TimeoutError:
                steps.append(number)
        await asyncio.sleep(100)

    with VirtualLoop.running() as loop:
        result = loop.run_until_complete(run(make_event(), patient))
        assert (result.status, loop.time()) == ("succeeded", 112.0)
    assert steps == [0, 1, 2]


def test_a_handler_that_blocks_the_event_loop_is_named(
    make_event: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """With the seconds, in a log line and an observation; short blocks are not worth a word."""
    seen: list[Any] = []
    event = make_event()

    durations: list[float] = []

    async def blocks(_: Event) -> None:
        await asyncio.sleep(1)
        loop.block(durations[-1])
        await asyncio.sleep(1)

    with VirtualLoop.running() as loop:
        for seconds, observer in ((BLOCKING_SECONDS / 2, None), (2.0, None), (3.0, seen.append)):
            durations.append(seconds)
            result = loop.run_until_complete(run(event, blocks, observer=observer))
            assert result.status == "succeeded"
    assert caplog.text.count("blocked the event loop") == 2
    assert "app:handler blocked the event loop for 3.0 seconds" in caplog.text
    (blocked,) = [one for one in seen if isinstance(one, HandlerBlocked)]
    assert blocked == HandlerBlocked("app:handler", event.id, str(event.type), event.payment_id, 3.0)
