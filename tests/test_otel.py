"""What Telemetry makes of each observation; a whole trace is in the scenarios."""

import asyncio
import contextvars
import gc
import runpy
import sys
import time
import weakref
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import leadpay.otel
from leadpay.instrumentation import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    DeadLettered,
    DriftSeen,
    HandlerBlocked,
    HandlerEnded,
    HandlerPaused,
    HandlerStarted,
    InboxMeasured,
    InstructionEnded,
    OutboxMeasured,
    SecretMatched,
    WebhookReceived,
)
from leadpay.otel import Recent, Telemetry
from tests.support.telemetry import RecordedTelemetry

POSTED = "instant_payment.posted"
PAYMENT = "instant_payment_1"
SEND = CallStarted("send", "POST", "/v1/instant_payments", "mine", "https://api.lead.bank")
SENT = CallEnded(SEND, 1, None, False, PAYMENT, 0.1)
WEBHOOK = WebhookReceived(200, "accepted", "event_1", POSTED, PAYMENT, 2.0)


def handler_started(payment_id: str | None = PAYMENT, event_type: str = POSTED) -> HandlerStarted:
    return HandlerStarted("app:credit", "event_1", event_type, payment_id, 2, datetime.now(UTC))


def handled(
    started: HandlerStarted,
    status: Literal["succeeded", "failed", "deferred", "discarded", "cancelled"] = "succeeded",
    error: str | None = None,
) -> HandlerEnded:
    return HandlerEnded(started, status, error, 0.5)


def notify(telemetry: Telemetry, *observations: Any) -> None:
    for observation in observations:
        telemetry(observation)


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def attributes(recorded: RecordedTelemetry, name: str, number: int = 0) -> dict[str, Any]:
    return dict(recorded.span(name, number).attributes or {})


def test_a_call_has_a_span_and_each_attempt_a_child(recorded: RecordedTelemetry) -> None:
    """By the conventions of HTTP; what repeats says which repetition it is."""
    first, second = AttemptStarted(SEND, 1), AttemptStarted(SEND, 2)
    notify(recorded.telemetry, SEND, first, AttemptEnded(first, 503, None, 0.1, None))
    notify(recorded.telemetry, second, AttemptEnded(second, 200, None, 0.2, "r-2"), SENT._replace(attempts=2))
    name = "POST /v1/instant_payments"
    assert recorded.names == [name, name, "lead.send"]
    call, failed, fine = recorded.span("lead.send"), recorded.span(name), recorded.span(name, 1)
    assert {span.kind for span in recorded.spans} == {SpanKind.CLIENT}
    assert [span.parent.span_id for span in (failed, fine) if span.parent] == [call.context.span_id] * 2
    request = {
        "http.request.method": "POST",
        "url.template": "/v1/instant_payments",
        "url.full": "https://api.lead.bank/v1/instant_payments",
        "server.address": "api.lead.bank",
        "server.port": 443,
    }
    assert attributes(recorded, name) == {**request, "http.response.status_code": 503, "error.type": "503"}
    assert attributes(recorded, name, 1) == {
        **request,
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
        "lead.request.id": "r-2",
    }
    assert attributes(recorded, "lead.send") == {
        "lead.operation": "send",
        "lead.attempts": 2,
        "lead.outcome_unknown": False,
        "lead.payment.id": PAYMENT,
    }
    codes = [span.status.status_code for span in (failed, fine, call)]
    assert codes == [StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_call_without_a_response_is_an_error_and_counted(recorded: RecordedTelemetry) -> None:
    """By the class of the error alone; nothing else of it is known here."""
    attempt = AttemptStarted(SEND, 1)
    notify(recorded.telemetry, SEND, attempt, AttemptEnded(attempt, None, "NoAnswerError", 20.0, None))
    notify(recorded.telemetry, CallEnded(SEND, 1, "OutcomeUnknownError", True, None, 60.0))
    assert attributes(recorded, "POST /v1/instant_payments")["error.type"] == "NoAnswerError"
    assert attributes(recorded, "lead.send") == {
        "lead.operation": "send",
        "lead.attempts": 1,
        "lead.outcome_unknown": True,
        "error.type": "OutcomeUnknownError",
    }
    assert recorded.span("lead.send").status.status_code is StatusCode.ERROR
    assert recorded.points()["lead.call.outcomes_unknown"] == [(1, {"lead.operation": "send"})]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/instant_payments/instant_payment_9/cancel", "/v1/instant_payments/{id}/cancel"),
        ("/v1/event/event_9", "/v1/event/{id}"),
        ("/v1/simulate/instant_payments/incoming", "/v1/simulate/instant_payments/incoming"),
    ],
)
def test_ids_are_on_spans_and_never_in_names_or_metrics(path: str, template: str, recorded: RecordedTelemetry) -> None:
    """Else every payment would be a time series of its own. Where the bank is may be unknown."""
    call = CallStarted("cancel", "POST", path, None)
    attempt = AttemptStarted(call, 1)
    notify(recorded.telemetry, call, attempt, AttemptEnded(attempt, 200, None, 0.1, None))
    notify(recorded.telemetry, CallEnded(call, 1, None, False, None, 0.1))
    assert recorded.names == [f"POST {template}", "lead.cancel"]
    [(count, found)] = recorded.points()["http.client.request.duration"]
    assert (count, found["url.template"], "server.address" in found) == (1, template, False)


def test_a_handler_s_span_is_linked_to_the_call_that_sent_its_payment(recorded: RecordedTelemetry) -> None:
    """And joins its trace; so does the webhook, which is recorded of when it is over."""
    started = handler_started()
    notify(recorded.telemetry, SEND, SENT, started, handled(started), WEBHOOK)
    call, received, handler = (recorded.span(name) for name in ("lead.send", f"receive {POSTED}", f"process {POSTED}"))
    for span in (received, handler):
        assert span.kind is SpanKind.CONSUMER
        assert links(span) == [(call.context.trace_id, call.context.span_id)]
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == (call.context.trace_id, call.context.span_id)
    assert attributes(recorded, f"process {POSTED}") == {
        "messaging.system": "lead",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": POSTED,
        "messaging.message.id": "event_1",
        "messaging.consumer.group.name": "app:credit",
        "lead.payment.id": PAYMENT,
        "lead.handler.attempt": 2,
        "lead.handler.status": "succeeded",
    }
    assert received.start_time is not None
    assert received.end_time is not None
    assert received.end_time - received.start_time == 2_000_000_000


def test_a_webhook_within_a_trace_stays_there_and_is_linked(recorded: RecordedTelemetry) -> None:
    """A web framework's span is the parent."""
    started = handler_started()
    notify(recorded.telemetry, SEND, SENT)
    with recorded.tracers.get_tracer("web").start_as_current_span("POST /webhooks/lead") as web:
        notify(recorded.telemetry, started, handled(started), WEBHOOK)
    for name in (f"receive {POSTED}", f"process {POSTED}"):
        assert recorded.span(name).parent == web.get_span_context()
        sent = recorded.span("lead.send").context
        assert links(recorded.span(name)) == [(sent.trace_id, sent.span_id)]


@pytest.mark.parametrize("operation", ["retrieve", "cancel"])
def test_a_call_that_only_asks_about_a_payment_is_not_its_origin(operation: str, recorded: RecordedTelemetry) -> None:
    """Only what made the payment is."""
    call = SEND._replace(operation=operation)
    notify(recorded.telemetry, call, CallEnded(call, 1, None, False, PAYMENT, 0.1), WEBHOOK)
    assert recorded.span(f"receive {POSTED}").links == ()


def test_no_more_payments_are_remembered_than_the_limit(recorded: RecordedTelemetry) -> None:
    """The oldest goes first; a call that is not recorded is no origin."""
    recent = Recent(limit=1)
    telemetry = recorded.new(origins=recent)
    for number in (1, 2):
        call = SEND._replace(idempotency_key=str(number))
        notify(telemetry, call, SENT._replace(started=call, payment_id=f"instant_payment_{number}"))
    notify(
        telemetry, WEBHOOK._replace(payment_id="instant_payment_1"), WEBHOOK._replace(payment_id="instant_payment_2")
    )
    assert [len(recorded.span(f"receive {POSTED}", number).links) for number in (0, 1)] == [0, 1]
    recent.clear()
    notify(Telemetry(tracer_provider=trace.NoOpTracerProvider(), origins=recent), SEND, SENT)
    assert not recent


def test_processes_that_share_their_origins_share_a_trace(recorded: RecordedTelemetry) -> None:
    """One sends, another one handles; what they share is text."""
    shared: dict[str, str] = {}
    started = handler_started()
    notify(recorded.new(origins=shared), SEND, SENT)
    notify(recorded.new(origins=shared), started, handled(started))
    sent, ran = recorded.span("lead.send").context, recorded.span(f"process {POSTED}")
    assert shared == {PAYMENT: f"00-{sent.trace_id:032x}-{sent.span_id:016x}-{sent.trace_flags:02x}"}
    assert links(ran) == [(sent.trace_id, sent.span_id)]
    assert ran.context.trace_id == sent.trace_id
    shared[PAYMENT] = "garbled"
    notify(recorded.new(origins=shared), WEBHOOK)
    assert links(recorded.span(f"receive {POSTED}")) == []


def test_a_webhook_that_was_not_accepted_says_so(recorded: RecordedTelemetry) -> None:
    """The status is what the bank was recorded."""
    notify(recorded.telemetry, WEBHOOK._replace(status=500, result="failed"))
    found = attributes(recorded, f"receive {POSTED}")
    assert (found["error.type"], found["lead.webhook.result"]) == ("500", "failed")
    assert recorded.span(f"receive {POSTED}").status.status_code is StatusCode.ERROR


def test_webhooks_are_counted_by_result_and_strangers_leave_no_span(recorded: RecordedTelemetry) -> None:
    """Signature failures have their reason."""
    refused = WebhookReceived(401, "too_old", None, None, None, 0.0)
    notify(recorded.telemetry, WEBHOOK, WEBHOOK._replace(result="duplicate"), refused, refused)
    assert recorded.names == [f"receive {POSTED}"] * 2
    points = recorded.points()
    assert {found["lead.webhook.result"]: count for count, found in points["lead.webhooks"]} == {
        "accepted": 1,
        "duplicate": 1,
        "too_old": 2,
    }
    assert points["lead.webhook.signature_failures"] == [(2, {"lead.signature.reason": "too_old"})]
    assert points["lead.webhook.duplicates"] == [(1, {})]


def test_a_failing_handler_is_an_error_and_a_deferring_one_is_not(recorded: RecordedTelemetry) -> None:
    """Metrics tell handlers apart, and types of events that are listed."""
    failing, deferring = handler_started(), handler_started(None, "made.up")
    notify(recorded.telemetry, failing, handled(failing, "failed", "ValueError"))
    notify(recorded.telemetry, deferring, handled(deferring, "deferred"))
    codes = [span.status.status_code for span in recorded.spans]
    assert codes == [StatusCode.ERROR, StatusCode.UNSET]
    assert attributes(recorded, f"process {POSTED}")["error.type"] == "ValueError"
    assert "lead.payment.id" not in attributes(recorded, "process made.up")
    found = [one for _, one in recorded.points()["messaging.process.duration"]]
    assert [one["messaging.destination.name"] for one in found] == [POSTED, "_OTHER"]
    assert [one["lead.handler.status"] for one in found] == ["failed", "deferred"]


def test_verifications_are_counted_by_secret(recorded: RecordedTelemetry) -> None:
    """By its fingerprint and its position, with the time of the last one."""
    notify(recorded.telemetry, SecretMatched("9ccd2ba5", 2), SecretMatched("9ccd2ba5", 2))
    secret = {"lead.secret.fingerprint": "9ccd2ba5", "lead.secret.position": 2}
    assert recorded.points()["lead.webhook.verifications"] == [(2, secret)]
    [(when, found)] = recorded.points()["lead.webhook.secret.last_verified"]
    assert found == secret
    assert 0 <= time.time() - when < 60


def test_handlers_that_block_or_are_paused_are_counted(recorded: RecordedTelemetry) -> None:
    """By handler, and where it is known by type of event."""
    blocked = HandlerBlocked("app:credit", "event_1", POSTED, PAYMENT, 1.5)
    notify(recorded.telemetry, blocked, HandlerPaused("app:credit", 5, 30.0))
    points = recorded.points()
    handler = {"messaging.consumer.group.name": "app:credit"}
    assert [where for _, where in points["lead.handler.blocked"]] == [{"messaging.destination.name": POSTED, **handler}]
    assert points["lead.handler.paused"] == [(1, handler)]


def test_drift_is_counted_by_its_kind_and_owner(recorded: RecordedTelemetry) -> None:
    """The word or field is no attribute, since there may be any number of them."""
    notify(recorded.telemetry, DriftSeen("word", "ReturnReason", "brand_new", PAYMENT, "retrieve"))
    where = {"lead.drift.kind": "word", "lead.drift.owner": "ReturnReason"}
    assert recorded.points()["lead.drift"] == [(1, where)]


def test_the_inbox_is_measured_and_dead_letters_are_counted(recorded: RecordedTelemetry) -> None:
    """An age of zero means that nothing waits."""
    notify(recorded.telemetry, DeadLettered("app:credit", "event_1", POSTED, PAYMENT, 5), InboxMeasured(3, 1, 42.5))
    points = recorded.points()
    where = {"messaging.destination.name": POSTED, "messaging.consumer.group.name": "app:credit"}
    assert points["lead.inbox.dead_letters"] == [(1, where)]
    assert points["lead.inbox.oldest_waiting.age"] == [(42.5, {})]
    assert (points["lead.inbox.waiting"], points["lead.inbox.dead"]) == ([(3, {})], [(1, {})])
    notify(recorded.telemetry, InboxMeasured(0, 0, None))
    assert recorded.points()["lead.inbox.oldest_waiting.age"] == [(0.0, {})]


def test_the_outbox_is_measured_and_attempts_are_counted(recorded: RecordedTelemetry) -> None:
    """What needs a person has a result and a gauge of its own."""
    ended = InstructionEnded("invoice-1", "send", "in_doubt", None, 3, needs_person=True)
    notify(recorded.telemetry, ended, ended._replace(needs_person=False), OutboxMeasured({"queued": 3}, 1, 42.5))
    points = recorded.points()
    where = {"lead.operation": "send"}
    assert points["lead.outbox.attempts"] == [
        (1, {**where, "lead.outbox.result": "needs_person"}),
        (1, {**where, "lead.outbox.result": "in_doubt"}),
    ]
    assert points["lead.outbox.instructions"] == [(3, {"lead.outbox.state": "queued"})]
    assert (points["lead.outbox.needs_person"], points["lead.outbox.oldest_queued.age"]) == ([(1, {})], [(42.5, {})])


@pytest.mark.asyncio
async def test_tasks_side_by_side_keep_their_spans_apart(recorded: RecordedTelemetry) -> None:
    """A span of the user's own is a child of the handler that it runs in."""
    tracer = recorded.tracers.get_tracer("user")
    both_run = asyncio.Barrier(2)

    async def handle(number: int) -> None:
        started = handler_started()._replace(handler=f"app:handler_{number}")
        recorded.telemetry(started)
        await both_run.wait()
        with tracer.start_as_current_span(f"mine {number}"):
            await both_run.wait()
        recorded.telemetry(handled(started))

    await asyncio.gather(handle(1), handle(2))
    handlers = {attributes(recorded, f"process {POSTED}", n)["messaging.consumer.group.name"]: n for n in (0, 1)}
    for number in (1, 2):
        handler = recorded.span(f"process {POSTED}", handlers[f"app:handler_{number}"])
        assert recorded.span(f"mine {number}").parent == handler.context


@pytest.mark.asyncio
async def test_what_never_ends_is_forgotten_with_its_task(recorded: RecordedTelemetry) -> None:
    """And an end that is recorded elsewhere ends nothing, and is measured all the same."""
    lost: list[weakref.ref[Any]] = []

    async def start() -> None:
        recorded.telemetry(SEND)
        lost.append(weakref.ref(trace.get_current_span()))

    await asyncio.create_task(start())
    await asyncio.sleep(0)  # the event loop itself holds on to what it ran last
    gc.collect()
    assert [one() for one in lost] == [None]
    notify(recorded.telemetry, CallEnded(SEND, 1, "CancelledError", True, None, 1.0))
    assert recorded.spans == []
    assert recorded.points()["lead.call.outcomes_unknown"] == [(1, {"lead.operation": "send"})]


def test_an_end_closes_what_was_left_open_within(recorded: RecordedTelemetry) -> None:
    """Also where an attempt's end was never recorded: the call's own context is what it was before."""

    def observe() -> None:
        notify(recorded.telemetry, SEND, AttemptStarted(SEND, 1), SENT)
        assert trace.get_current_span() is trace.INVALID_SPAN

    contextvars.copy_context().run(observe)
    assert recorded.names == ["lead.send"]


def test_a_observation_of_a_later_version_is_passed_over(recorded: RecordedTelemetry) -> None:
    """There will be more of them."""
    notify(recorded.telemetry, object())
    assert (recorded.spans, recorded.points()) == ([], {})


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that can be pasted."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'leadpay\[otel\]'"):
        runpy.run_path(str(leadpay.otel.__file__))
