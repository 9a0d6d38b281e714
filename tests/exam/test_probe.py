"""Handlers that are run step by step."""

import asyncio
from typing import Any

import pytest

from leadpay.exam.probe import ExamDispatcher, InjectedError, Run, Steps
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter
from tests.support.inbox import RECEIVED, event_of


async def step_through(work: Any, *, fail_at: int = 0) -> tuple[Any, Run]:
    """Await a coroutine step by step."""
    run = Run("h", "event_1", "instant_payment.posted")
    return await Steps(work, run, iter(range(99)).__next__, fail_at, InjectedError()), run


@pytest.mark.asyncio
async def test_steps_are_counted_and_measured() -> None:
    """The result and what was awaited are as without it."""

    async def work() -> list[Any]:
        await asyncio.sleep(0)
        return [await asyncio.to_thread(lambda: 7), await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))]

    result, run = await step_through(work())
    assert result == [7, [1, 2]]
    assert (run.steps, run.longest, run.injected) == (3, 1, False)


@pytest.mark.asyncio
async def test_a_wait_fails_after_what_it_waited_for() -> None:
    """The effect has happened, and the response is lost."""
    done: list[int] = []

    async def work() -> str:
        try:
            await asyncio.to_thread(lambda: done.append(1))
        except InjectedError:
            return "caught"
        return "not reached"

    result, run = await step_through(work(), fail_at=1)
    assert (result, done, run.injected) == ("caught", [1], True)


@pytest.mark.asyncio
async def test_an_error_and_a_cancellation_reach_the_coroutine() -> None:
    """Raised by what it awaits, or thrown in from outside."""

    async def fails() -> None:
        raise ValueError

    async def work() -> None:
        await asyncio.gather(fails())

    with pytest.raises(ValueError):
        await step_through(work())
    task = asyncio.create_task(step_through(asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.asyncio
async def test_the_dispatcher_records_each_run() -> None:
    """With the tasks that were left behind, which it cancels; a failure is injected into the run it is meant for."""
    router, tasks = WebhookRouter("probed"), set[asyncio.Task[None]]()

    @router.on("account_number.created")
    async def handle(event: Any) -> None:
        tasks.add(asyncio.create_task(asyncio.sleep(60)))
        await asyncio.sleep(0)

    dispatcher = ExamDispatcher(router, timer=lambda: 0.0)
    event, _ = event_of("event_1", event_type="account_number.created")
    [route] = dispatcher.select(event)
    assert route.retries == (1.0, 1.0, 1.0)
    dispatcher.fail = (route.name, "account_number.created", 1, InjectedError())
    for _ in range(2):
        await dispatcher.run(route, event, Context(event=event, received_at=RECEIVED))
    assert [(run.status, run.injected, run.left_behind) for run in dispatcher.runs] == [
        ("failed", True, 1),
        ("succeeded", False, 1),
    ]
    assert str(dispatcher.runs[0].error) == "the exam made this fail"
