"""Traces and counts for OpenTelemetry; needs the extra: ``pip install 'leadpay[otel]'``.

One object observes a client, a receiver and a worker together, and knows which call sent the payment of a webhook::

    telemetry = Telemetry()
    lead = LeadClient.from_env(observer=telemetry)
    receiver = WebhookReceiver(router, secrets=..., observer=telemetry)

Only OpenTelemetry's API is used: without an SDK that the program has set up, nothing is recorded. Spans and metrics
follow its conventions for HTTP and messaging where there are any; what has none is called ``lead.*``::

    lead.send                             CLIENT    one call, with lead.payment.id and lead.outcome_unknown
      POST /v1/instant_payments           CLIENT    each attempt; the repetitions have http.request.resend_count
    receive instant_payment.posted        CONSUMER  an authentic webhook, linked to the call that sent its payment
    process instant_payment.posted        CONSUMER  one attempt of one handler, with the same link

What a webhook causes joins the trace of that call, too, unless it already belongs to a trace, such as that of a web
framework. Payment and event IDs are on spans, never on metrics. No name, account number, amount, body, secret or
idempotency key is anywhere, nor is an error's message.
"""

import re
from collections.abc import Mapping, MutableMapping
from contextvars import Token
from time import time_ns
from typing import Final, TypeAlias, get_args
from urllib.parse import urlsplit

import attrs

from leadpay import __version__
from leadpay.enums import EventType
from leadpay.errors import SignatureReason
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
    Observation,
    OutboxMeasured,
    SecretMatched,
    WebhookReceived,
)

try:
    from opentelemetry import context as contexts
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import (
        Link,
        Span,
        SpanKind,
        StatusCode,
        TracerProvider,
        get_current_span,
        get_tracer,
        set_span_in_context,
    )
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise ImportError("leadpay.otel needs an extra: pip install 'leadpay[otel]'", name="opentelemetry") from None

MAX_ORIGINS: Final = 10_000
"""How many sent payments are remembered with the span of their call, oldest out first: about three megabytes."""

DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets of durations in seconds, as OpenTelemetry's conventions want them."""

SENDING: Final = frozenset({"send", "return"})
"""The calls that make a payment."""

OTHER: Final = "_OTHER"
"""The name on metrics of every type of event that isn't listed, since anyone can make up new ones."""

Attributes: TypeAlias = dict[str, str | int | bool]

_W3C: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"
_REASONS: Final = frozenset(get_args(SignatureReason))
_ID: Final = re.compile(r"(?<=/)(?:instant_payment|account_number|account|event)_\w+(?=/|$)")
_PORTS: Final = {"http": 80, "https": 443}
_ERROR: Final = 400


@attrs.define(eq=False)
class _Work:
    """A call, an attempt or a handler run that has not ended. Only its task's context refers to it."""

    started: Observation
    span: Span
    outer: "_Work | None"
    token: Token[Context] | None = None


class Recent(dict[str, str]):
    """Remembers the last so many entries."""

    def __init__(self, limit: int = MAX_ORIGINS) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: str, value: str) -> None:
        """Add an entry, and drop the oldest if there are too many."""
        super().__setitem__(key, value)
        if len(self) > self._limit:
            del self[next(iter(self))]


class Telemetry:
    """An observer that makes spans and metrics of observations; see the module's docstring.

    While a call or a handler runs, its span is the current one, so that spans of your own are its children.
    Where one process sends and another one handles, let them share ``origins``, or there are no links.

    Args:
        tracer_provider: where spans go; the program's own if left out.
        meter_provider: where metrics go; the program's own if left out.
        origins: where the calls that sent payments are remembered, as W3C traceparents by payment ID; in this process
            if left out. It must return at once, such as a cache or a small table, and may forget what is old.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        origins: MutableMapping[str, str] | None = None,
    ) -> None:
        self._tracer = get_tracer("leadpay", __version__, tracer_provider)
        self._instruments = _Instruments(meter_provider)
        self._origins = Recent() if origins is None else origins
        self._key = contexts.create_key("leadpay")

    def __call__(self, observation: Observation) -> None:
        """Record an observation."""
        match observation:
            case CallStarted():
                self._start(
                    observation,
                    f"lead.{observation.operation}",
                    SpanKind.CLIENT,
                    {"lead.operation": observation.operation},
                )
            case AttemptStarted():
                self._start_attempt(observation)
            case AttemptEnded():
                self._end_attempt(observation)
            case CallEnded():
                self._end_call(observation)
            case WebhookReceived():
                self._receive(observation)
            case HandlerStarted():
                self._start_handler(observation)
            case HandlerEnded():
                self._end_handler(observation)
            case _:
                self._instruments.record(observation)

    # The client.

    def _start_attempt(self, observation: AttemptStarted) -> None:
        call = observation.call
        attributes = _request(call)
        # IDs are on spans only, so the template names the span, and the URL stays off the metrics.
        name = f"{call.method} {attributes['url.template']}"
        if call.base_url is not None:
            attributes["url.full"] = call.base_url + call.path
        if observation.number > 1:
            attributes["http.request.resend_count"] = observation.number - 1
            self._instruments.retries.add(1, {"lead.operation": call.operation})
        self._start(observation, name, SpanKind.CLIENT, attributes)

    def _end_attempt(self, observation: AttemptEnded) -> None:
        response: Attributes = {}
        error = observation.error
        if observation.status is not None:
            response["http.response.status_code"] = observation.status
            error = str(observation.status) if observation.status >= _ERROR else None
        if error is not None:
            response["error.type"] = error
        self._instruments.requests.record(observation.seconds, {**_request(observation.started.call), **response})
        if observation.request_id is not None:
            response["lead.request.id"] = observation.request_id
        self._end(observation.started, response, failed=error is not None)

    def _end_call(self, observation: CallEnded) -> None:
        operation: Attributes = {"lead.operation": observation.started.operation}
        if observation.outcome_unknown:
            self._instruments.outcomes_unknown.add(1, operation)
        result = _error(observation.error)
        self._instruments.calls.record(observation.seconds, {**operation, **result})
        result |= {"lead.attempts": observation.attempts, "lead.outcome_unknown": observation.outcome_unknown}
        if observation.payment_id is not None:
            result["lead.payment.id"] = observation.payment_id
        span = self._end(observation.started, result, failed=observation.error is not None)
        if span is not None and observation.payment_id is not None and observation.started.operation in SENDING:
            carrier: dict[str, str] = {}
            _W3C.inject(carrier, set_span_in_context(span))
            if carrier:
                self._origins[observation.payment_id] = carrier[_TRACEPARENT]

    # Webhooks.

    def _receive(self, observation: WebhookReceived) -> None:
        self._instruments.count(observation)
        if observation.event_id is None or observation.event_type is None:
            # A webhook that is not the bank's is only counted: strangers must not be able to fill the traces.
            return
        end = time_ns()
        attributes = _message("receive", observation.event_type, observation.event_id, observation.payment_id)
        attributes |= {"lead.webhook.result": observation.result, "http.response.status_code": observation.status}
        parent, links = self._origin(observation.payment_id)
        span = self._tracer.start_span(
            f"receive {observation.event_type}",
            parent,
            SpanKind.CONSUMER,
            attributes,
            links,
            start_time=end - int(observation.seconds * 1e9),
        )
        if observation.status >= _ERROR:
            span.set_attribute("error.type", str(observation.status))
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def _start_handler(self, observation: HandlerStarted) -> None:
        attributes = _message("process", observation.event_type, observation.event_id, observation.payment_id)
        attributes |= {
            "messaging.consumer.group.name": observation.handler,
            "lead.handler.attempt": observation.attempt,
        }
        self._start(
            observation, f"process {observation.event_type}", SpanKind.CONSUMER, attributes, observation.payment_id
        )

    def _end_handler(self, observation: HandlerEnded) -> None:
        started = observation.started
        result: Attributes = {"lead.handler.status": observation.status, **_error(observation.error)}
        common = {"messaging.system": "lead", "messaging.operation.name": "process"}
        handler = _handler_attributes(started.event_type, started.handler)
        self._instruments.handlers.record(observation.seconds, {**common, **handler, **result})
        self._end(started, result, failed=observation.error is not None)

    def _origin(self, payment_id: str | None) -> tuple[Context | None, list[Link]]:
        """Find the parent of a webhook's span, unless it is the current one, and link the call that sent it."""
        if payment_id is None:
            return None, []
        parent = _W3C.extract({_TRACEPARENT: self._origins.get(payment_id, "")})
        origin = get_current_span(parent).get_span_context()
        if not origin.is_valid:
            return None, []
        ambient = get_current_span().get_span_context().is_valid
        return None if ambient else parent, [Link(origin)]

    # Starts and ends.

    def _start(
        self, observation: Observation, name: str, kind: SpanKind, attributes: Attributes, payment_id: str | None = None
    ) -> None:
        parent, links = self._origin(payment_id)
        span = self._tracer.start_span(name, parent, kind, attributes, links)
        outer = contexts.get_value(self._key)
        work = _Work(observation, span, outer if isinstance(outer, _Work) else None)
        work.token = contexts.attach(contexts.set_value(self._key, work, set_span_in_context(span)))

    def _end(self, started: Observation, attributes: Attributes, *, failed: bool) -> Span | None:
        """End a span in the task that started it; None if that task's context is gone."""
        work = contexts.get_value(self._key)
        while isinstance(work, _Work) and work.started is not started:
            work = work.outer
        if not isinstance(work, _Work) or work.token is None:
            return None
        contexts.detach(work.token)
        work.span.set_attributes(attributes)
        if failed:
            work.span.set_status(StatusCode.ERROR)
        work.span.end()
        return work.span


class _Instruments:
    """What is counted and measured."""

    def __init__(self, provider: MeterProvider | None) -> None:
        meter = get_meter("leadpay", __version__, provider)
        self.requests = meter.create_histogram(
            "http.client.request.duration", "s", "Each attempt", explicit_bucket_boundaries_advisory=DURATIONS
        )
        self.calls = meter.create_histogram(
            "lead.call.duration", "s", "Calls, pauses included", explicit_bucket_boundaries_advisory=DURATIONS
        )
        self.handlers = meter.create_histogram(
            "messaging.process.duration", "s", "Each handler", explicit_bucket_boundaries_advisory=DURATIONS
        )
        self.retries = meter.create_counter("lead.call.retries", "{attempt}", "Attempts after the first")
        self.outcomes_unknown = meter.create_counter(
            "lead.call.outcomes_unknown", "{call}", "Writes that may or may not have happened"
        )
        self.webhooks = meter.create_counter("lead.webhooks", "{webhook}", "Webhooks by result")
        self.signatures = meter.create_counter(
            "lead.webhook.signature_failures", "{webhook}", "Webhooks refused for their signature, by reason"
        )
        self.duplicates = meter.create_counter("lead.webhook.duplicates", "{webhook}", "Events that came again")
        self.secrets = meter.create_counter("lead.webhook.verifications", "{webhook}", "Webhooks by signing secret")
        self.secret_times = meter.create_gauge(
            "lead.webhook.secret.last_verified", "s", "When a signing secret last verified a webhook, since 1970"
        )
        self.dead_letters = meter.create_counter(
            "lead.inbox.dead_letters", "{event}", "Handlers that gave up on an event"
        )
        self.blocked = meter.create_histogram(
            "lead.handler.blocked",
            "s",
            "Handlers that blocked the event loop",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self.paused = meter.create_counter(
            "lead.handler.paused", "{pause}", "Pauses of handlers that timed out again and again"
        )
        self.drift = meter.create_counter("lead.drift", "{object}", "Objects with what this version does not know")
        self.waiting = meter.create_gauge("lead.inbox.waiting", "{event}", "Events that wait")
        self.dead = meter.create_gauge("lead.inbox.dead", "{event}", "Dead letters: events that need a person")
        self.oldest = meter.create_gauge(
            "lead.inbox.oldest_waiting.age", "s", "How long ago the longest-waiting event was received; 0 if none waits"
        )
        self.instruction_attempts = meter.create_counter(
            "lead.outbox.attempts", "{attempt}", "Attempts to send an instruction, by how they ended"
        )
        self.instructions = meter.create_gauge("lead.outbox.instructions", "{instruction}", "Instructions by state")
        self.needs_person = meter.create_gauge(
            "lead.outbox.needs_person", "{instruction}", "Instructions in doubt that only a person can resolve"
        )
        self.oldest_queued = meter.create_gauge(
            "lead.outbox.oldest_queued.age", "s", "How long ago the head of the queue was queued; 0 if nothing waits"
        )

    def count(self, observation: WebhookReceived) -> None:
        self.webhooks.add(1, {"lead.webhook.result": observation.result})
        if observation.result in _REASONS:
            self.signatures.add(1, {"lead.signature.reason": observation.result})
        if observation.result == "duplicate":
            self.duplicates.add(1)

    def record(self, observation: Observation) -> None:
        """Record what has no span."""
        match observation:
            case HandlerBlocked():
                attributes = _handler_attributes(observation.event_type, observation.handler)
                self.blocked.record(observation.seconds, attributes)
            case HandlerPaused():
                self.paused.add(1, {"messaging.consumer.group.name": observation.handler})
            case DeadLettered():
                self.dead_letters.add(1, _handler_attributes(observation.event_type, observation.handler))
            case DriftSeen():
                self.drift.add(1, {"lead.drift.kind": observation.kind, "lead.drift.owner": observation.owner})
            case InboxMeasured():
                self.waiting.set(observation.waiting)
                self.dead.set(observation.dead)
                self.oldest.set(observation.oldest_waiting_seconds or 0.0)
            case InstructionEnded():
                result = "needs_person" if observation.needs_person else observation.result
                where: Attributes = {"lead.operation": observation.operation, "lead.outbox.result": result}
                self.instruction_attempts.add(1, where)
            case OutboxMeasured():
                for state, number in observation.by_state.items():
                    self.instructions.set(number, {"lead.outbox.state": state})
                self.needs_person.set(observation.needs_person)
                self.oldest_queued.set(observation.oldest_queued_seconds or 0.0)
            case SecretMatched():
                secret: Attributes = {
                    "lead.secret.fingerprint": observation.fingerprint,
                    "lead.secret.position": observation.position,
                }
                self.secrets.add(1, secret)
                self.secret_times.set(time_ns() // 10**9, secret)


def _request(call: CallStarted) -> Attributes:
    """Describe a request for metrics: without the IDs in its path."""
    attributes: Attributes = {"http.request.method": call.method, "url.template": _ID.sub("{id}", call.path)}
    if call.base_url is not None:
        url = urlsplit(call.base_url)
        attributes |= {"server.address": url.hostname or "", "server.port": url.port or _PORTS[url.scheme]}
    return attributes


def _message(operation: str, event_type: str, event_id: str, payment_id: str | None) -> Attributes:
    attributes: Attributes = {
        "messaging.system": "lead",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": event_type,
        "messaging.message.id": event_id,
    }
    if payment_id is not None:
        attributes["lead.payment.id"] = payment_id
    return attributes


def _handler_attributes(event_type: str, handler: str) -> Mapping[str, str]:
    """Describe a handler run for metrics."""
    known = event_type if EventType(event_type).is_known else OTHER
    return {"messaging.destination.name": known, "messaging.consumer.group.name": handler}


def _error(name: str | None) -> Attributes:
    return {} if name is None else {"error.type": name}
