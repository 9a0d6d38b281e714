"""Ctrl-C and SIGTERM, for commands that run until they are stopped."""

import signal
from asyncio import FIRST_COMPLETED, Event, create_task, get_running_loop, wait
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def stop_event() -> AsyncIterator[Event]:
    """Yield an event that Ctrl-C and SIGTERM set."""
    stopped = Event()
    loop = get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def run_until(stopped: Event, work: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine, and cancel it when the event is set."""
    working, waiting = create_task(work), create_task(stopped.wait())
    try:
        await wait([working, waiting], return_when=FIRST_COMPLETED)
    finally:
        was_cancelled = working.cancel()
        waiting.cancel()
        await wait([working, waiting])
    if not was_cancelled:
        working.result()
