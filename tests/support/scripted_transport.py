"""A bank without a network, which responds from a script, and a clock whose sleepers wake at once."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from leadpay.client.auth import FixedToken, TokenSource
from leadpay.client.events import Events
from leadpay.client.executor import RequestExecutor
from leadpay.client.instant_payments import InstantPayments
from leadpay.client.requests import Request
from leadpay.client.retry import RetryPolicy
from leadpay.client.simulate import Simulate
from leadpay.client.transport import Response
from leadpay.config import Timeouts
from leadpay.errors import (
    NoAnswerError,
    RequestNotSentError,
)
from leadpay.instrumentation import Observer
from leadpay.models import Agent, InstantPayment, Party
from tests.support.rng import FixedRandom

NOW = 1_800_000_000.0
PAYMENT: dict[str, Any] = {
    "id": "instant_payment_1",
    "account_id": "account_1",
    "account_number_id": "account_number_1",
    "direction": "outgoing",
    "status": "created",
    "amount": 5000,
    "currency_code": "USD",
    "debtor": {"name": "Canary Debtor", "account_number": "4242424242"},
    "debtor_agent": {"routing_number": "111000111"},
    "creditor": {"name": "Canary Creditor", "account_number": "5353535353"},
    "creditor_agent": {"routing_number": "111000111"},
    "payment_identifiers": {"end_to_end_id": "E2E-1"},
    "related_objects": {},
    "return_requests": [],
    "created_at": "2027-01-15T08:00:00Z",
    "updated_at": "2027-01-15T08:00:01Z",
}
NO_ANSWER = NoAnswerError("no response")
NOT_SENT = RequestNotSentError("no connection")


class Clock:
    """Time that passes only in ``sleep``, and then at once."""

    def __init__(self) -> None:
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """The same seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.slept.append(seconds)
        self.time += seconds


class Bank:
    """Responds from a script, and records what it was sent; the last response is repeated."""

    base_url = "https://bank.example"

    def __init__(
        self,
        *script: Any,
        tokens: TokenSource | None = FixedToken("token-1"),  # noqa: B008 - it never changes
        policy: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.script = list(script)
        self.sent: list[tuple[Request, str | None, float]] = []
        self.clock = Clock()
        self.keys = iter(f"key-{number}" for number in range(100))
        self.executor = RequestExecutor(
            self,
            tokens,
            policy=policy or RetryPolicy(),
            timeouts=timeouts or Timeouts(),
            clock=self.clock,
            rng=FixedRandom(),
            new_idempotency_key=lambda: next(self.keys),
            observer=observer,
        )
        self.payments = InstantPayments(self.executor)
        self.simulate = Simulate(self.executor)
        self.events = Events(self.executor)

    def open(self) -> None:
        """Be ready."""

    async def send(self, request: Request, token: str | None, left: float) -> Response:
        """Return the next response, or raise it."""
        self.sent.append((request, token, left))
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(line, BaseException):
            raise line
        return line if isinstance(line, Response) else ok(line)

    @property
    def operations(self) -> list[str]:
        """The operations that were sent, in order."""
        return [request.operation for request, _, _ in self.sent]

    @property
    def sent_keys(self) -> set[str | None]:
        """The idempotency keys that were sent."""
        return {request.key for request, _, _ in self.sent}


def ok(data: Any) -> Response:
    """Make a response of success."""
    return Response(200, {}, json.dumps(data).encode())  # which writes half of a surrogate pair, too


def error(status: int, headers: Mapping[str, str] | None = None, **problem: Any) -> Response:
    """Make an error response of the bank."""
    return Response(status, headers or {}, orjson.dumps({"code": "some_code", **problem}))


def payment(**changes: Any) -> dict[str, Any]:
    """Make a payment with some fields changed."""
    return {**PAYMENT, **changes}


def return_request(
    status: str, resolved_by: str | None = None, at: float = NOW, rejection_reason: str | None = None
) -> dict[str, Any]:
    """Make a return request."""
    when = datetime.fromtimestamp(at, UTC).isoformat()
    made = {"status": status, "reason": "fraud_suspected", "created_at": when}
    resolution = {"resolved_at": when, "resolved_by": resolved_by, "rejection_reason": rejection_reason}
    return made if resolved_by is None else {**made, "resolution": resolution}


async def send(bank: Bank, key: str | None = None) -> InstantPayment:
    """Send the payment."""
    return await bank.payments.send(
        account_number_id="account_number_1",
        amount=5000,
        creditor=Party(name="Canary Creditor", account_number="5353535353"),
        creditor_agent=Agent(routing_number="111000111"),
        description="For Canary",
        idempotency_key=key,
    )
