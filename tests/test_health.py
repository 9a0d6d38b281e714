"""Whether a program is alive and ready."""

import asyncio
from typing import Any

import pytest

from leadpay import health as module
from leadpay.errors import InboxError
from leadpay.health import Health
from tests.webhooks.conftest import StoppedClock


class Store:
    """A store that counts its probes, and fails or hangs on demand."""

    def __init__(self) -> None:
        self.probes = 0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def probe(self) -> None:
        """Fail, or not."""
        self.probes += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error


class Part:
    """A worker, a sender or a receiver."""

    is_running = True
    problem: str | None = None


@pytest.mark.asyncio
async def test_every_part_is_checked() -> None:
    """One that fails is named, by the class of its error, and the others are still shown."""
    clock, inbox, outbox, worker, sender, receiver = StoppedClock(), Store(), Store(), Part(), Part(), Part()
    health = Health(receiver=receiver, inbox=inbox, worker=worker, outbox=outbox, sender=sender, clock=clock)
    assert health.alive()
    readiness = await health.ready()
    assert readiness.is_ready
    assert str(readiness) == "receiver: ok\ninbox: ok\noutbox: ok\nworker: ok\nsender: ok\n"
    inbox.error = InboxError("disk full of Gertrude")
    sender.is_running = False
    receiver.problem = "was not entered"
    clock.time += module.CACHE_SECONDS
    readiness = await health.ready()
    assert not readiness.is_ready
    assert readiness.problems == {
        "receiver": "was not entered",
        "inbox": "InboxError",
        "outbox": None,
        "worker": None,
        "sender": "is not running",
    }
    assert str(readiness).startswith("receiver: was not entered\ninbox: InboxError\noutbox: ok\n")


@pytest.mark.asyncio
async def test_a_store_is_probed_once_a_second_at_most() -> None:
    """Strangers who ask very often cost nothing."""
    clock, inbox = StoppedClock(), Store()
    health = Health(inbox=inbox, clock=clock)
    await asyncio.gather(*(health.ready() for _ in range(100)))
    assert inbox.probes == 1
    clock.time += module.CACHE_SECONDS
    await health.ready()
    assert inbox.probes == 2


@pytest.mark.asyncio
async def test_a_store_that_hangs_is_not_ready() -> None:
    """A load balancer gets its response in time."""
    inbox = Store()
    inbox.gate = asyncio.Event()
    assert (await Health(inbox=inbox, probe_seconds=0.01).ready()).problems == {"inbox": "TimeoutError"}


@pytest.mark.asyncio
async def test_a_program_without_parts_is_ready() -> None:
    """It says so in one line."""
    readiness: Any = await Health().ready()
    assert (readiness.is_ready, str(readiness)) == (True, "ok\n")
