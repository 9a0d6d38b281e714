"""Signed events, and a clock that stands still."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadpay.webhooks.event import parse
from leadpay.webhooks.signature import HEADER, sign

SECRET = "whsec_current"
NOW = 1_700_000_000.0
PAYMENTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "payments.json").read_text())


class StoppedClock:
    """A clock that shows what it is set to."""

    time = NOW

    def now(self) -> float:
        """Seconds."""
        return self.time

    def monotonic(self) -> float:
        """Seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.time += seconds


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def make_body() -> Callable[..., bytes]:
    def make(name: str = "instant_payment.posted", event_id: str = "event_1", **changes: Any) -> bytes:
        payload = {**PAYMENTS["incoming, asked back"], **changes}
        data = {"id": event_id, "created_at": "2024-03-01T09:30:00Z", "event": name, "object": payload}
        return json.dumps(data).encode()

    return make


@pytest.fixture
def make_event(make_body: Callable[..., bytes]) -> Callable[..., Any]:
    return lambda *args, **kwargs: parse(make_body(*args, **kwargs))


@pytest.fixture
def signed() -> Callable[..., dict[str, str]]:
    def make(body: bytes, secret: str = SECRET, at: float = NOW) -> dict[str, str]:
        return {HEADER: sign(body, secret, int(at * 1000))}

    return make
