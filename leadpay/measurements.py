"""What observations are counted and measured as, written once for OpenTelemetry and for Prometheus. Pure.

No payment, event or key is ever an attribute, nor anything else that a stranger could make new values of.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, get_args
from urllib.parse import urlsplit

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
    InboxMeasured,
    InstructionEnded,
    Observation,
    OutboxMeasured,
    SecretMatched,
    WebhookReceived,
)

Attributes: TypeAlias = dict[str, str | int | bool]

OTHER: Final = "_OTHER"
"""The name on metrics of every type of event that isn't listed, since anyone can make up new ones."""

DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets of durations in seconds, as OpenTelemetry's conventions want them."""

OPERATIONS: Final = ("send", "cancel", "return", "request_return", "reject_return_request")
"""The client's writes about payments."""

REASONS: Final[tuple[str, ...]] = get_args(SignatureReason)

RESULTS: Final = (
    *("accepted", "duplicate", "failed", "unreadable", "malformed", "not_stored", "too_many", "address"),
    *("encoded", "too_large", "too_slow", "crowded", "cut_off"),
    *REASONS,
)
"""What a receiver counts webhooks under."""

OUTBOX_STATES: Final = ("held", "queued", "sending", "accepted", "refused", "withdrawn", "in_doubt")

_OPERATION: Final = "lead.operation"
_HANDLER: Final = "messaging.consumer.group.name"
_TYPE: Final = "messaging.destination.name"
_ERROR: Final = "error.type"
_SERVER: Final = ("http.request.method", "url.template", "server.address", "server.port")
_ID: Final = re.compile(r"(?<=/)(?:instant_payment|account_number|account|event)_\w+(?=/|$)")
_PORTS: Final = {"http": 80, "https": 443}
_FIRST_ERROR_STATUS: Final = 400


class Instrument(NamedTuple):
    """A metric."""

    name: str
    """By OpenTelemetry's conventions, else ``lead.*``."""
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    """``s``, or what is counted in braces."""
    description: str
    attributes: Mapping[str, tuple[str, ...]] = {}
    """Attribute -> the values that are known beforehand; none where they depend on the program or the bank."""


INSTRUMENTS: Final = {
    one.name: one
    for one in (
        Instrument(
            "http.client.request.duration",
            "histogram",
            "s",
            "Each attempt",
            dict.fromkeys((*_SERVER, "http.response.status_code", _ERROR), ()),
        ),
        Instrument("lead.call.duration", "histogram", "s", "Calls, pauses included", {_OPERATION: (), _ERROR: ()}),
        Instrument("lead.call.retries", "counter", "{attempt}", "Attempts after the first", {_OPERATION: OPERATIONS}),
        Instrument(
            "lead.call.outcomes_unknown",
            "counter",
            "{call}",
            "Writes that may or may not have happened",
            {_OPERATION: OPERATIONS},
        ),
        Instrument("lead.webhooks", "counter", "{webhook}", "Webhooks by result", {"lead.webhook.result": RESULTS}),
        Instrument(
            "lead.webhook.signature_failures",
            "counter",
            "{webhook}",
            "Webhooks refused for their signature, by reason",
            {"lead.signature.reason": REASONS},
        ),
        Instrument("lead.webhook.duplicates", "counter", "{webhook}", "Events that came again"),
        Instrument(
            "lead.webhook.verifications",
            "counter",
            "{webhook}",
            "Webhooks by signing secret",
            {"lead.secret.fingerprint": (), "lead.secret.position": ()},
        ),
        Instrument(
            "lead.webhook.secret.last_verified",
            "gauge",
            "s",
            "When a signing secret last verified a webhook, since 1970",
            {"lead.secret.fingerprint": (), "lead.secret.position": ()},
        ),
        Instrument(
            "messaging.process.duration",
            "histogram",
            "s",
            "Each handler",
            dict.fromkeys(
                ("messaging.system", "messaging.operation.name", _TYPE, _HANDLER, "lead.handler.status", _ERROR), ()
            ),
        ),
        Instrument(
            "lead.handler.blocked",
            "histogram",
            "s",
            "Handlers that blocked the event loop",
            {_TYPE: (), _HANDLER: ()},
        ),
        Instrument(
            "lead.handler.paused",
            "counter",
            "{pause}",
            "Pauses of handlers that timed out again and again",
            {_HANDLER: ()},
        ),
        Instrument(
            "lead.inbox.dead_letters",
            "counter",
            "{event}",
            "Handlers that gave up on an event",
            {_TYPE: (), _HANDLER: ()},
        ),
        Instrument(
            "lead.drift",
            "counter",
            "{object}",
            "Objects with what this version does not know",
            {"lead.drift.kind": (), "lead.drift.owner": ()},
        ),
        Instrument("lead.inbox.waiting", "gauge", "{event}", "Events that wait"),
        Instrument("lead.inbox.dead", "gauge", "{event}", "Dead letters: events that need a person"),
        Instrument("lead.inbox.unhandled", "gauge", "{event}", "Events that no handler took"),
        Instrument("lead.inbox.unreadable", "gauge", "{event}", "Authentic events that cannot be read"),
        Instrument(
            "lead.inbox.oldest_waiting.age",
            "gauge",
            "s",
            "How long ago the longest-waiting event was received; 0 if none waits",
        ),
        Instrument(
            "lead.outbox.attempts",
            "counter",
            "{attempt}",
            "Attempts to send an instruction, by how they ended",
            {
                _OPERATION: OPERATIONS,
                "lead.outbox.result": ("accepted", "refused", "in_doubt", "not_sent", "needs_person"),
            },
        ),
        Instrument(
            "lead.outbox.instructions",
            "gauge",
            "{instruction}",
            "Instructions by state",
            {"lead.outbox.state": OUTBOX_STATES},
        ),
        Instrument(
            "lead.outbox.needs_person", "gauge", "{instruction}", "Instructions in doubt that only a person can resolve"
        ),
        Instrument(
            "lead.outbox.oldest_queued.age",
            "gauge",
            "s",
            "How long ago the head of the queue was queued; 0 if nothing waits",
        ),
    )
}
"""Every metric, by its name."""


class Measurement(NamedTuple):
    """One value of one instrument: what a counter grows by, a gauge is set to, or a histogram records."""

    instrument: str
    value: float
    attributes: Attributes


def measure(observation: Observation, now: float) -> Iterator[Measurement]:
    """Turn an observation into measurements.

    Args:
        observation: what an observer was told.
        now: the present time in seconds since 1970.
    """
    match observation:
        case AttemptStarted() if observation.number > 1:
            yield Measurement("lead.call.retries", 1, {_OPERATION: observation.call.operation})
        case AttemptEnded():
            attributes = {**request_attributes(observation.started.call), **response_attributes(observation)}
            yield Measurement("http.client.request.duration", observation.seconds, attributes)
        case CallEnded():
            operation: Attributes = {_OPERATION: observation.started.operation}
            if observation.outcome_unknown:
                yield Measurement("lead.call.outcomes_unknown", 1, operation)
            yield Measurement(
                "lead.call.duration", observation.seconds, operation | error_attributes(observation.error)
            )
        case DriftSeen():
            yield Measurement(
                "lead.drift", 1, {"lead.drift.kind": observation.kind, "lead.drift.owner": observation.owner}
            )
        case WebhookReceived():
            yield from _measure_webhook(observation)
        case SecretMatched():
            secret: Attributes = {
                "lead.secret.fingerprint": observation.fingerprint,
                "lead.secret.position": observation.position,
            }
            yield Measurement("lead.webhook.verifications", 1, secret)
            yield Measurement("lead.webhook.secret.last_verified", int(now), secret)
        case InstructionEnded() | OutboxMeasured():
            yield from _measure_outbox(observation)
        case _:
            yield from _measure_inbox(observation)


def _measure_webhook(observation: WebhookReceived) -> Iterator[Measurement]:
    yield Measurement("lead.webhooks", 1, {"lead.webhook.result": observation.result})
    if observation.result in REASONS:
        yield Measurement("lead.webhook.signature_failures", 1, {"lead.signature.reason": observation.result})
    if observation.result == "duplicate":
        yield Measurement("lead.webhook.duplicates", 1, {})


def _measure_inbox(observation: Observation) -> Iterator[Measurement]:
    match observation:
        case HandlerEnded():
            common: Attributes = {"messaging.system": "lead", "messaging.operation.name": "process"}
            handler = handler_attributes(observation.started.event_type, observation.started.handler)
            status: Attributes = {"lead.handler.status": observation.status, **error_attributes(observation.error)}
            yield Measurement("messaging.process.duration", observation.seconds, {**common, **handler, **status})
        case HandlerBlocked():
            attributes = handler_attributes(observation.event_type, observation.handler)
            yield Measurement("lead.handler.blocked", observation.seconds, attributes)
        case HandlerPaused():
            yield Measurement("lead.handler.paused", 1, {_HANDLER: observation.handler})
        case DeadLettered():
            attributes = handler_attributes(observation.event_type, observation.handler)
            yield Measurement("lead.inbox.dead_letters", 1, attributes)
        case InboxMeasured():
            yield Measurement("lead.inbox.waiting", observation.waiting, {})
            yield Measurement("lead.inbox.dead", observation.dead, {})
            yield Measurement("lead.inbox.unhandled", observation.unhandled, {})
            yield Measurement("lead.inbox.unreadable", observation.unreadable, {})
            yield Measurement("lead.inbox.oldest_waiting.age", observation.oldest_waiting_seconds or 0.0, {})


def _measure_outbox(observation: InstructionEnded | OutboxMeasured) -> Iterator[Measurement]:
    if isinstance(observation, InstructionEnded):
        result = "needs_person" if observation.needs_person else observation.result
        attributes: Attributes = {_OPERATION: observation.operation, "lead.outbox.result": result}
        yield Measurement("lead.outbox.attempts", 1, attributes)
        return
    for state, number in observation.by_state.items():
        yield Measurement("lead.outbox.instructions", number, {"lead.outbox.state": state})
    yield Measurement("lead.outbox.needs_person", observation.needs_person, {})
    yield Measurement("lead.outbox.oldest_queued.age", observation.oldest_queued_seconds or 0.0, {})


def request_attributes(call: CallStarted) -> Attributes:
    """Describe a request: without the IDs in its path."""
    attributes: Attributes = {"http.request.method": call.method, "url.template": _ID.sub("{id}", call.path)}
    if call.base_url is not None:
        url = urlsplit(call.base_url)
        attributes |= {"server.address": url.hostname or "", "server.port": url.port or _PORTS[url.scheme]}
    return attributes


def response_attributes(observation: AttemptEnded) -> Attributes:
    """Describe a response, or that there was none."""
    if observation.status is None:
        return error_attributes(observation.error)
    failed = observation.status >= _FIRST_ERROR_STATUS
    return {
        "http.response.status_code": observation.status,
        **error_attributes(str(observation.status) if failed else None),
    }


def handler_attributes(event_type: str, handler: str) -> Attributes:
    """Describe a handler, and a type of event if it is listed."""
    return {_TYPE: event_type if EventType(event_type).is_known else OTHER, _HANDLER: handler}


def error_attributes(name: str | None) -> Attributes:
    """Name the class of an error, if there was one."""
    return {} if name is None else {_ERROR: name}
