"""What goes wrong on request: how it is written, counted, and what it does to an answer."""

import json
from email.utils import parsedate_to_datetime

import pytest

from leadpay.sandbox import Fault
from leadpay.sandbox.disguise import OLDER
from leadpay.sandbox.faults import KINDS, Faults, describe, parse
from tests.sandbox.desk import ORDER, PAYMENTS, SIMULATE, Desk


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("answer_lost", Fault(kind="answer_lost")),
        ("answer_lost:send:3", Fault(kind="answer_lost", operation="send", times=3)),
        ("slow:10%:value=2", Fault(kind="slow", probability=0.1, value=2)),
        (" rate_limited:*:2 ", Fault(kind="rate_limited", times=2, value=1)),
        ("webhook_duplicate:webhook", Fault(kind="webhook_duplicate", operation="webhook")),
    ],
)
def test_a_fault_is_read_from_its_text(text: str, fault: Fault) -> None:
    """In the order in which a person would say it."""
    assert parse(text) == fault


@pytest.mark.parametrize(
    "text",
    ["lost", "", "slow:0", "slow:-1", "slow:x%", "slow:value=y", "slow:101%", "slow:value=-1", "slow:a b", "slow:s3nd"],
)
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    """A typo is no fault that never strikes."""
    with pytest.raises(ValueError, match="fault"):
        parse(text)


def test_every_kind_is_described() -> None:
    """For whoever types one."""
    assert all(f"  {kind} " in describe() for kind in KINDS)


def test_a_fault_strikes_as_often_as_it_was_told_and_is_counted() -> None:
    """Where it was told, and with the chance that it was given; clearing ends it."""
    numbers = iter([0.4, 0.6, 0.4])
    faults = Faults(lambda: next(numbers, 0.0))
    faults.add("slow:send:50%")
    assert faults.draw(("slow",), "list") is None
    assert [faults.draw(("slow",), "send") is not None for _ in range(3)] == [True, False, True]
    faults.add("cut_before:2")
    assert [faults.draw(("cut_before",), "any") is not None for _ in range(3)] == [True, True, False]
    assert faults.drawn == {"slow": 2, "cut_before": 2}
    faults.clear()
    assert faults.draw(("slow",), "send") is None


@pytest.mark.parametrize(
    ("kind", "status", "made"),
    [
        ("rate_limited:value=7", 429, 0),
        ("rate_limited_date:value=7", 429, 0),
        ("server_error", 500, 0),
        ("server_error_after", 500, 1),
        ("bad_gateway", 502, 0),
        ("bad_gateway_after", 502, 1),
        ("in_progress", 409, 0),
        ("token_expired", 401, 0),
    ],
)
def test_an_error_on_request_is_answered_before_or_after_the_work(kind: str, status: int, made: int) -> None:
    """And the same request with the same key then has one result."""
    desk = Desk()
    desk.faults.add(f"{kind}:send:1")
    answer = desk.answer("POST", PAYMENTS, ORDER, key="k", judged=False)
    assert answer.status == status
    assert len(desk.bank.payments) == made
    headers = dict(answer.headers)
    if status == 502:
        assert answer.body.startswith(b"<html>")
    elif status == 429:
        wait = headers["Retry-After"]
        assert wait == "7" if "date" not in kind else parsedate_to_datetime(wait).timestamp() == desk.time + 7
    if status == 401:
        assert desk.refused("POST", PAYMENTS, ORDER, key="k")[0] == 401
        desk.token = desk.login()
    desk.ask("POST", PAYMENTS, ORDER, key="k")
    assert len(desk.bank.payments) == 1


@pytest.mark.parametrize("kind", ["cut_before", "answer_lost", "answer_cut", "slow", "webhook_first"])
def test_what_happens_to_the_connection_goes_along_with_the_answer(desk: Desk, kind: str) -> None:
    """A refusal causes no webhook that could come before it."""
    desk.faults.add(f"{kind}:send:1")
    if kind == "webhook_first":
        assert desk.answer("POST", PAYMENTS, {}).fate is None
    answer = desk.answer("POST", PAYMENTS, ORDER, judged=False)
    assert answer.fate is not None
    assert answer.fate.kind == kind
    assert len(desk.bank.payments) == (kind != "cut_before")


def test_the_same_token_comes_again(desk: Desk) -> None:
    """With less time left, also when it was refused; a first one cannot be the same."""
    desk.wait(100)
    desk.faults.add("same_token:2")
    desk.tokens.revoke(desk.token)
    body = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "s3cret"}
    again = desk.ask("POST", "/v1/oauth/token", body)
    assert (again["access_token"], again["expires_in"]) == (desk.token, 86_300)
    assert desk.refused("GET", PAYMENTS)[0] == 401
    fresh = Desk()
    fresh.faults.add("same_token")
    assert fresh.login() == fresh.login()


def test_older_spellings_are_what_they_were(desk: Desk) -> None:
    """Of types and reasons, wherever they stand; a description is the customer's own."""
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="fraud_suspected")
    desk.faults.add("older_spellings:2")
    shown = json.loads(desk.answer("GET", f"{PAYMENTS}/{came['id']}", judged=False).body)
    assert shown["return_requests"][0]["reason"] == OLDER["fraud_suspected"] == "fraudulent"
    # A fault that would change nothing is kept for one where it does.
    desk.send(description="duplication")
    desk.wait()
    query = [("events", "instant_payment.counterparty_status_updated")]
    [event] = json.loads(desk.answer("GET", "/v1/event", query=query, judged=False).body)["objects"]
    assert event["event"] == "instant_payment.counterparty_status_update"
    assert event["object"]["description"] == "duplication"
    assert desk.faults.drawn == {"older_spellings": 2}


def test_unknown_values_and_fields_are_really_unknown(desk: Desk) -> None:
    """A reason that is on no list, and a field in every object."""
    rejected = desk.send_to("9900001001")
    desk.wait()
    desk.faults.add("unknown_value")
    desk.faults.add("unknown_field")
    shown = json.loads(desk.answer("GET", PAYMENTS, judged=False).body)
    [payment] = shown["objects"]
    assert payment["id"] == rejected["id"]
    assert payment["rejection"]["reason"] == "account_closed_as_never_before"
    assert shown["added_tomorrow"] == payment["creditor"]["added_tomorrow"] == {"by": ["the bank"]}


def test_an_answer_without_a_body_has_nothing_to_disguise(desk: Desk) -> None:
    """The simulations answer nothing, whatever is switched on."""
    desk.faults.add("unknown_field:simulate_incoming")
    body = {**ORDER, "creditor_account_number_id": "account_number_1", "debtor": ORDER["creditor"]}
    body["debtor_agent"] = ORDER["creditor_agent"]
    assert desk.ask("POST", f"{SIMULATE}/incoming", body) is None
    assert desk.faults.drawn == {}
