"""What observations are measured as."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

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
from leadpay.measurements import INSTRUMENTS, REASONS, RESULTS, measure
from leadpay.outbox.store import InstructionState

CALL = CallStarted("send", "POST", "/v1/instant_payments/instant_payment_1/cancel", "key-1", "http://127.0.0.1")
STARTED = HandlerStarted("app:credit", "event_1", "instant_payment.posted", None, 1, datetime(2026, 1, 1, tzinfo=UTC))
OBSERVATIONS: tuple[Observation, ...] = (
    CALL,
    AttemptStarted(CALL, 2),
    AttemptEnded(AttemptStarted(CALL, 1), 200, None, 0.1, "request_1"),
    AttemptEnded(AttemptStarted(CALL._replace(base_url=None), 1), None, "TimeoutError", 0.1, None),
    CallEnded(CALL, 1, None, True, "instant_payment_1", 0.1),
    *(WebhookReceived(200, result, "event_1", "instant_payment.posted", None, 0.1) for result in RESULTS),
    SecretMatched("0a1b2c3d", 1),
    STARTED,
    HandlerEnded(STARTED, "succeeded", None, 0.1),
    HandlerBlocked("app:credit", "event_1", "made.up", None, 0.6),
    HandlerPaused("app:credit", 5, 30.0),
    DeadLettered("app:credit", "event_1", "instant_payment.posted", None, 12),
    DriftSeen("word", "ReturnReason", "a new one", "instant_payment_1", "webhook"),
    InboxMeasured(1, 2, 3.0, 4, 5),
    InstructionEnded("invoice-1", "send", "in_doubt", None, 1, True),
    InstructionEnded("invoice-1", "send", "accepted", None, 1, False),
    OutboxMeasured({"queued": 1}, 0, None),
)


def test_every_instrument_is_used_and_no_attribute_is_unknown() -> None:
    """A metric that nothing records would be promised for nothing."""
    measurements = [one for observation in OBSERVATIONS for one in measure(observation, 1_700_000_000.5)]
    assert {one.instrument for one in measurements} == set(INSTRUMENTS)
    for one in measurements:
        known = INSTRUMENTS[one.instrument].attributes
        assert set(one.attributes) <= set(known), one
        for name, values in known.items():
            assert not values or one.attributes[name] in values, one


def test_every_kind_of_observation_is_tried() -> None:
    """A new one must be measured, or left out on purpose."""
    assert {type(one) for one in OBSERVATIONS} == set(get_args(Observation))


def test_nothing_that_is_one_of_a_kind_is_an_attribute() -> None:
    """IDs, keys and made-up types would make a series each."""
    shown = repr([list(measure(one, 0.0)) for one in OBSERVATIONS])
    assert not any(private in shown for private in ("event_1", "_1/cancel", "key-1", "request_1", "made.up", "invoice"))


@pytest.mark.parametrize(
    ("instrument", "attribute", "values"),
    [
        ("lead.outbox.instructions", "lead.outbox.state", get_args(InstructionState)),
        ("lead.webhook.signature_failures", "lead.signature.reason", REASONS),
    ],
)
def test_values_that_are_known_beforehand_are_all_of_them(instrument: str, attribute: str, values: Any) -> None:
    """They are written in two places."""
    assert INSTRUMENTS[instrument].attributes[attribute] == values
