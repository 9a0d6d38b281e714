"""Events to keep, a clock that is moved by hand, and a worker that is stepped by hand."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from leadpay.inbox import Inbox, StoredEvent
from leadpay.inbox.worker import Worker
from leadpay.models import Event
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import WebhookRouter
from tests.support.rng import FixedRandom

NOW: Final = 1_700_000_000.0
RECEIVED: Final = datetime.fromtimestamp(NOW, UTC)
PAYMENTS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "payments.json").read_text())


def event_of(
    event_id: str, *, payment: str | None = None, minute: int = 0, version: int = 0, event_type: str | None = None
) -> tuple[Event, bytes]:
    """Make an event and its body; without a payment it is about something else. Minutes are after half past nine."""
    payload: Any = {"id": "account_1"}
    if payment is not None:
        changed = {"id": payment, "updated_at": f"2024-03-01T10:{version:02}:00Z"}
        payload = {**PAYMENTS["incoming, asked back"], **changed}
    default = "account.created" if payment is None else "instant_payment.posted"
    created_at = f"2024-03-01T09:{30 + minute}:00Z"
    data = {"id": event_id, "created_at": created_at, "event": event_type or default, "object": payload}
    body = json.dumps(data).encode()
    return parse(body), body


async def add(inbox: Inbox, event_id: str) -> bool:
    """Add an event about no payment."""
    event, body = event_of(event_id)
    return await inbox.add(event, body, received_at=RECEIVED)


class HandClock:
    """A clock that stands still until it is moved; a sleeper waits for that."""

    def __init__(self) -> None:
        self.time = NOW
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """Seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved so far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, future))
        await future

    @property
    def sleepers(self) -> int:
        """How many wait for it."""
        return sum(not future.done() for _, future in self._sleepers)

    def move(self, seconds: float) -> None:
        """Let time pass, and wake up who waited for it."""
        self.time += seconds
        for until, future in self._sleepers:
            if until <= self.time and not future.done():
                future.set_result(None)
        self._sleepers = [one for one in self._sleepers if not one[1].done()]


class Bench:
    """An inbox, a router and the worker between them, stepped by hand."""

    def __init__(self, inbox: Inbox, **options: Any) -> None:
        self.inbox = inbox
        self.router = WebhookRouter("bench")
        self.clock = HandClock()
        self.observations: list[Any] = []
        self._options = options

    async def receive(self, event_id: str, **what: Any) -> bool:
        """Accept an event now."""
        event, body = event_of(event_id, **what)
        return await self.inbox.add(event, body, received_at=datetime.fromtimestamp(self.clock.now(), UTC))

    def worker(self, **options: Any) -> Worker:
        """Make a worker, with retries exactly on time."""
        known = {"clock": self.clock, "rng": FixedRandom(0.0), "observer": self.observations.append}
        return Worker(self.inbox, self.router, **{**known, **self._options, **options})

    async def work(self) -> int:
        """Work until nothing is due."""
        return await self.worker().run_due()

    async def kept(self, event_id: str) -> StoredEvent:
        """Look an event up that is there."""
        found = await self.inbox.get(event_id)
        assert found is not None
        return found

    async def state(self, event_id: str) -> str:
        """Give the state of an event."""
        return (await self.kept(event_id)).state
