"""What tests of the worker hold on to: a store that fails on demand, and a handler that waits at a gate."""

import asyncio
from collections.abc import Callable
from typing import Any

from leadpay.inbox import Inbox
from leadpay.models import Event
from leadpay.webhooks.context import Context
from tests.support.inbox import Bench


class Flaky:
    """An inbox of which some operations fail, or wait for a gate."""

    def __init__(self, inbox: Inbox) -> None:
        self.inner = inbox
        self.failing: dict[str, BaseException] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.calls: list[str] = []
        self.succeeded: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name in ("transaction", "events"):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name in self.gates:
                await self.gates[name].wait()
            if name in self.failing:
                raise self.failing[name]
            result = await method(*args, **kwargs)
            self.succeeded.append(name)
            return result

        return call


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something holds; a thousandth of a second at a time, since the store's thread is one."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - whatever it is, not only events
            await asyncio.sleep(0.001)


class Gate:
    """A handler that waits at a gate."""

    def __init__(self, bench: Bench) -> None:
        self.running: list[str] = []
        self.ended: list[str] = []
        self.attempts: list[int] = []
        self.open = asyncio.Event()
        bench.router.on("*")(self.handle)

    async def handle(self, event: Event, context: Context) -> None:
        """Wait."""
        self.running.append(event.id)
        self.attempts.append(context.attempt)
        await self.open.wait()
        self.ended.append(event.id)
