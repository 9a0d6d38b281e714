"""One handler that hangs, blocks, fails, runs slow SQL or kills the process, beside others that are healthy."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from leadpay.inbox import SqliteInbox, Worker
from leadpay.inbox.breaker import SLOW_FAILURES
from leadpay.instrumentation import DeadLettered, HandlerBlocked, HandlerPaused
from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter
from tests.crash.processes import ALL
from tests.support.inbox import event_of
from tests.support.virtual_time import VirtualClock, VirtualLoop

PAYMENTS = 300
"""One a second, in virtual time."""

SECONDS = 60 if ALL else 6
"""One payment a second, in real time."""

ENDLESS = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT count(*) FROM numbers"""

LAG = 2.0
"""How late a healthy handler may be, in seconds, in 99 of 100 cases."""


class Counted:
    """An inbox in whose operations virtual time stands still, since a thread works on them."""

    def __init__(self, inner: Any, loop: VirtualLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._loop.busy += 1
            try:
                return await method(*args, **kwargs)
            finally:
                self._loop.busy -= 1

        return method if name in ("wait_for_work", "connection", "worker") else call

    @asynccontextmanager
    async def transaction(self, lease: Any, *, handler: str) -> AsyncIterator[Any]:
        """Give a transaction that is counted too."""
        async with self._inner.transaction(lease, handler=handler) as transaction:
            yield Counted(transaction, self._loop)


class Scene:
    """Healthy handlers beside a bad one, and a payment each second."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.router = WebhookRouter("scene")
        self.lags: dict[str, list[float]] = {"credit": [], "book": []}
        self.observations: list[Any] = []
        for name, lags in self.lags.items():
            self.router.posted(name=name)(self._healthy(lags))

    def _healthy(self, lags: list[float]) -> Any:
        async def handler(event: InstantPaymentEvent) -> None:
            await asyncio.sleep(0.02)
            lags.append(self.loop.time() - float(event.id.removeprefix("event_")))

        return handler

    async def run(self) -> dict[str, int]:
        """Send the payments, and give how many events are in which state at the end."""
        async with SqliteInbox(":memory:") as opened:
            inbox: Any = Counted(opened, self.loop)
            worker = Worker(inbox, self.router, clock=self.clock, rng=Random(1), observer=self.observations.append)  # noqa: S311 - to be repeated
            async with worker:
                for number in range(PAYMENTS):
                    await asyncio.sleep(number - self.loop.time())
                    event, body = event_of(f"event_{number}", payment=f"instant_payment_{number}")
                    await inbox.add(event, body, received_at=datetime.fromtimestamp(self.clock.now(), UTC))
                await asyncio.sleep(10)
            return dict((await inbox.stats()).by_state)

    def check(self) -> None:
        """Fail if a healthy handler was late or left out, or was given up on."""
        for name, lags in self.lags.items():
            assert len(lags) == PAYMENTS, name
            assert sorted(lags)[PAYMENTS * 99 // 100] < LAG, name
        assert not [one for one in self.observations if isinstance(one, DeadLettered) and one.handler in self.lags]


def test_a_handler_that_hangs_delays_no_other() -> None:
    """It hangs until its time limit each time, is paused after a while, and its events wait."""
    with VirtualLoop.running() as loop:
        scene = Scene(loop)
        hanging = asyncio.Event()

        @scene.router.posted(name="mail")
        async def mail(event: InstantPaymentEvent) -> None:
            await hanging.wait()

        states = loop.run_until_complete(scene.run())
        scene.check()
    paused = [one for one in scene.observations if isinstance(one, HandlerPaused)]
    assert paused[0] == HandlerPaused("mail", SLOW_FAILURES, 30.0)
    assert {one.handler for one in paused} == {"mail"}
    assert states == {"waiting": PAYMENTS}


def test_a_handler_that_blocks_the_event_loop_is_named_and_delays_the_others_little() -> None:
    """It blocks for a part of each second."""
    with VirtualLoop.running() as loop:
        scene = Scene(loop)

        @scene.router.posted(name="report")
        async def report(event: InstantPaymentEvent) -> None:
            loop.block(0.7)

        states = loop.run_until_complete(scene.run())
        scene.check()
    blocked = [one for one in scene.observations if isinstance(one, HandlerBlocked)]
    assert {(one.handler, round(one.seconds, 1)) for one in blocked} == {("report", 0.7)}
    assert len(blocked) == PAYMENTS
    assert states == {"done": PAYMENTS}


def test_a_handler_that_fails_each_time_delays_no_other() -> None:
    """Its own events become dead letters by its own schedule, and those of no other handler."""
    with VirtualLoop.running() as loop:
        scene = Scene(loop)

        @scene.router.posted(name="export", retries=(1, 5, 15))
        async def export(event: InstantPaymentEvent) -> None:
            raise ConnectionError

        states = loop.run_until_complete(scene.run())
        scene.check()
    assert set(states) == {"dead", "waiting"}


@pytest.mark.asyncio
async def test_a_handler_with_slow_sql_delays_no_other(tmp_path: Path) -> None:
    """In SQLite and in real time: it is interrupted and paused, and the others write in their own transactions."""
    lags: list[float] = []
    observations: list[Any] = []
    router = WebhookRouter("slow")

    @router.posted(name="credit")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute("INSERT INTO credits VALUES (?)", (event.id,))
        lags.append(time.time() - context.received_at.timestamp())

    @router.posted(name="report")
    async def report(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(ENDLESS)

    def prepare(connection: Any) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS credits (id TEXT)")

    async with SqliteInbox(tmp_path / "inbox.db", prepare=prepare) as inbox:
        async with Worker(inbox, router, observer=observations.append, shutdown_timeout=1):
            for number in range(SECONDS):
                event, body = event_of(f"event_{number}", payment=f"instant_payment_{number}")
                assert await inbox.add(event, body, received_at=datetime.now(UTC))
                await asyncio.sleep(1)
            while len(lags) < SECONDS:  # noqa: ASYNC110 - until the last one
                await asyncio.sleep(0.01)
        assert (await inbox.stats()).by_state == {"waiting": SECONDS}
    assert sorted(lags)[SECONDS * 99 // 100] < LAG
    assert {one.handler for one in observations if isinstance(one, HandlerPaused)} == {"report"}
    assert not [one for one in observations if isinstance(one, DeadLettered)]
