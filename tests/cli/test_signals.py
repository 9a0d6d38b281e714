"""Ctrl-C and SIGTERM."""

import asyncio
import os
import signal

import pytest

from leadpay.cli.signals import run_until, stop_event


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_sets_the_event(number: int) -> None:
    """Both signals do."""
    async with stop_event() as stopped:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stopped.wait(), 5)


@pytest.mark.asyncio
async def test_work_is_cancelled_when_the_event_is_set() -> None:
    """The function returns once the work has ended."""
    stopped, ended = asyncio.Event(), []

    async def work() -> None:
        stopped.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    await run_until(stopped, work())
    assert ended == [True]


@pytest.mark.asyncio
async def test_an_error_of_the_work_is_raised() -> None:
    """It is not taken for a stop."""

    async def work() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await run_until(asyncio.Event(), work())
