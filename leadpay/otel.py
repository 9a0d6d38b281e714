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

from collections.abc import Callable, MutableMapping
from contextvars import Token
from time import time_ns
from typing import Final

import attrs

from leadpay import __version__
from leadpay.instrumentation import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    HandlerEnded,
    HandlerStarted,
    Observation,
    WebhookReceived,
)
from leadpay.measurements import (
    DURATIONS,
    INSTRUMENTS,
    Attributes,
    error_attributes,
    measure,
    request_attributes,
    response_attributes,
)

try:
    from opentelemetry import context as contexts
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider, get_meter
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

SENDING: Final = frozenset({"send", "return"})
"""The calls that make a payment."""

_W3C: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"
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
        self._record = _recorders(get_meter("leadpay", __version__, meter_provider))
        self._origins = Recent() if origins is None else origins
        self._key = contexts.create_key("leadpay")

    def __call__(self, observation: Observation) -> None:
        """Record an observation."""
        for measurement in measure(observation, time_ns() / 1e9):
            self._record[measurement.instrument](measurement.value, measurement.attributes)
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

    # The client.

    def _start_attempt(self, observation: AttemptStarted) -> None:
        call = observation.call
        attributes = request_attributes(call)
        # IDs are on spans only, so the template names the span, and the URL stays off the metrics.
        name = f"{call.method} {attributes['url.template']}"
        if call.base_url is not None:
            attributes["url.full"] = call.base_url + call.path
        if observation.number > 1:
            attributes["http.request.resend_count"] = observation.number - 1
        self._start(observation, name, SpanKind.CLIENT, attributes)

    def _end_attempt(self, observation: AttemptEnded) -> None:
        response = response_attributes(observation)
        failed = "error.type" in response
        if observation.request_id is not None:
            response["lead.request.id"] = observation.request_id
        self._end(observation.started, response, failed=failed)

    def _end_call(self, observation: CallEnded) -> None:
        result = error_attributes(observation.error)
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
        result: Attributes = {"lead.handler.status": observation.status, **error_attributes(observation.error)}
        self._end(observation.started, result, failed=observation.error is not None)

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


def _recorders(meter: Meter) -> dict[str, Callable[[float, Attributes], None]]:
    """Create every instrument, and return what records a value of it."""
    recorders: dict[str, Callable[[float, Attributes], None]] = {}
    for one in INSTRUMENTS.values():
        if one.kind == "counter":
            recorders[one.name] = meter.create_counter(one.name, one.unit, one.description).add
        elif one.kind == "gauge":
            recorders[one.name] = meter.create_gauge(one.name, one.unit, one.description).set
        else:
            histogram = meter.create_histogram(
                one.name, one.unit, one.description, explicit_bucket_boundaries_advisory=DURATIONS
            )
            recorders[one.name] = histogram.record
    return recorders


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
