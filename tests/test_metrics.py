"""Metrics for Prometheus: which series are there from the start, what they count, and their names."""

import re
import runpy
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import leadpay.metrics
from leadpay.instrumentation import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    DeadLettered,
    HandlerEnded,
    HandlerPaused,
    HandlerStarted,
    InboxMeasured,
    OutboxMeasured,
    WebhookReceived,
)
from leadpay.measurements import INSTRUMENTS, RESULTS
from leadpay.metrics import Metrics
from leadpay.webhooks.router import WebhookRouter

CALL = CallStarted("send", "POST", "/v1/instant_payments", "key-1", "https://bank.example")
CREDIT_POSTED = '{messaging_consumer_group_name="credit",messaging_destination_name="instant_payment.posted"}'
STARTED = HandlerStarted(
    "app:credit", "event_1", "instant_payment.posted", "instant_payment_1", 1, datetime(2026, 1, 1, tzinfo=UTC)
)


def value(metrics: Metrics, line: str) -> float | None:
    """The value of a series, None if it is not there."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", metrics.render().decode(), re.MULTILINE)
    return None if found is None else float(found[1])


@pytest.fixture
def router() -> WebhookRouter:
    router = WebhookRouter("ledger")

    @router.posted(name="credit")
    async def credit(event: Any) -> None: ...

    @router.unhandled(name="rest")
    async def rest(event: Any) -> None: ...

    return router


@pytest.mark.parametrize(
    "line",
    [
        'lead_call_outcomes_unknown_total{lead_operation="send"}',
        'lead_webhooks_total{lead_webhook_result="accepted"}',
        'lead_webhook_signature_failures_total{lead_signature_reason="too_old"}',
        "lead_webhook_duplicates_total",
        "lead_inbox_dead",
        "lead_inbox_unhandled",
        "lead_inbox_unreadable",
        "lead_inbox_oldest_waiting_age_seconds",
        'lead_outbox_instructions{lead_outbox_state="in_doubt"}',
        'lead_outbox_attempts_total{lead_operation="send",lead_outbox_result="needs_person"}',
        "lead_outbox_needs_person",
        'lead_handler_paused_total{messaging_consumer_group_name="credit"}',
        f"lead_inbox_dead_letters_total{CREDIT_POSTED}",
        'lead_inbox_dead_letters_total{messaging_consumer_group_name="rest",messaging_destination_name="_OTHER"}',
    ],
)
def test_what_an_alert_looks_at_is_there_at_zero_from_the_start(router: WebhookRouter, line: str) -> None:
    """Prometheus would not notice the first increase of a series that appears with it."""
    assert value(Metrics(router), line) == 0


def test_a_handler_has_series_for_the_events_that_it_takes(router: WebhookRouter) -> None:
    """And for no others."""
    assert "rejected" not in "".join(
        line for line in Metrics(router).render().decode().splitlines() if 'group_name="credit"' in line
    )


def test_observations_are_counted_and_measured(router: WebhookRouter) -> None:
    """Each kind of metric; no ID and no key is a label."""
    registry = CollectorRegistry()
    metrics = Metrics(router, registry=registry)
    for observation in (
        AttemptStarted(CALL, 1),
        AttemptStarted(CALL, 2),
        AttemptEnded(AttemptStarted(CALL, 2), 503, None, 0.2, "request_1"),
        AttemptEnded(AttemptStarted(CALL, 3), None, "TimeoutError", 0.2, None),
        CallEnded(CALL, 3, "OutcomeUnknownError", True, None, 3.0),
        WebhookReceived(401, "too_old", None, None, None, 0.0),
        HandlerEnded(STARTED, "failed", "ValueError", 0.02),
        HandlerPaused("credit", 5, 30.0),
        DeadLettered("credit", "event_1", "instant_payment.posted", "instant_payment_1", 12),
        DeadLettered("credit", "event_2", "made.up", None, 12),
        InboxMeasured(3, 2, None, 4, 5),
        OutboxMeasured({"queued": 7}, 1, 60.0),
    ):
        metrics(observation)
    for line, expected in {
        'lead_call_retries_total{lead_operation="send"}': 1,
        'lead_call_outcomes_unknown_total{lead_operation="send"}': 1,
        'lead_webhook_signature_failures_total{lead_signature_reason="too_old"}': 1,
        'lead_handler_paused_total{messaging_consumer_group_name="credit"}': 1,
        "lead_inbox_waiting": 3,
        "lead_inbox_dead": 2,
        "lead_inbox_unhandled": 4,
        "lead_inbox_unreadable": 5,
        "lead_inbox_oldest_waiting_age_seconds": 0,
        'lead_outbox_instructions{lead_outbox_state="queued"}': 7,
        "lead_outbox_oldest_queued_age_seconds": 60,
        f"lead_inbox_dead_letters_total{CREDIT_POSTED}": 1,
        'lead_inbox_dead_letters_total{messaging_consumer_group_name="credit",messaging_destination_name="_OTHER"}': 1,
    }.items():
        assert value(metrics, line) == expected, line
    text = metrics.render().decode()
    assert 'lead_call_duration_seconds_count{error_type="OutcomeUnknownError",lead_operation="send"} 1.0' in text
    assert 'http_response_status_code="503"' in text
    assert 'lead_handler_status="failed"' in text
    assert metrics.registry is registry
    assert not any(private in text for private in ("event_1", "instant_payment_1", "key-1", "request_1", "made.up"))


def test_every_metric_is_exported_under_its_name_in_opentelemetry() -> None:
    """As OpenTelemetry's own exporter spells it: underscores, the unit, and _total for a counter."""
    text = Metrics().render().decode()
    for name, one in INSTRUMENTS.items():
        exported = name.replace(".", "_") + ("_seconds" if one.unit == "s" else "")
        # The comment of a counter has its name with _total.
        assert re.search(rf"^# TYPE {exported}(_total)? {one.kind}$", text, re.MULTILINE), exported


def test_each_result_is_listed_once() -> None:
    """A series would be there twice."""
    assert len(set(RESULTS)) == len(RESULTS)


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'leadpay\[metrics\]'"):
        runpy.run_path(str(leadpay.metrics.__file__))
