"""From bytes and headers to a status code: every code, duplicates, and what is counted, logged and observed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, RouterError
from leadpay.inbox import open_inbox
from leadpay.instrumentation import (
    DriftSeen,
    HandlerEnded,
    HandlerStarted,
    Observation,
    SecretMatched,
    WebhookReceived,
)
from leadpay.webhooks import receiver as module
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.event import UnreadableWebhook
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter

SECRET = "whsec_current"
Body = Callable[..., bytes]
Signed = Callable[..., dict[str, str]]


class Bell:
    """A handler that waits or fails if a test says so, and that counts how often it ran."""

    def __init__(self) -> None:
        self.router = WebhookRouter("bell")
        self.router.unhandled(self.ring)
        self.contexts: list[Context[Any, Any]] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    async def ring(self, event: Any, context: Context[Any, Any]) -> None:
        """Handle."""
        self.contexts.append(context)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def receiver(bell: Bell, clock: Any) -> WebhookReceiver:
    return WebhookReceiver(bell.router, secrets=SECRET, clock=clock, max_body_bytes=10_000)


@pytest.mark.asyncio
async def test_a_handled_event_is_200(receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed) -> None:
    """An authentic event is handled once, with a context that says when it was received."""
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body)) == 200
    assert [context.received_at for context in bell.contexts] == [datetime.fromtimestamp(1_700_000_000, UTC)]
    assert receiver.counts == {"accepted": 1}
    assert receiver.router is bell.router


@pytest.mark.asyncio
async def test_the_header_s_case_does_not_matter(receiver: WebhookReceiver, make_body: Body, signed: Signed) -> None:
    """Some frameworks change the case of header names."""
    for index, change in enumerate((str.lower, str.upper)):
        body = make_body(event_id=f"event_{index}")
        headers = {"X-Other": "1", **{change(name): value for name, value in signed(body).items()}}
        assert await receiver.receive(body=body, headers=headers) == 200


@pytest.mark.asyncio
async def test_a_wrong_signature_is_401(
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing or wrong signature is refused, counted by its reason, and logged without the body."""
    body = make_body()
    for headers in ({}, signed(body, "another"), {"Lead-Signature": "t=1"}):
        assert await receiver.receive(body=body, headers=headers) == 401
    assert receiver.counts == {"missing_header": 1, "mismatch": 1, "no_known_version": 1}
    assert bell.contexts == []
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert not any(private in caplog.text for private in ("Gertrude", "4400112233", SECRET))


@pytest.mark.parametrize(("ahead", "reason"), [(-301, "too_old"), (301, "too_new")])
@pytest.mark.asyncio
async def test_a_refusal_for_age_is_loud(  # noqa: PLR0917 - fixtures
    receiver: WebhookReceiver,
    make_body: Body,
    signed: Signed,
    caplog: pytest.LogCaptureFixture,
    ahead: int,
    reason: str,
) -> None:
    """The bank's own webhook refused for its age is an error in the log, with a counter of its own."""
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body, at=1_700_000_000 + ahead)) == 401
    assert receiver.counts == {reason: 1}
    assert [(record.levelno, reason in record.getMessage()) for record in caplog.records] == [(logging.ERROR, True)]


@pytest.mark.asyncio
async def test_an_authentic_but_unreadable_body_is_400(
    receiver: WebhookReceiver, make_body: Body, signed: Signed, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that is no JSON or no event is refused; the log has paths and no values."""
    for body in (b"Gertrude{", b"\xff", b"[]", make_body(amount="4400112233")):
        assert await receiver.receive(body=body, headers=signed(body)) == 400
    assert receiver.counts == {"malformed": 4}
    assert "$.object.amount" in caplog.text
    assert not any(private in caplog.text for private in ("Gertrude", "4400112233"))


@pytest.mark.asyncio
async def test_a_body_that_is_too_large_is_413(receiver: WebhookReceiver, signed: Signed) -> None:
    """The size is checked before the signature."""
    assert await receiver.receive(body=b"x" * 10_001, headers={}) == 413
    assert await receiver.receive(body=b"x" * 10_000, headers=signed(b"x" * 10_000)) == 400
    assert receiver.counts == {"too_large": 1, "malformed": 1}


@pytest.mark.parametrize("error", [ValueError("Ada"), Defer(5)])
@pytest.mark.asyncio
async def test_a_failure_is_500_and_the_bank_s_next_try_runs_again(
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed, error: Exception
) -> None:
    """The bank gets a 500 if a handler failed or deferred, and the handler runs when the event comes again."""
    body = make_body()
    bell.error = error
    assert await receiver.receive(body=body, headers=signed(body)) == 500
    bell.error = None
    assert await receiver.receive(body=body, headers=signed(body)) == 200
    assert receiver.counts == {"failed": 1, "accepted": 1}
    assert len(bell.contexts) == 2


@pytest.mark.asyncio
async def test_discarding_is_200(receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed) -> None:
    """An event that a handler discards is done."""
    bell.error = Discard("not ours")
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body)) == 200


@pytest.mark.asyncio
async def test_a_duplicate_of_a_handled_event_is_not_run_again(
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed
) -> None:
    """The second delivery of an event is accepted without running anything."""
    body = make_body()
    assert [await receiver.receive(body=body, headers=signed(body)) for _ in range(3)] == [200] * 3
    assert len(bell.contexts) == 1
    assert receiver.counts == {"accepted": 1, "duplicate": 2}


@pytest.mark.parametrize(("error", "status"), [(None, 200), (ValueError(), 500)])
@pytest.mark.asyncio
async def test_a_duplicate_of_an_event_in_progress_shares_its_result(  # noqa: PLR0917 - fixtures
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed, error: Exception | None, status: int
) -> None:
    """Deliveries that come while the first is being handled wait, and get the same status."""
    bell.gate, bell.error = asyncio.Event(), error
    body = make_body()
    tasks = [asyncio.create_task(receiver.receive(body=body, headers=signed(body))) for _ in range(3)]
    await asyncio.sleep(0)
    bell.gate.set()
    assert await asyncio.gather(*tasks) == [status] * 3
    assert len(bell.contexts) == 1
    assert receiver.counts["duplicate"] == 2


@pytest.mark.asyncio
async def test_a_waiting_duplicate_takes_over_from_a_cancelled_first(
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed
) -> None:
    """If the first delivery is cancelled, one of those waiting runs the handlers, and the rest share."""
    bell.gate = asyncio.Event()
    body = make_body()
    tasks = [asyncio.create_task(receiver.receive(body=body, headers=signed(body))) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    bell.gate.set()
    assert await asyncio.gather(*tasks[1:]) == [200, 200]
    assert len(bell.contexts) == 2


@pytest.mark.asyncio
async def test_a_cancelled_waiter_leaves_the_first_alone(
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed
) -> None:
    """A duplicate whose sender hangs up does not disturb the handling, nor the other waiter."""
    bell.gate = asyncio.Event()
    body = make_body()
    tasks = [asyncio.create_task(receiver.receive(body=body, headers=signed(body))) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    bell.gate.set()
    assert list(await asyncio.gather(tasks[0], tasks[2])) == [200, 200]
    assert tasks[1].cancelled()


@pytest.mark.asyncio
async def test_too_many_at_once_are_503(bell: Bell, clock: Any, make_body: Body, signed: Signed) -> None:
    """Beyond the limit the bank gets a 503, until one is done."""
    receiver = WebhookReceiver(bell.router, secrets=SECRET, clock=clock, max_simultaneous=1)
    bell.gate = asyncio.Event()
    first, second = make_body(), make_body(event_id="event_2")
    task = asyncio.create_task(receiver.receive(body=first, headers=signed(first)))
    await asyncio.sleep(0)
    assert await receiver.receive(body=second, headers=signed(second)) == 503
    bell.gate.set()
    assert await task == 200
    assert await receiver.receive(body=second, headers=signed(second)) == 200
    assert receiver.counts == {"too_many": 1, "accepted": 2}


@pytest.mark.asyncio
async def test_the_limit_holds_with_an_inbox_too(bell: Bell, clock: Any, make_body: Body, signed: Signed) -> None:
    """While the store takes its time over one, the next one gets a 503."""
    stored = asyncio.Event()

    class SlowInbox:
        async def add(self, *_: Any, **__: Any) -> bool:
            await stored.wait()
            return True

    inbox: Any = SlowInbox()
    receiver = WebhookReceiver(bell.router, secrets=SECRET, clock=clock, max_simultaneous=1, inbox=inbox, work=False)
    first, second = make_body(), make_body(event_id="event_2")
    task = asyncio.create_task(receiver.receive(body=first, headers=signed(first)))
    await asyncio.sleep(0)
    assert await receiver.receive(body=second, headers=signed(second)) == 503
    stored.set()
    assert await task == 200
    assert await receiver.receive(body=second, headers=signed(second)) == 200
    assert receiver.counts == {"too_many": 1, "accepted": 2}


@pytest.mark.asyncio
async def test_rotation_is_counted(bell: Bell, clock: Any, make_body: Body, signed: Signed) -> None:
    """While the old secret is still in use, a counter says so."""
    receiver = WebhookReceiver(bell.router, secrets=["whsec_new", SECRET], clock=clock)
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body)) == 200
    assert receiver.counts["older_secret"] == 1
    other = make_body(event_id="event_2")
    assert await receiver.receive(body=other, headers=signed(other, "whsec_new")) == 200
    assert receiver.counts["older_secret"] == 1


@pytest.mark.asyncio
async def test_the_oldest_of_very_many_handled_events_is_forgotten(
    receiver: WebhookReceiver, bell: Bell, make_body: Body, signed: Signed
) -> None:
    """Memory is bounded: beyond the limit, the oldest event is run again if it comes again."""
    bodies = [make_body(event_id=f"event_{number}") for number in range(3)]
    for body in bodies[:2]:
        assert await receiver.receive(body=body, headers=signed(body)) == 200
    handled = receiver._deduplicator.handled
    handled.update(dict.fromkeys(str(number) for number in range(module.MAX_REMEMBERED - 2)))
    for body in (bodies[2], bodies[1], bodies[0]):
        assert await receiver.receive(body=body, headers=signed(body)) == 200
        assert len(handled) == module.MAX_REMEMBERED
    assert receiver.counts == {"accepted": 4, "duplicate": 1}
    assert len(bell.contexts) == 4


@pytest.mark.parametrize("secrets", ["a,b", b"a,b", "a\n", ["a", " b"], "", [], [""], None, "\ud800"])
def test_without_a_secret_there_is_no_receiver(bell: Bell, secrets: Any) -> None:
    """A receiver that could not verify is an error at construction."""
    with pytest.raises(ConfigurationError):
        WebhookReceiver(bell.router, secrets=secrets)


@pytest.mark.parametrize("limit", ["tolerance_ms", "max_body_bytes", "max_simultaneous"])
def test_limits_are_positive(bell: Bell, limit: str) -> None:
    """A limit of nothing would refuse everything."""
    with pytest.raises(ConfigurationError, match=limit):
        WebhookReceiver(bell.router, secrets=SECRET, **{limit: 0})  # type: ignore[arg-type]


def test_only_a_router_is_taken() -> None:
    """Passing something else is an error that says what is needed."""
    with pytest.raises(RouterError, match="a WebhookRouter is needed, not str"):
        WebhookReceiver("app:router", secrets=SECRET)  # type: ignore[arg-type]


class FakeStore:
    """An inbox that stores events in a dict, and can fail."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.broken = False
        self.working_now = 0

    async def add(self, event: Any, body: bytes, *, received_at: datetime) -> bool:
        """Store."""
        if self.broken:
            raise OSError("disk full of Gertrude")
        new = event.id not in self.rows
        self.rows[event.id] = body
        return new

    async def add_unreadable(self, event_id: str | None, body: bytes, problems: Any, *, received_at: datetime) -> bool:
        """Store."""
        if self.broken:
            raise OSError("disk full of Gertrude")
        assert problems
        name = event_id or str(body)
        new = name not in self.rows
        self.rows[name] = body
        return new

    @asynccontextmanager
    async def worker(self, dispatcher: Any, *, client: Any) -> AsyncIterator[None]:
        """Work."""
        if self.broken:
            raise OSError("no disk")
        self.working_now += 1
        yield
        self.working_now -= 1


@pytest.mark.asyncio
async def test_with_an_inbox_200_means_stored(
    bell: Bell, clock: Any, make_body: Body, signed: Signed, caplog: pytest.LogCaptureFixture
) -> None:
    """Events are stored byte for byte and not handled here; what cannot be stored is 503."""
    store = FakeStore()
    receiver = WebhookReceiver(bell.router, secrets=SECRET, clock=clock, inbox=store)
    body = make_body()
    async with receiver:
        assert [await receiver.receive(body=body, headers=signed(body)) for _ in range(2)] == [200, 200]
        assert store.rows == {"event_1": body}
        store.broken = True
        assert await receiver.receive(body=body, headers=signed(body)) == 503
    assert receiver.counts == {"accepted": 1, "duplicate": 1, "not_stored": 1}
    assert bell.contexts == []
    assert "OSError" in caplog.text
    assert "Gertrude" not in caplog.text


@pytest.mark.asyncio
async def test_with_an_inbox_authentic_bytes_are_never_thrown_away(
    bell: Bell, clock: Any, make_body: Body, signed: Signed, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read is kept raw, and 200; only a store that fails makes the bank send it again."""
    store = FakeStore()
    observations: list[Observation] = []
    async with WebhookReceiver(
        bell.router, secrets=SECRET, clock=clock, inbox=store, work=False, observer=observations.append
    ) as receiver:
        bodies = [make_body(amount="4400112233"), b"Gertrude{"]
        for body in bodies:
            assert [await receiver.receive(body=body, headers=signed(body)) for _ in range(2)] == [200, 200]
        assert store.rows == {"event_1": bodies[0], str(bodies[1]): bodies[1]}
        store.broken = True
        assert await receiver.receive(body=b"[]", headers=signed(b"[]")) == 503
    assert receiver.counts == {"unreadable": 2, "duplicate": 2, "not_stored": 1}
    assert [one.result for one in observations if isinstance(one, WebhookReceived)][:2] == ["unreadable", "duplicate"]
    assert "event_1 is authentic, but cannot be read" in caplog.text
    assert "a webhook without an ID was not stored" in caplog.text
    assert not any(private in caplog.text for private in ("Gertrude", "4400112233"))


@pytest.mark.asyncio
async def test_without_an_inbox_unreadable_webhooks_go_to_their_handlers(
    clock: Any, make_body: Body, signed: Signed, caplog: pytest.LogCaptureFixture
) -> None:
    """All of the tree run; if one fails, it is 500, and the bank sends it again."""
    seen: list[UnreadableWebhook] = []
    router, included = WebhookRouter("unreadable"), WebhookRouter("included")
    router.include(included)

    @router.unreadable
    async def keep(webhook: UnreadableWebhook) -> None:
        seen.append(webhook)

    @included.unreadable
    async def fail(webhook: UnreadableWebhook) -> None:
        if webhook.event_id is None:
            raise ValueError("Gertrude")

    receiver = WebhookReceiver(router, secrets=SECRET, clock=clock)
    body = make_body(amount="4400112233")
    assert await receiver.receive(body=body, headers=signed(body)) == 200
    assert await receiver.receive(body=b"[]", headers=signed(b"[]")) == 500
    assert [(one.body, one.event_id, one.received_at.timestamp()) for one in seen] == [
        (body, "event_1", clock.now()),
        (b"[]", None, clock.now()),
    ]
    assert receiver.counts == {"unreadable": 2}
    assert "builtins.ValueError" in caplog.text
    assert "Gertrude" not in repr(seen) + caplog.text


@pytest.mark.asyncio
async def test_an_inbox_that_was_not_entered_is_an_error(
    bell: Bell, clock: Any, make_body: Body, signed: Signed
) -> None:
    """When the receiver is entered, and at the first request; once the inbox was closed, the bank gets a 503."""
    inbox, body = open_inbox("sqlite:///:memory:"), make_body()
    receiver = WebhookReceiver(bell.router, secrets=SECRET, clock=clock, inbox=inbox, work=False)
    with pytest.raises(ConfigurationError, match="enter the inbox"):
        await receiver.receive(body=body, headers=signed(body))
    with pytest.raises(ConfigurationError, match="enter the inbox"):
        await receiver.__aenter__()
    async with inbox:
        assert await receiver.receive(body=body, headers=signed(body)) == 200
    other = make_body(event_id="event_2")
    assert await receiver.receive(body=other, headers=signed(other)) == 503


@pytest.mark.asyncio
async def test_a_receiver_that_was_not_entered_is_an_error(bell: Bell, make_body: Body, signed: Signed) -> None:
    """With an inbox or a lifespan it would return 200 and never handle anything, or without what was opened."""
    with_lifespan = WebhookRouter("life")

    @with_lifespan.lifespan
    @asynccontextmanager
    async def life() -> AsyncIterator[None]:
        yield

    for receiver in (
        WebhookReceiver(bell.router, secrets=SECRET, inbox=FakeStore()),
        WebhookReceiver(with_lifespan, secrets=SECRET),
    ):
        async with receiver:
            assert await receiver.receive(body=b"", headers={}) == 401
        with pytest.raises(ConfigurationError, match="async with receiver"):
            await receiver.receive(body=b"", headers={})


@pytest.mark.asyncio
async def test_a_receiver_says_why_it_cannot_accept_a_webhook(bell: Bell) -> None:
    """For a page or a probe: it was not entered, or its worker has stopped."""

    class Stopped(FakeStore):
        is_running = True

        @asynccontextmanager
        async def worker(self, dispatcher: Any, *, client: Any) -> AsyncIterator[Any]:
            yield self

    store = Stopped()
    receiver = WebhookReceiver(bell.router, secrets=SECRET, inbox=store)
    assert receiver.problem == "was not entered"
    async with receiver:
        assert receiver.problem is None
        store.is_running = False
        assert receiver.problem == "its worker is not running"
    async with WebhookReceiver(bell.router, secrets=SECRET) as plain:
        assert plain.problem is None


async def chunks_of(*parts: bytes) -> AsyncIterator[bytes]:
    """A body in pieces."""
    for part in parts:
        yield part


@pytest.mark.asyncio
async def test_a_stream_is_received_like_a_body(receiver: WebhookReceiver, make_body: Body, signed: Signed) -> None:
    """Its pieces are put together, and the header's case doesn't matter."""
    body = make_body()
    headers = {name.upper(): value for name, value in signed(body).items()}
    assert await receiver.receive_stream(headers=headers, chunks=chunks_of(body[:9], body[9:])) == 200
    assert await receiver.receive_stream(headers=headers, chunks=chunks_of(body, b" ")) == 401
    assert receiver.counts == {"accepted": 1, "mismatch": 1}


@pytest.mark.parametrize(
    ("headers", "status", "result"),
    [
        ({}, 401, "missing_header"),
        ({"Lead-Signature": ""}, 401, "missing_header"),
        ({"Lead-Signature": "t=1"}, 401, "no_known_version"),
        ({"Content-Encoding": "GZIP"}, 415, "encoded"),
        ({"Content-Length": "10001"}, 413, "too_large"),
        ({"Content-Length": "9" * 5000}, 413, "too_large"),
        ({"Content-Length": "-1"}, 413, "too_large"),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_accepted_is_refused_before_its_body_is_read(
    receiver: WebhookReceiver, headers: dict[str, str], status: int, result: str
) -> None:
    """Not a byte is read."""
    read: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(b"x")
        yield b"x"

    assert await receiver.receive_stream(headers=headers, chunks=chunks()) == status
    assert receiver.counts == {result: 1}
    assert read == []


@pytest.mark.asyncio
async def test_what_goes_wrong_while_a_body_is_read_is_refused(receiver: WebhookReceiver, signed: Signed) -> None:
    """Too large without a length, and cut off."""

    async def cut_off() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    headers = signed(b"")
    assert await receiver.receive_stream(headers=headers, chunks=chunks_of(b"x" * 10_001)) == 413
    assert await receiver.receive_stream(headers=headers, chunks=cut_off()) == 400
    assert receiver.counts == {"too_large": 1, "cut_off": 1}


@pytest.mark.asyncio
async def test_refusals_cannot_fill_the_log(
    receiver: WebhookReceiver, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten lines a minute for each reason; the next minute's first line says how many were left out."""
    for _ in range(15):
        await receiver.receive(body=b"", headers={})
    assert len(caplog.records) == 10
    clock.time += 60
    await receiver.receive(body=b"", headers={})
    assert "and 5 more lines" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("work", [True, False])
@pytest.mark.asyncio
async def test_several_mounts_start_one_worker(bell: Bell, work: bool) -> None:
    """Two mounts of one receiver start its work once, and the last one to leave stops it."""
    store = FakeStore()
    receiver = WebhookReceiver(bell.router, secrets=SECRET, inbox=store, work=work)
    async with receiver:
        async with receiver:
            assert store.working_now == work
        assert store.working_now == work
    assert store.working_now == 0


@pytest.mark.asyncio
async def test_a_start_that_fails_can_be_tried_again(bell: Bell, caplog: pytest.LogCaptureFixture) -> None:
    """If the inbox cannot be worked on, entering raises and counts for nothing; missing handlers are logged."""
    store = FakeStore()
    store.broken = True
    receiver = WebhookReceiver(bell.router, secrets=SECRET, inbox=store)
    with pytest.raises(OSError, match="no disk"):
        await receiver.__aenter__()
    store.broken = False
    async with receiver:
        assert store.working_now == 1
    assert "makes instant_payment.posted mandatory" in caplog.text


def router_of(*errors: BaseException | None) -> WebhookRouter:
    """A handler for each error, which raises it."""
    router = WebhookRouter("observed")

    def register(number: int, error: BaseException | None) -> None:
        async def handler(event: Any) -> None:
            if error is not None:
                raise error

        handler.__qualname__ = f"handler_{number}"
        router.posted(handler)

    for number, error in enumerate(errors):
        register(number, error)
    return router


@pytest.mark.asyncio
async def test_a_webhook_and_its_handlers_are_observed(clock: Any, make_body: Body, signed: Signed) -> None:
    """Each start and end, with the class of an error alone, and then the status of the response."""
    observations: list[Observation] = []
    router = router_of(None, ValueError("canary"), Defer(1), Discard("canary"))
    receiver = WebhookReceiver(router, secrets=SECRET, clock=clock, observer=observations.append)
    body = make_body()
    assert await receiver.receive(body=body, headers=signed(body)) == 500
    assert [type(one) for one in observations] == [SecretMatched, *[HandlerStarted, HandlerEnded] * 4, WebhookReceived]
    ends = [one for one in observations if isinstance(one, HandlerEnded)]
    assert [(one.status, one.error) for one in ends] == [
        ("succeeded", None),
        ("failed", "ValueError"),
        ("deferred", None),
        ("discarded", None),
    ]
    assert all(one.started is start for one, start in zip(ends, observations[1:9:2], strict=True))
    assert (ends[0].started.event_id, ends[0].started.event_type) == ("event_1", "instant_payment.posted")
    received = observations[-1]
    assert isinstance(received, WebhookReceived)
    assert received[:5] == (500, "failed", "event_1", "instant_payment.posted", ends[0].started.payment_id)
    assert "canary" not in repr(observations)


@pytest.mark.asyncio
async def test_what_is_new_in_a_webhook_is_observed(clock: Any, make_body: Body, signed: Signed) -> None:
    """With the event's ID, whether or not the event can be read."""
    observations: list[Observation] = []
    receiver = WebhookReceiver(router_of(), secrets=SECRET, clock=clock, observer=observations.append)
    for body in (make_body(fee=1), make_body(amount="5")):
        await receiver.receive(body=body, headers=signed(body))
    drifts = [(one.kind, one.object_id, one.where) for one in observations if isinstance(one, DriftSeen)]
    assert drifts == [("field", "event_1", "webhook"), ("type", "event_1", "webhook")]


@pytest.mark.asyncio
async def test_refusals_are_observed_with_their_reason(clock: Any, make_body: Body, signed: Signed) -> None:
    """Nothing is known of an event that is not authentic, and nothing of one that cannot be read."""
    observations: list[Observation] = []
    receiver = WebhookReceiver(router_of(), secrets=SECRET, clock=clock, observer=observations.append)
    for headers, body in (({}, b"{}"), (signed(b"{}"), b"{}"), (signed(b""), make_body())):
        await receiver.receive(body=body, headers=headers)
    assert receiver.refuse(403, "address", "a stranger") == 403
    assert [(one.status, one.result, one.event_id) for one in observations if isinstance(one, WebhookReceived)] == [
        (401, "missing_header", None),
        (400, "malformed", None),
        (401, "mismatch", None),
        (403, "address", None),
    ]


@pytest.mark.asyncio
async def test_the_end_of_a_cancelled_handler_is_observed(clock: Any, make_body: Body, signed: Signed) -> None:
    """An observer that opened something at the start can close it."""
    observations: list[Observation] = []
    started = asyncio.Event()
    router = WebhookRouter("observed")

    @router.posted
    async def hang(event: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    receiver = WebhookReceiver(router, secrets=SECRET, clock=clock, observer=observations.append)
    body = make_body()
    task = asyncio.create_task(receiver.receive(body=body, headers=signed(body)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ended = observations[-1]
    assert isinstance(ended, HandlerEnded)
    assert (ended.status, ended.error) == ("cancelled", "CancelledError")
