"""Stored events and logs, as the pages show them."""

from datetime import UTC, datetime

from leadpay.console.events_view import event_entries, fields_of, log_entries, payment_of, runs_of
from leadpay.inbox import HandlerRun, StoredEvent
from leadpay.outbox import Instruction, LogEntry
from tests.support.inbox import RECEIVED, event_of

TIME = datetime(2026, 1, 1, tzinfo=UTC)


def stored(body: bytes | None, *runs: HandlerRun) -> StoredEvent:
    """Make a stored event."""
    return StoredEvent(
        event_id="event_1",
        ordering_key="instant_payment_1",
        type="instant_payment.posted",
        created_at=TIME,
        version=None,
        received_at=RECEIVED,
        body=body,
        state="waiting",
        handler_runs={run.handler: run for run in runs},
    )


def test_the_payment_of_an_event() -> None:
    """None if the event is about something else, was purged, or cannot be read."""
    _, body = event_of("event_1", payment="instant_payment_1")
    found = payment_of(stored(body))
    assert found is not None
    assert found.id == "instant_payment_1"
    for other in (event_of("event_2")[1], None, b"\xff", b"{}"):
        assert payment_of(stored(other)) is None


def test_the_fields_of_an_event() -> None:
    """None if it is not JSON."""
    assert fields_of(stored(b"\xff")) is None
    assert fields_of(stored(None)) == []
    found = fields_of(stored(b'{"id": "event_1", "name": "Alex", "none": null}'))
    assert found is not None
    assert [(field.path, field.shown) for field in found] == [("id", "event_1"), ("name", "…")]


def test_a_run_has_its_last_line_as_a_headline() -> None:
    """That is the type of the error; when it runs again is a time."""
    failed = HandlerRun(handler="a", state="waiting", attempts=2, due_at=100.0, error="  File x\nbuiltins.KeyError\n")
    fine = HandlerRun(handler="b", state="done", attempts=1)
    [first, second] = runs_of(stored(b"{}", failed, fine))
    assert (first.headline, first.traceback, second.headline) == ("builtins.KeyError", "File x\nbuiltins.KeyError", "")
    [entry] = event_entries([stored(b"{}", failed, fine)], "/console")
    assert entry.url == "/console/events/event_1"
    assert [part.note for part in entry.parts] == ["2 attempts: builtins.KeyError", "1 attempt"]
    assert entry.parts[0].at == datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC)


def test_a_log_says_who_did_what() -> None:
    """An action that is not known yet is shown as it is."""
    instruction = Instruction(
        number=3, reference="a/b", operation="send", state="held", idempotency_key="k", created_at=TIME, updated_at=TIME
    )
    log = [
        LogEntry(at=TIME, action="queued", by="billing"),
        LogEntry(at=TIME, action="approved", by="Ann", detail="checked"),
        LogEntry(at=TIME, action="new_word"),
    ]
    found = log_entries(instruction, log, "/console")
    assert [(one.title, one.note, one.url) for one in found] == [
        ("Queued", "by billing", "/console/instructions/a%2Fb"),
        ("Approved", "by Ann · checked", ""),
        ("new word", "", ""),
    ]
