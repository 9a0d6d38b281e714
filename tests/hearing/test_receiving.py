"""Receiving without a framework: what status the bank is told, and what runs meanwhile."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, RouterError
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.dispatcher import Dispatcher, paste_ready
from leadpay.webhooks.event import parse
from leadpay.webhooks.receiver import MAX_REMEMBERED, WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import sign

SECRET = "whsec_hearing"
NOW = 1_700_000_000.0
PAYMENT: dict[str, Any] = {
    "id": "instant_payment_1",
    "account_id": "account_1",
    "account_number_id": "account_number_1",
    "direction": "incoming",
    "status": "posted",
    "amount": 5000,
    "currency_code": "USD",
    "debtor": {"name": "Canary Debtor", "account_number": "4242424242"},
    "debtor_agent": {"routing_number": "111000111"},
    "creditor": {"name": "Canary Creditor", "account_number": "5353535353"},
    "creditor_agent": {"routing_number": "111000111"},
    "payment_identifiers": {"end_to_end_id": "E2E-1"},
    "related_objects": {},
    "return_requests": [],
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:01Z",
}


class StoppedClock:
    """Time that stands still."""

    def now(self) -> float:
        """Seconds since 1970."""
        return NOW

    def monotonic(self) -> float:
        """Seconds that don't pass."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps here."""


def body_of(kind: str = "instant_payment.posted", event_id: str = "event_1", **payment: Any) -> bytes:
    """The bytes of a webhook."""
    event = {"id": event_id, "event": kind, "created_at": "2026-01-01T00:00:01Z", "object": {**PAYMENT, **payment}}
    return json.dumps(event).encode()


def event_of(kind: str = "instant_payment.posted", **payment: Any) -> Event:
    """The event of a webhook."""
    return parse(body_of(kind, **payment))


def context_of(event: Event) -> Context:
    """A context such as the receiver makes."""
    return Context(event=event, received_at=datetime.fromtimestamp(NOW, UTC))


def receiver_of(router: WebhookRouter, **options: Any) -> WebhookReceiver:
    """A receiver whose clock stands still."""
    return WebhookReceiver(router, **{"secrets": [SECRET], "clock": StoppedClock(), **options})


async def deliver(receiver: WebhookReceiver, body: bytes, *, at: float = NOW, secret: str = SECRET) -> int:
    """Sign a body as the bank does, and hand it in."""
    return await receiver.receive(body=body, headers={"lead-signature": sign(body, secret, int(at * 1000))})


class Recorder:
    """Handlers that note that they ran, and fail on request."""

    def __init__(self) -> None:
        self.router = WebhookRouter("recorder")
        self.ran: list[str] = []
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

        @self.router.on("*")
        async def first(event: Event) -> None:
            self.ran.append(event.id)
            self.entered.set()
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error


@pytest.mark.asyncio
async def test_a_handled_webhook_is_200_and_its_duplicate_is_not_handled_again() -> None:
    """The second copy of an event that is done is answered with 200 and runs nothing."""
    recorder = Recorder()
    receiver = receiver_of(recorder.router)
    assert [await deliver(receiver, body_of()) for _ in range(2)] == [200, 200]
    assert recorder.ran == ["event_1"]
    assert receiver.counts == {"accepted": 1, "duplicate": 1}


@pytest.mark.asyncio
async def test_a_failed_webhook_is_500_and_is_handled_again_when_it_comes_again() -> None:
    """Failure is not remembered as done."""
    recorder = Recorder()
    recorder.error = ValueError("4242424242")
    receiver = receiver_of(recorder.router)
    assert await deliver(receiver, body_of()) == 500
    recorder.error = None
    assert await deliver(receiver, body_of()) == 200
    assert recorder.ran == ["event_1", "event_1"]
    assert receiver.counts == {"failed": 1, "accepted": 1}


@pytest.mark.asyncio
@pytest.mark.parametrize(("error", "status"), [(None, 200), (ValueError(), 500)])
async def test_a_duplicate_of_an_event_in_progress_shares_its_outcome(error: BaseException | None, status: int) -> None:
    """Three copies at once run the handler once, and all get its outcome."""
    recorder = Recorder()
    recorder.gate, recorder.error = asyncio.Event(), error
    receiver = receiver_of(recorder.router)
    copies = [asyncio.create_task(deliver(receiver, body_of())) for _ in range(3)]
    await recorder.entered.wait()
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await asyncio.gather(*copies) == [status] * 3
    assert recorder.ran == ["event_1"]
    assert receiver.counts["duplicate"] == 2


@pytest.mark.asyncio
async def test_when_the_first_is_cancelled_the_waiting_duplicate_runs_it() -> None:
    """A cancelled request loses nothing for the copy that waits."""
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    receiver = receiver_of(recorder.router)
    first = asyncio.create_task(deliver(receiver, body_of()))
    await recorder.entered.wait()
    second = asyncio.create_task(deliver(receiver, body_of()))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    recorder.gate.set()
    assert await second == 200
    assert recorder.ran == ["event_1", "event_1"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "reason"),
    [({}, "missing_header"), ({"Lead-Signature": "nonsense"}, "malformed_header")],
)
async def test_a_bad_signature_is_401_with_its_reason_counted(headers: dict[str, str], reason: str) -> None:
    """The reason word is in the counts, and no handler runs."""
    recorder = Recorder()
    receiver = receiver_of(recorder.router)
    assert await receiver.receive(body=body_of(), headers=headers) == 401
    assert receiver.counts == {reason: 1}
    assert recorder.ran == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("at", "reason"), [(NOW - 301, "too_old"), (NOW + 301, "too_new")])
async def test_a_refusal_for_age_is_logged_as_an_error(
    at: float, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the bank's own webhook that is refused, so somebody must hear of it."""
    receiver = receiver_of(Recorder().router)
    assert await deliver(receiver, body_of(), at=at) == 401
    assert receiver.counts == {reason: 1}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert reason in caplog.text


@pytest.mark.asyncio
async def test_an_older_secret_is_accepted_and_counted() -> None:
    """While a secret is rotated out, the count says whether it is still in use."""
    receiver = receiver_of(Recorder().router, secrets=["whsec_new", SECRET])
    assert await deliver(receiver, body_of()) == 200
    assert receiver.counts["older_secret"] == 1


@pytest.mark.asyncio
async def test_an_authentic_but_unreadable_body_is_400(caplog: pytest.LogCaptureFixture) -> None:
    """The paths are logged, and none of the values."""
    receiver = receiver_of(Recorder().router)
    assert await deliver(receiver, body_of(amount="5000")) == 400
    assert receiver.counts == {"malformed": 1}
    assert "must be an integer, not a string @ $.object.amount" in caplog.text
    assert "Canary" not in caplog.text


@pytest.mark.asyncio
async def test_a_large_body_is_413() -> None:
    """It is not even verified."""
    receiver = receiver_of(Recorder().router, max_body_bytes=10)
    assert await deliver(receiver, body_of()) == 413
    assert receiver.counts == {"too_large": 1}


@pytest.mark.asyncio
async def test_too_many_at_once_are_503() -> None:
    """The bank's queue does the waiting."""
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    receiver = receiver_of(recorder.router, max_simultaneous=1)
    first = asyncio.create_task(deliver(receiver, body_of()))
    await recorder.entered.wait()
    assert await deliver(receiver, body_of(event_id="event_2")) == 503
    recorder.gate.set()
    assert await first == 200
    assert receiver.counts["too_many"] == 1


@pytest.mark.asyncio
async def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten first."""
    recorder = Recorder()
    receiver = receiver_of(recorder.router)
    receiver._once.done.update((f"event_old{number}", None) for number in range(MAX_REMEMBERED))
    assert await deliver(receiver, body_of()) == 200
    assert len(receiver._once.done) == MAX_REMEMBERED
    assert "event_old0" not in receiver._once.done


@pytest.mark.parametrize("secrets", [[], "", [""], ["whsec_1", ""]])
def test_no_secret_is_an_error_at_construction(secrets: Any) -> None:
    """Nothing is ever accepted for want of a secret."""
    with pytest.raises(ConfigurationError, match="secret"):
        WebhookReceiver(WebhookRouter(), secrets=secrets)


@pytest.mark.parametrize("option", ["tolerance_ms", "max_body_bytes", "max_simultaneous"])
def test_a_limit_must_be_positive(option: str) -> None:
    """A limit of zero would refuse everything."""
    with pytest.raises(ConfigurationError, match=option):
        receiver_of(WebhookRouter(), **{option: 0})


class Inbox:
    """An inbox that keeps events in a list, or fails."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.fails = False
        self.log: list[str] = []

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Keep an event."""
        if self.fails:
            raise OSError("disk full")
        new = event.id not in self.kept
        self.kept[event.id] = body
        return new

    @asynccontextmanager
    async def working(self, dispatcher: Dispatcher, *, client: Any) -> AsyncIterator[None]:
        """Note the beginning and the end."""
        self.log.append("working")
        yield
        self.log.append("stopped")


@pytest.mark.asyncio
async def test_with_an_inbox_200_means_stored() -> None:
    """The raw bytes are kept and no handler runs here; a duplicate is 200 too."""
    recorder, inbox = Recorder(), Inbox()
    receiver = receiver_of(recorder.router, inbox=inbox)
    assert [await deliver(receiver, body_of()) for _ in range(2)] == [200, 200]
    assert inbox.kept == {"event_1": body_of()}
    assert recorder.ran == []
    assert receiver.counts == {"accepted": 1, "duplicate": 1}


@pytest.mark.asyncio
async def test_an_inbox_that_fails_is_503_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    """What is not on disk is not accepted."""
    inbox = Inbox()
    inbox.fails = True
    receiver = receiver_of(Recorder().router, inbox=inbox)
    assert await deliver(receiver, body_of()) == 503
    inbox.fails = False
    assert await deliver(receiver, body_of()) == 200
    assert receiver.counts == {"not_stored": 1, "accepted": 1}
    assert "OSError" in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize("work", [True, False])
async def test_entering_starts_lifespans_and_work_once_and_leaving_ends_them(
    work: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Two mounts of one receiver share one start and one stop, and missing handlers are logged."""
    log: list[str] = []
    router = WebhookRouter("plugin")

    @router.lifespan
    @asynccontextmanager
    async def pool() -> AsyncIterator[str]:
        log.append("open")
        yield "the pool"
        log.append("closed")

    seen: list[Any] = []

    @router.on("*")
    async def handler(event: Event, context: Context) -> None:
        seen.append(context.state)

    del handler
    inbox = Inbox()
    receiver = receiver_of(router, inbox=inbox, work=work)
    async with receiver:
        async with receiver:
            await receiver.dispatcher.dispatch(event_of(), context_of(event_of()))
        assert log == ["open"]
    assert log == ["open", "closed"]
    assert inbox.log == (["working", "stopped"] if work else [])
    assert seen == ["the pool"]
    assert "mandatory" not in caplog.text


@pytest.mark.asyncio
async def test_a_lifespan_that_fails_stops_the_start_and_can_be_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was entered before is left, and the mandatory events without handler have been named."""
    router = WebhookRouter()
    fails = [True, False]

    @router.lifespan
    @asynccontextmanager
    async def pool() -> AsyncIterator[None]:
        if fails.pop(0):
            raise OSError("no database")
        yield

    receiver = receiver_of(router)
    with pytest.raises(OSError, match="no database"):
        await receiver.__aenter__()
    async with receiver:
        assert fails == []
    assert "instant_payment.return_request_response_needed mandatory" in caplog.text


@pytest.mark.asyncio
async def test_one_handler_s_failure_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """All run, in the order of registration, and the outcome names each; no message of an error is logged."""
    router = WebhookRouter()

    @router.posted
    async def fails(event: InstantPaymentEvent) -> None:
        raise ValueError(event.payment.debtor.name)

    @router.posted(where=lambda event: event.no_such_attribute)
    async def misfiltered(event: InstantPaymentEvent) -> None: ...

    @router.posted
    async def discards(event: InstantPaymentEvent) -> None:
        raise Discard("not ours")

    @router.posted
    async def defers(event: InstantPaymentEvent) -> None:
        raise Defer(5)

    @router.posted
    async def succeeds(event: InstantPaymentEvent) -> None: ...

    del fails, misfiltered, discards, defers, succeeds
    outcome = await Dispatcher(router).dispatch(event_of(), context_of(event_of()))
    assert [result.status for result in outcome.results] == ["failed", "failed", "discarded", "deferred", "succeeded"]
    assert [type(result.error) for result in outcome.results] == [
        ValueError,
        AttributeError,
        Discard,
        Defer,
        type(None),
    ]
    assert not outcome.succeeded
    assert "builtins.ValueError" in caplog.text
    assert "Canary" not in caplog.text


@pytest.mark.asyncio
async def test_a_handler_that_takes_too_long_fails() -> None:
    """The time limit ends it with a TimeoutError."""
    recorder = Recorder()
    recorder.gate = asyncio.Event()
    outcome = await Dispatcher(recorder.router, timeout=0.001).dispatch(event_of(), context_of(event_of()))
    assert [type(result.error) for result in outcome.results] == [TimeoutError]


@pytest.mark.asyncio
async def test_a_cancellation_inside_a_handler_is_its_failure() -> None:
    """Something that the handler awaited was cancelled, not the request."""
    recorder = Recorder()
    recorder.error = asyncio.CancelledError()
    outcome = await Dispatcher(recorder.router).dispatch(event_of(), context_of(event_of()))
    assert [result.status for result in outcome.results] == ["failed"]


@pytest.mark.asyncio
async def test_an_event_that_nobody_takes_gets_advice_once_per_type(caplog: pytest.LogCaptureFixture) -> None:
    """The advice is a handler that can be pasted, and it is not repeated."""
    dispatcher = Dispatcher(WebhookRouter())
    for _ in range(3):
        outcome = await dispatcher.dispatch(event_of(), context_of(event_of()))
        assert outcome.results == ()
        assert outcome.succeeded
    await dispatcher.dispatch(event_of("brand.new"), context_of(event_of("brand.new")))
    assert len(caplog.records) == 2
    assert "@router.posted(direction='incoming')" in caplog.text


@pytest.mark.parametrize(
    ("kind", "payment"),
    [
        ("instant_payment.posted", {}),
        ("instant_payment.posted", {"direction": "sideways"}),
        ("instant_payment.counterparty_status_update", {}),
        ("instant_payment.brand-new", {}),
        ("ach.posted", {}),
        ("card.created", {}),
    ],
)
def test_the_advice_can_be_pasted_and_takes_the_event(kind: str, payment: dict[str, str]) -> None:
    """What is logged compiles, registers, and matches the very event."""
    event = event_of(kind, **payment)
    router = WebhookRouter()
    names = {"router": router, "Event": Event, "InstantPaymentEvent": InstantPaymentEvent}
    exec(paste_ready(event), names)  # noqa: S102 - the advice under test
    assert len(router.select(event)) == 1


def test_a_dispatcher_needs_a_router() -> None:
    """Anything else is refused when it is made."""
    with pytest.raises(RouterError, match="not dict"):
        Dispatcher({})  # type: ignore[arg-type]


class Bank:
    """As much of a client as a context needs."""

    class _Payments:
        async def retrieve(self, payment_id: str, /) -> Any:
            """Give what was asked for."""
            return f"latest {payment_id}"

    instant_payments = _Payments()


@pytest.mark.asyncio
async def test_a_context_refreshes_through_the_client() -> None:
    """It asks for the payment of its event."""
    context = Context(event=event_of(), received_at=datetime.fromtimestamp(NOW, UTC), client=Bank())
    assert await context.refresh() == "latest instant_payment_1"  # type: ignore[comparison-overlap]


@pytest.mark.asyncio
async def test_a_context_says_what_it_lacks() -> None:
    """No client, no payment, no inbox: each says so."""
    with pytest.raises(ConfigurationError, match="client"):
        await context_of(event_of()).refresh()
    with pytest.raises(ConfigurationError, match="instant payment"):
        await context_of(event_of("ach.posted")).refresh()
    with pytest.raises(ConfigurationError, match="inbox"):
        _ = context_of(event_of()).transaction
    with_inbox = Context(event=event_of(), received_at=datetime.fromtimestamp(NOW, UTC), transaction="a connection")
    assert with_inbox.transaction == "a connection"
