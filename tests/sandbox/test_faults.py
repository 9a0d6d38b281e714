"""Faults: their text form, how often they happen, and what the data faults change."""

import json

import pytest

from leadpay.sandbox import Fault
from leadpay.sandbox.faults import KINDS, OLDER_SPELLINGS, Faults, describe, parse
from tests.support.api_client import EVENTS, PAYMENTS, ApiClient


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("response_lost", Fault(kind="response_lost")),
        ("response_lost:send:3", Fault(kind="response_lost", operation="send", times=3)),
        ("slow:10%:value=2", Fault(kind="slow", probability=0.1, value=2)),
        (" rate_limited:*:2 ", Fault(kind="rate_limited", times=2, value=1)),
        (
            "proxy_error:send:status=413:type=text/plain:body=a:b",
            Fault(kind="proxy_error", operation="send", status=413, content_type="text/plain", body="a:b"),
        ),
        ("bad_gateway", Fault(kind="bad_gateway", status=502, body="<html>502</html>")),
        ("webhook_duplicate:webhook", Fault(kind="webhook_duplicate", operation="webhook")),
    ],
)
def test_a_fault_is_read_from_its_text(text: str, fault: Fault) -> None:
    """The parts after the kind are optional."""
    assert parse(text) == fault


@pytest.mark.parametrize(
    "text",
    [
        "lost",
        "",
        "slow:0",
        "slow:-1",
        "slow:x%",
        "slow:value=y",
        "slow:101%",
        "slow:value=-1",
        "slow:a b",
        "slow:s3nd",
        "proxy_error:status=x",
        "proxy_error:status=200",
    ],
)
def test_an_invalid_fault_is_refused(text: str) -> None:
    """A typo must not give a fault that never happens."""
    with pytest.raises(ValueError, match="fault"):
        parse(text)


def test_a_fault_is_added_with_fields() -> None:
    """They change a fault, or add to its text."""
    faults = Faults(lambda: 0.0)
    faults.add("proxy_error", operation="send", status=405)
    faults.add(Fault(kind="slow"), value=2)
    found = [faults.trigger(("proxy_error", "slow"), "send") for _ in range(1)]
    assert found == [Fault(kind="proxy_error", operation="send", status=405)]
    assert faults.trigger(("slow",), "list") == Fault(kind="slow", value=2)


def test_every_kind_is_described() -> None:
    """The text has one line for each."""
    assert all(f"  {kind} " in describe() for kind in KINDS)


def test_a_fault_happens_as_often_as_it_says_and_is_counted() -> None:
    """Its operation and its probability are obeyed, and clearing ends it."""
    numbers = iter([0.4, 0.6, 0.4])
    faults = Faults(lambda: next(numbers, 0.0))
    faults.add("slow:send:50%")
    assert faults.trigger(("slow",), "list") is None
    assert [faults.trigger(("slow",), "send") is not None for _ in range(3)] == [True, False, True]
    faults.add("cut_before:2")
    assert [faults.trigger(("cut_before",), "any") is not None for _ in range(3)] == [True, True, False]
    assert faults.triggered == {"slow": 2, "cut_before": 2}
    faults.clear()
    assert faults.trigger(("slow",), "send") is None


def test_older_spellings_replace_reasons_and_event_types(api: ApiClient) -> None:
    """A description is the customer's own text and does not change."""
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="fraud_suspected")
    api.faults.add("older_spellings:2")
    shown = json.loads(api.respond("GET", f"{PAYMENTS}/{incoming['id']}", validated=False).body)
    assert shown["return_requests"][0]["reason"] == OLDER_SPELLINGS["fraud_suspected"] == "fraudulent"
    # A fault that would change nothing stays active for a response in which it does.
    api.send(description="duplication")
    api.advance()
    query = [("events", "instant_payment.counterparty_status_updated")]
    [event] = json.loads(api.respond("GET", EVENTS, query=query, validated=False).body)["objects"]
    assert event["event"] == "instant_payment.counterparty_status_update"
    assert event["object"]["description"] == "duplication"
    assert api.faults.triggered == {"older_spellings": 2}


def test_unknown_values_and_fields_are_on_no_list(api: ApiClient) -> None:
    """A reason changes, and every object gets a field."""
    rejected = api.send_to("9900001001")
    api.advance()
    api.faults.add("unknown_value")
    api.faults.add("unknown_field")
    shown = json.loads(api.respond("GET", PAYMENTS, validated=False).body)
    [payment] = shown["objects"]
    assert payment["id"] == rejected["id"]
    assert payment["rejection"]["reason"] == "account_closed_as_never_before"
    assert shown["added_tomorrow"] == payment["creditor"]["added_tomorrow"] == {"by": ["the bank"]}


def test_one_object_of_a_list_is_unreadable(api: ApiClient) -> None:
    """Its status has the wrong type; its neighbours stay as they are, and an empty list does not use up the fault."""
    api.faults.add("unreadable_object")
    assert api.call("GET", PAYMENTS)["objects"] == []
    for _ in range(3):
        api.send()
    shown = json.loads(api.respond("GET", PAYMENTS, validated=False).body)
    assert [payment["status"] for payment in shown["objects"]] == ["created", 7, "created"]
    api.advance()
    shown = json.loads(api.respond("GET", EVENTS, query=[("limit", "2")], validated=False).body)
    assert [event["object"]["status"] for event in shown["objects"]] == ["posted", 7]
