"""How payments live: each story's states and events, holds, transitions that are refused, and returns."""

from collections.abc import Mapping
from typing import Any

import pytest

from leadpay.sandbox import account_number, describe
from leadpay.sandbox.constants import REJECTION_REASONS
from leadpay.sandbox.scenarios import ACCOUNT_NUMBERS, SCENARIOS
from tests.sandbox.desk import ACCOUNT, PAYMENTS, SIMULATE, Desk

POSTED, ARRIVED, REJECTED = "posted", "counterparty_status_updated", "rejected"
EVENTS: Mapping[str, list[str]] = {
    "posted": [POSTED, ARRIVED],
    "reviewed": ["under_review", POSTED, ARRIVED],
    "held": ["under_review"],
    "reviewed_there": [POSTED, ARRIVED, ARRIVED],
    "held_there": [POSTED, ARRIVED],
    "unsubmitted": [],
    "silent": [POSTED],
    "rejected_by_lead": [REJECTED],
    "rejected_by_network": [REJECTED],
    "rejected_by_counterparty": [REJECTED],
    "returned": [POSTED, ARRIVED, POSTED],
    "reviewed_and_returned": [POSTED, ARRIVED, ARRIVED, POSTED],
    "reviewed_and_rejected": ["under_review", REJECTED],
}
"""What is heard of an outgoing payment in each story, in order."""


@pytest.mark.parametrize("story", EVENTS)
@pytest.mark.parametrize("asked", ["by number", "by name"])
def test_each_story_is_told_by_its_events_and_no_others(desk: Desk, story: str, asked: str) -> None:
    """OperationInput for by the creditor's account number or from code; afterwards no money is missing."""
    name = f"{story}:other" if story in {one.name for one in SCENARIOS if one.reasons} else story
    if asked == "by name":
        desk.bank.next_payment(name)
        desk.send()
    else:
        desk.send_to(account_number(name))
    desk.wait()
    assert desk.heard == EVENTS[story]
    assert desk.bank.ledger.total == 0


def test_every_story_is_tested() -> None:
    """A new one needs its row above."""
    assert {story.name for story in SCENARIOS} | {"posted"} == set(EVENTS)


@pytest.mark.parametrize("number", [number for number, (story, _) in ACCOUNT_NUMBERS.items() if story.reasons])
def test_every_reason_can_be_brought_about(desk: Desk, number: str) -> None:
    """By Lead, the network and the counterparty, before posting and after."""
    payment = desk.send_to(number)
    desk.wait()
    story, outcome = ACCOUNT_NUMBERS[number]
    rejection = desk.read(payment)["rejection"]
    reason = outcome.name.partition(":")[2]
    by = {"rejected_by_lead": "lead", "reviewed_and_rejected": "lead", "rejected_by_network": "network"}
    assert rejection["reason"] == reason == list(REJECTION_REASONS)[int(number[-3:]) - 1]
    assert rejection["rejected_by"] == by.get(story.name, "counterparty")
    assert desk.bank.ledger.balance(ACCOUNT) == 10**14


@pytest.mark.parametrize(
    ("routing_number", "reason"),
    [
        ("990000404", "participant_not_on_network"),
        ("990000503", "participant_signed_off"),
        ("990000422", "routing_number_format_incorrect"),
    ],
)
def test_a_bank_that_cannot_be_paid_ends_in_the_networks_rejection(
    desk: Desk, routing_number: str, reason: str
) -> None:
    """Also where nobody asked for its availability first."""
    payment = desk.send(creditor_agent={"routing_number": routing_number})
    desk.wait()
    rejection = desk.read(payment)["rejection"]
    assert (rejection["rejected_by"], rejection["reason"]) == ("network", reason)


@pytest.mark.parametrize(
    ("number", "events"),
    [
        ("1234567890", ["posted"]),
        ("9900000001", ["under_review", "posted"]),
        ("9900001017", ["rejected"]),
        ("9900006009", ["under_review", "rejected"]),
        ("9900004001", ["posted"]),
    ],
)
def test_an_incoming_payments_outcome_is_chosen_by_its_debtor(desk: Desk, number: str, events: list[str]) -> None:
    """Only what can happen to one that comes in: it posts, is reviewed, or is refused by the account's controls."""
    desk.receive(debtor={"name": "Robin Brown", "account_number": number})
    assert desk.heard == events


def test_an_incoming_payments_outcome_is_chosen_from_code(desk: Desk) -> None:
    """What happens at the counterparty after posting is no part of it."""
    desk.bank.next_payment("held", direction="incoming")
    payment = desk.receive()
    assert (payment["status"], payment["counterparty_status"]) == ("under_review", None)
    desk.bank.release(payment["id"])
    desk.wait()
    assert desk.heard == ["under_review", "posted"]


@pytest.mark.parametrize("name", ["held", "held_there", "unsubmitted"])
def test_what_is_held_goes_on_when_it_is_released(desk: Desk, name: str) -> None:
    """Not before, however long one waits; and not twice."""
    desk.bank.next_payment(name)
    payment = desk.send()
    desk.wait(86_000)
    assert desk.read(payment)["counterparty_status"] != "posted"
    desk.bank.release(payment["id"])
    desk.wait()
    assert desk.read(payment)["counterparty_status"] == "posted"
    with pytest.raises(ValueError, match="not held"):
        desk.bank.release(payment["id"])


def test_what_is_held_can_be_refused(desk: Desk) -> None:
    """By Lead before it posts; by the counterparty after, and then it comes back."""
    desk.bank.next_payment("held")
    ours = desk.send()
    desk.bank.next_payment("held_there")
    theirs = desk.send()
    desk.wait()
    desk.bank.refuse(ours["id"])
    desk.bank.refuse(theirs["id"], "account_blocked")
    with pytest.raises(ValueError, match="reason"):
        desk.bank.refuse(desk_held(desk), "bad_mood")
    desk.wait()
    assert desk.read(ours)["rejection"]["rejected_by"] == "lead"
    assert desk.read(theirs)["rejection"]["reason"] == "account_blocked"
    assert len(desk.read(theirs)["related_objects"]["return_payment_ids"]) == 1


def desk_held(desk: Desk) -> str:
    """A payment that is held."""
    desk.bank.next_payment("unsubmitted")
    return str(desk.send()["id"])


def test_wishes_that_make_no_sense_are_refused(desk: Desk) -> None:
    """By name, before anything happens."""
    with pytest.raises(ValueError, match="outcome"):
        desk.bank.next_payment("lost")
    with pytest.raises(ValueError, match="direction"):
        desk.bank.next_payment("posted", direction="sideways")
    with pytest.raises(ValueError, match="outcome"):
        account_number("lost")
    assert account_number("posted") == "1234567890"


def test_the_table_lists_every_number() -> None:
    """What a person can paste is what the bank knows."""
    text = describe()
    for story in SCENARIOS:
        assert f"{story.name}{':REASON' if story.reasons else ''}" in text
    for word in ("990000404", "990000503", "990000422", "account_closed", "9900000005"):
        assert word in text


# Cancel.


def test_cancel_works_until_a_payment_is_submitted(desk: Desk) -> None:
    """From created and under_review, silently; then 422; and what was canceled never posts."""
    created, reviewed = desk_held(desk), desk.send_to("9900000002")["id"]
    desk.wait(5)
    desk.heard.clear()
    for payment_id in (created, reviewed):
        assert desk.ask("POST", f"{PAYMENTS}/{payment_id}/cancel")["status"] == "canceled"
        assert desk.refused("POST", f"{PAYMENTS}/{payment_id}/cancel")[0] == 422
    quick = desk.send()
    assert desk.act(quick, "cancel")["status"] == "canceled"
    desk.wait()
    assert desk.heard == []
    posted = desk.send()
    desk.wait()
    assert desk.refused("POST", f"{PAYMENTS}/{posted['id']}/cancel")[:2] == (422, "operation_not_allowed")


def test_incoming_payments_and_returns_cannot_be_canceled(desk: Desk) -> None:
    """400, as the bank has it for both."""
    came = desk.receive()
    returned = desk.act(came, "return", reason="duplication")
    for payment in (came, returned):
        assert desk.refused("POST", f"{PAYMENTS}/{payment['id']}/cancel")[:2] == (400, "operation_not_allowed")


# Returns.


def test_a_return_is_a_new_payment_the_other_way(desk: Desk) -> None:
    """Linked both ways, for the whole amount, once."""
    came = desk.receive()
    returned = desk.act(came, "return", reason="wrong_amount", additional_information="Half of it")
    assert (returned["direction"], returned["amount"], returned["status"]) == ("outgoing", 7500, "created")
    assert returned["return"] == {"reason": "wrong_amount", "details": "Half of it"}
    assert returned["related_objects"]["original_payment_id"] == came["id"]
    assert desk.read(came)["related_objects"]["return_payment_ids"] == [returned["id"]]
    assert desk.refused("POST", f"{PAYMENTS}/{came['id']}/return", {"reason": "duplication"})[0] == 422
    desk.wait()
    assert desk.heard == ["posted", "posted", "counterparty_status_updated"]
    for other in (returned, desk.send()):
        assert desk.refused("POST", f"{PAYMENTS}/{other['id']}/return", {"reason": "duplication"})[0] == 422


def test_a_rejected_return_may_be_tried_again(desk: Desk) -> None:
    """It gave nothing back."""
    came = desk.receive()
    desk.bank.next_payment("rejected_by_lead:other")
    desk.act(came, "return", reason="duplication")
    desk.wait()
    desk.act(came, "return", reason="duplication")
    desk.wait()
    statuses = [desk.read({"id": one})["status"] for one in desk.read(came)["related_objects"]["return_payment_ids"]]
    assert statuses == ["rejected", "posted"]


@pytest.mark.parametrize("reason", ["narrative", "wrong_amount"])
def test_some_reasons_need_a_text(desk: Desk, reason: str) -> None:
    """Neither missing nor blank nor too long."""
    path = f"{PAYMENTS}/{desk.receive()['id']}/return"
    for text in ({}, {"additional_information": "  "}, {"additional_information": "x" * 141}):
        assert "additional_information" in desk.refused("POST", path, {"reason": reason, **text})[2]
    assert desk.refused("POST", path, {"reason": "bad_mood"})[2] == ["reason"]


def test_money_comes_back_in_parts_and_never_more_than_went(desk: Desk) -> None:
    """Each part is an incoming return; more than is left is refused, or dropped where another was quicker."""
    sent = desk.send()
    assert refused_return(desk, sent, 1) == 422
    desk.wait()
    desk.simulate(sent, "incoming_return", amount=2000, reason="undue_payment")
    assert refused_return(desk, sent, 3001) == 422
    for _ in range(2):
        desk.ask("POST", f"{SIMULATE}/{sent['id']}/incoming_return", {"amount": 3000, "reason": "undue_payment"})
    desk.wait()
    back = [desk.read({"id": one}) for one in desk.read(sent)["related_objects"]["return_payment_ids"]]
    assert [one["amount"] for one in back] == [2000, 3000]
    assert all(one["return"]["reason"] == "undue_payment" for one in back)
    assert refused_return(desk, sent, 1) == 422
    assert refused_return(desk, back[0], 1) == 422
    assert desk.refused("POST", f"{SIMULATE}/{sent['id']}/incoming_return", {"reason": "duplication"})[2] == ["amount"]


def refused_return(desk: Desk, payment: Mapping[str, Any], amount: int) -> int:
    """Try to have some of it come back, and give the status."""
    body = {"amount": amount, "reason": "undue_payment"}
    return desk.refused("POST", f"{SIMULATE}/{payment['id']}/incoming_return", body)[0]
