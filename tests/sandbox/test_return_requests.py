"""Return requests both ways: who may ask, who answers how, and what happens when nobody does."""

from datetime import datetime

import pytest

from tests.sandbox.desk import PAYMENTS, SIMULATE, Desk

DAY = 86_400


def test_a_request_waits_for_an_answer_until_its_deadline(desk: Desk) -> None:
    """Told by an event, with the deadline by New York's business days."""
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="fraud_suspected", additional_information="We think")
    assert desk.heard == ["posted", "return_request_response_needed"]
    [request] = desk.read(came)["return_requests"]
    assert (request["status"], request["reason"], request["details"]) == (
        "response_needed",
        "fraud_suspected",
        "We think",
    )
    # The tenth business day, a Monday being the first.
    assert datetime.fromisoformat(request["deadline"]) == datetime.fromisoformat("2025-01-17T23:30:00-05:00")
    assert "resolution" not in request


def test_nobodys_answer_is_a_rejection_by_lead_at_midnight(desk: Desk) -> None:
    """Not a second earlier, and no event tells of it."""
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="fraud_suspected")
    desk.heard.clear()
    midnight = datetime.fromisoformat("2025-01-18T00:00:00-05:00").timestamp()
    desk.wait(midnight - desk.time - 1)
    desk.token = desk.login()
    assert desk.read(came)["return_requests"][0]["status"] == "response_needed"
    desk.wait(1)
    [request] = desk.read(came)["return_requests"]
    assert request["status"] == "rejected"
    assert (request["resolution"]["resolved_by"], request["resolution"]["rejection_reason"]) == (
        "lead",
        "customer_no_response",
    )
    assert desk.heard == []


def test_a_request_that_was_answered_is_not_rejected_again(desk: Desk) -> None:
    """A deadline that has passed means nothing to it, nor to the next request."""
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="fraud_suspected")
    answered = desk.act(came, "reject_return_request", reason="narrative", additional_information="No")
    assert answered["return_requests"][0]["resolution"] == {
        "resolved_at": answered["updated_at"],
        "resolved_by": "client",
        "rejection_reason": "narrative",
        "rejection_details": "No",
    }
    desk.wait(10 * DAY)
    desk.token = desk.login()
    desk.simulate(came, "incoming_return_request", reason="duplication")
    desk.wait(6 * DAY)
    desk.token = desk.login()
    assert [one["status"] for one in desk.read(came)["return_requests"]] == ["rejected", "response_needed"]


def test_a_return_accepts_the_request_once_lead_has_validated_it(desk: Desk) -> None:
    """While it is under way, the request can neither be refused nor made again."""
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="fraud_suspected")
    desk.act(came, "return", reason="honor_return_request")
    assert desk.read(came)["return_requests"][0]["status"] == "response_needed"
    path = f"{PAYMENTS}/{came['id']}/reject_return_request"
    assert desk.refused("POST", path, {"reason": "account_closed"})[0] == 422
    desk.wait(2)
    resolution = desk.read(came)["return_requests"][0]["resolution"]
    assert resolution["resolved_by"] == "client"
    assert "rejection_reason" not in resolution
    again = f"{SIMULATE}/{came['id']}/incoming_return_request"
    assert desk.refused("POST", again, {"reason": "duplication"})[0] == 422


def test_a_return_that_lead_rejects_accepts_nothing(desk: Desk) -> None:
    """The request still waits."""
    came = desk.receive()
    desk.simulate(came, "incoming_return_request", reason="fraud_suspected")
    desk.bank.next_payment("rejected_by_lead:other")
    desk.act(came, "return", reason="honor_return_request")
    desk.wait()
    assert desk.read(came)["return_requests"][0]["status"] == "response_needed"


def test_only_a_posted_incoming_payment_is_asked_back(desk: Desk) -> None:
    """422 for anything else; and of two that come at once, the second is dropped."""
    sent = desk.send()
    desk.wait()
    path = "{}/{}/incoming_return_request"
    assert desk.refused("POST", path.format(SIMULATE, sent["id"]), {"reason": "duplication"})[0] == 422
    came = desk.receive()
    for _ in range(2):
        desk.ask("POST", path.format(SIMULATE, came["id"]), {"reason": "duplication"})
    desk.wait()
    assert len(desk.read(came)["return_requests"]) == 1
    refusal = f"{PAYMENTS}/{sent['id']}/reject_return_request"
    assert desk.refused("POST", refusal, {"reason": "account_closed"})[0] == 422


@pytest.mark.parametrize(
    ("answer", "body", "resolution"),
    [
        ("acceptance", {}, {}),
        (
            "rejection",
            {"reason": "per_agent_request", "additional_information": "Theirs"},
            {"rejection_reason": "per_agent_request", "rejection_details": "Theirs"},
        ),
    ],
)
def test_our_request_is_answered_by_the_counterparty(
    desk: Desk, answer: str, body: dict[str, str], resolution: dict[str, str]
) -> None:
    """Told by an event; an acceptance moves no money; a second answer is refused."""
    sent = desk.send()
    desk.wait()
    asked = desk.act(sent, "request_return", reason="service_not_rendered", additional_information="Nothing came")
    assert [one["status"] for one in asked["return_requests"]] == ["pending"]
    path = f"{SIMULATE}/{sent['id']}/incoming_return_request_{answer}"
    for _ in range(2):
        desk.ask("POST", path, body or None)  # the second is dropped: the first is quicker
    desk.heard.clear()
    desk.wait()
    assert desk.heard == ["return_request_status_updated"]
    [request] = desk.read(sent)["return_requests"]
    assert request["status"] == {"acceptance": "accepted", "rejection": "rejected"}[answer]
    del request["resolution"]["resolved_at"]
    assert request["resolution"] == {"resolved_by": "counterparty", **resolution}
    assert desk.refused("POST", path, body or None)[0] == 422
    assert desk.read(sent)["related_objects"].get("return_payment_ids", []) == []


def test_one_request_of_ours_at_a_time(desk: Desk) -> None:
    """409 while one is active; 422 for what cannot come back."""
    sent, body = desk.send(), {"reason": "duplication"}
    path = f"{PAYMENTS}/{sent['id']}/request_return"
    assert desk.refused("POST", path, body)[0] == 422
    desk.wait()
    desk.ask("POST", path, body)
    assert desk.refused("POST", path, body)[:2] == (409, "return_request_active")
    came = desk.receive()
    assert desk.refused("POST", f"{PAYMENTS}/{came['id']}/request_return", body)[0] == 422


def test_what_came_back_is_not_asked_for(desk: Desk) -> None:
    """Neither what was returned in whole, nor what the counterparty rejected."""
    sent, bounced = desk.send(), desk.send_to("9900004001")
    desk.wait()
    desk.simulate(sent, "incoming_return", amount=5000, reason="duplication")
    for payment in (sent, bounced):
        path = f"{PAYMENTS}/{payment['id']}/request_return"
        assert desk.refused("POST", path, {"reason": "duplication"})[0] == 422
