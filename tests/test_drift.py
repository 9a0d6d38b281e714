"""What the bank sends and this version does not know: noted, counted, logged once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadpay import drift
from leadpay.converter import structure, structure_event
from leadpay.drift import MAX_NOTED, MAX_TRACKED, Drift, Radar, Sighting
from leadpay.errors import MalformedResponseError
from leadpay.instrumentation import DriftSeen, Observation
from leadpay.models import InstantPayment, Party
from tests.support.payments import FULL, PAYMENTS
from tests.support.scripted_transport import NOW, Bank, Clock, payment

ID = PAYMENTS[FULL]["id"]
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_noted() -> None:
    """Forget what another test has noted and not taken."""
    drift.notes.fresh.clear()
    drift.take()


def noted(**changes: Any) -> list[Sighting]:
    """Read a payment with changes, and take what was noted."""
    structure({**PAYMENTS[FULL], **changes}, InstantPayment)
    return drift.take()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"status": "frozen"}, [Drift("word", "Status", "frozen")]),
        ({"return": {"reason": "duplicate"}}, []),
        (
            {"cleared_at": None, "fee": 5},
            [Drift("field", "InstantPayment", "cleared_at"), Drift("field", "InstantPayment", "fee")],
        ),
        ({"creditor_agent": {"routing_number": "1", "bic": "X"}}, [Drift("field", "Agent", "bic")]),
        ({"return_requests": None}, [Drift("missing", "InstantPayment", "return_requests")]),
        ({"updated_at": None}, [Drift("missing", "InstantPayment", "updated_at")]),
        ({"description": None}, []),
        ({"status": "Ada Lovelace"}, [Drift("word", "Status", "(not shown)")]),
        ({"Ada's": 1}, [Drift("field", "InstantPayment", "(not shown)")]),
    ],
)  # fmt: skip
def test_what_is_new_is_noted(changes: dict[str, Any], wanted: list[Drift]) -> None:
    """Words, fields and missing fields, with the object's ID; what may be personal data is left out."""
    assert noted(**changes) == [Sighting(one, ID) for one in wanted]


def test_a_return_request_without_a_deadline_is_noted() -> None:
    """The bank may leave it out, and ours is computed then, which is not silent."""
    request = {"status": "response_needed", "reason": "duplication", "created_at": "2022-06-27T11:22:33Z"}
    assert noted(return_requests=[request]) == [Sighting(Drift("missing", "ReturnRequest", "deadline"), ID)]


def test_wrong_types_are_noted() -> None:
    """With their path, whose indexes are left out, so that one fault is one drift."""
    requests = [{**request, "status": 5} for request in PAYMENTS[FULL]["return_requests"]]
    with pytest.raises(MalformedResponseError):
        structure({**PAYMENTS[FULL], "amount": "5", "return_requests": requests}, InstantPayment)
    assert drift.take() == [
        Sighting(Drift("type", "InstantPayment", "amount must be an integer, not a string"), ID),
        Sighting(Drift("type", "InstantPayment", "return_requests[].status must be a string, not an integer"), ID),
    ]
    with pytest.raises(MalformedResponseError):
        structure(5, Party)
    assert drift.take() == [Sighting(Drift("type", "Party", "(not shown) must be an object, not an integer"), None)]


def test_new_types_of_events_are_noted() -> None:
    """By the event's ID."""
    event = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "card.posted", "object": {}}
    structure_event(event)
    assert drift.take() == [Sighting(Drift("word", "EventType", "card.posted"), "event_1")]


def test_notes_that_are_never_taken_are_bounded() -> None:
    """``structure`` in a program's own code notes too."""
    for number in range(MAX_NOTED):
        structure({**PAYMENTS[FULL], f"a{number}": 1, f"b{number}": 1}, InstantPayment)
    assert len(drift.take()) == MAX_NOTED
    assert drift.take() == []
    structure({**PAYMENTS[FULL], **{f"a{number}": 1 for number in range(MAX_NOTED + 1)}}, InstantPayment)
    assert len(drift.take()) == MAX_NOTED


def test_a_radar_counts_and_remembers_the_first_place(caplog: pytest.LogCaptureFixture) -> None:
    """It logs what is new once, and tells its observer each time."""
    seen: list[Observation] = []
    radar = Radar(seen.append)
    for _ in range(2):
        structure({**PAYMENTS[FULL], "fee": 5}, InstantPayment)
        radar.look("retrieve", Clock())
    new = Drift("field", "InstantPayment", "fee")
    assert caplog.messages == ["drift: the bank sent what this version does not know: field InstantPayment: fee"]
    assert seen == [DriftSeen("field", "InstantPayment", "fee", ID, "retrieve")] * 2
    [tracked] = [radar.tracked[new]]
    assert (tracked.where, tracked.at.timestamp(), tracked.count) == (f"retrieve {ID}", NOW, 2)
    assert not radar.add(new, "list", tracked.at - timedelta(days=1))
    assert (tracked.where, tracked.count) == ("list", 3)


def test_a_radar_is_bounded() -> None:
    """What is beyond the bound is neither remembered nor new."""
    radar = Radar()
    for number in range(MAX_TRACKED + 1):
        assert radar.add(Drift("word", "Status", f"w{number}"), "list", WHEN) is (number < MAX_TRACKED)
    assert len(radar.tracked) == MAX_TRACKED


@pytest.mark.asyncio
async def test_the_client_tells_its_observer(caplog: pytest.LogCaptureFixture) -> None:
    """Of each object of a list, and of what cannot be read, which the log has as a warning of its own."""
    seen: list[Observation] = []
    script = {
        "objects": [payment(fee=1), payment(id="instant_payment_2", fee=2), payment(amount="5")],
        "has_more": False,
    }
    bank = Bank(script, observer=seen.append)
    await bank.payments.list()
    drifts = [(one.kind, one.object_id, one.where) for one in seen if isinstance(one, DriftSeen)]
    assert drifts == [
        ("field", "instant_payment_1", "list"),
        ("field", "instant_payment_2", "list"),
        ("type", "instant_payment_1", "list"),
    ]
    assert sum(message.startswith("drift:") for message in caplog.messages) == 1
