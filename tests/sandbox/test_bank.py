"""Payments in time: holds, cancellations, returns, and return requests in both directions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from leadpay.sandbox.models import Reason
from tests.support.api_client import PAYMENTS, SIMULATE, ApiClient

DAY = 86_400


# Holds.


def test_an_incoming_payment_has_no_counterparty_status(api: ApiClient) -> None:
    """The steps of an outcome that come after posting do not apply to it."""
    api.bank.next_payment("held", direction="incoming")
    payment = api.receive()
    assert (payment["status"], payment["counterparty_status"]) == ("under_review", None)
    api.bank.release(payment["id"])
    api.advance()
    assert api.new_events() == ["under_review", "posted"]


@pytest.mark.parametrize("name", ["held", "held_there", "unsubmitted"])
def test_a_held_payment_continues_when_it_is_released(api: ApiClient, name: str) -> None:
    """It does not continue by itself, and cannot be released twice."""
    api.bank.next_payment(name)
    payment = api.send()
    api.advance(86_000)
    assert api.retrieve(payment)["counterparty_status"] != "posted"
    api.bank.release(payment["id"])
    api.advance()
    assert api.retrieve(payment)["counterparty_status"] == "posted"
    with pytest.raises(ValueError, match="not held"):
        api.bank.release(payment["id"])


def held(api: ApiClient, outcome: str) -> Any:
    """A payment that is held."""
    api.bank.next_payment(outcome)
    return api.send()


def test_a_held_payment_can_be_refused(api: ApiClient) -> None:
    """Lead refuses it before it posts; the counterparty refuses it afterwards, and then returns it."""
    by_lead, by_counterparty = held(api, "held"), held(api, "held_there")
    api.advance()
    api.bank.refuse(by_lead["id"])
    api.bank.refuse(by_counterparty["id"], "account_blocked")
    with pytest.raises(ValueError, match="reason"):
        api.bank.refuse(held(api, "unsubmitted")["id"], "bad_mood")
    api.advance()
    assert api.retrieve(by_lead)["rejection"]["rejected_by"] == "lead"
    assert api.retrieve(by_counterparty)["rejection"]["reason"] == "account_blocked"
    assert len(api.retrieve(by_counterparty)["related_objects"]["return_payment_ids"]) == 1


# Cancellations.


def test_a_payment_can_be_canceled_until_it_is_submitted(api: ApiClient) -> None:
    """No event is emitted, the payment never posts, and a second call is refused with 422."""
    created, reviewed = held(api, "unsubmitted"), api.send_to("9900000002")
    api.advance(5)
    api.new_events()
    for payment in (created, reviewed):
        assert api.change(payment, "cancel")["status"] == "canceled"
        assert api.problem("POST", f"{PAYMENTS}/{payment['id']}/cancel")[0] == 422
    assert api.change(api.send(), "cancel")["status"] == "canceled"
    api.advance()
    assert api.new_events() == []
    posted = api.send()
    api.advance()
    assert api.problem("POST", f"{PAYMENTS}/{posted['id']}/cancel")[:2] == (422, "operation_not_allowed")


def test_incoming_payments_and_returns_cannot_be_canceled(api: ApiClient) -> None:
    """The status is 400 for both."""
    incoming = api.receive()
    returned = api.change(incoming, "return", reason="duplication")
    for payment in (incoming, returned):
        assert api.problem("POST", f"{PAYMENTS}/{payment['id']}/cancel")[:2] == (400, "operation_not_allowed")


# Returns.


def test_a_return_is_a_new_payment_in_the_other_direction(api: ApiClient) -> None:
    """Both payments are linked, and the whole amount is returned once."""
    incoming = api.receive()
    returned = api.change(incoming, "return", reason="wrong_amount", additional_information="Half of it")
    assert (returned["direction"], returned["amount"], returned["status"]) == ("outgoing", 7500, "created")
    assert returned["return"] == {"reason": "wrong_amount", "details": "Half of it"}
    assert returned["related_objects"]["original_payment_id"] == incoming["id"]
    assert api.retrieve(incoming)["related_objects"]["return_payment_ids"] == [returned["id"]]
    assert api.problem("POST", f"{PAYMENTS}/{incoming['id']}/return", {"reason": "duplication"})[0] == 422
    api.advance()
    assert api.new_events() == ["posted", "posted", "counterparty_status_updated"]
    for other in (returned, api.send()):
        assert api.problem("POST", f"{PAYMENTS}/{other['id']}/return", {"reason": "duplication"})[0] == 422


def test_a_return_can_be_repeated_after_it_was_rejected(api: ApiClient) -> None:
    """The first return has returned nothing."""
    incoming = api.receive()
    api.bank.next_payment("rejected_by_lead:other")
    api.change(incoming, "return", reason="duplication")
    api.advance()
    api.change(incoming, "return", reason="duplication")
    api.advance()
    ids = api.retrieve(incoming)["related_objects"]["return_payment_ids"]
    assert [api.retrieve({"id": one})["status"] for one in ids] == ["rejected", "posted"]


def simulate_return(api: ApiClient, payment: Mapping[str, Any], amount: int) -> int:
    """Try to simulate a return; returns the status of the refusal."""
    body = {"amount": amount, "reason": "undue_payment"}
    return api.problem("POST", f"{SIMULATE}/{payment['id']}/incoming_return", body)[0]


def test_a_payment_is_returned_in_parts_up_to_its_amount(api: ApiClient) -> None:
    """Each part is an incoming return; more than is left is refused, or dropped if another return was faster."""
    sent = api.send()
    assert simulate_return(api, sent, 1) == 422
    api.advance()
    api.simulate(sent, "incoming_return", amount=2000, reason="undue_payment")
    assert simulate_return(api, sent, 3001) == 422
    for _ in range(2):
        api.call("POST", f"{SIMULATE}/{sent['id']}/incoming_return", {"amount": 3000, "reason": "undue_payment"})
    api.advance()
    returns = [api.retrieve({"id": one}) for one in api.retrieve(sent)["related_objects"]["return_payment_ids"]]
    assert [one["amount"] for one in returns] == [2000, 3000]
    assert all(one["return"]["reason"] == "undue_payment" for one in returns)
    assert simulate_return(api, sent, 1) == 422
    assert simulate_return(api, returns[0], 1) == 422
    assert api.problem("POST", f"{SIMULATE}/{sent['id']}/incoming_return", {"reason": "duplication"})[2] == ["amount"]


# Return requests of the counterparty.


def test_an_incoming_request_is_open_until_its_deadline(api: ApiClient) -> None:
    """An event is emitted, and the deadline counts New York's business days."""
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="fraud_suspected", additional_information="We think")
    assert api.new_events() == ["posted", "return_request_response_needed"]
    [request] = api.retrieve(incoming)["return_requests"]
    assert (request["status"], request["reason"], request["details"]) == (
        "response_needed",
        "fraud_suspected",
        "We think",
    )
    # The tenth business day; the request came on a Monday, which is the first.
    assert datetime.fromisoformat(request["deadline"]) == datetime.fromisoformat("2025-01-17T23:30:00-05:00")
    assert "resolution" not in request


def test_lead_rejects_a_request_without_a_response_at_midnight(api: ApiClient) -> None:
    """It does so not a second earlier, and emits no event."""
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="fraud_suspected")
    api.new_events()
    midnight = datetime.fromisoformat("2025-01-18T00:00:00-05:00").timestamp()
    api.advance(midnight - api.time - 1)
    api.token = api.log_in()
    assert api.retrieve(incoming)["return_requests"][0]["status"] == "response_needed"
    api.advance(1)
    [request] = api.retrieve(incoming)["return_requests"]
    assert request["status"] == "rejected"
    assert (request["resolution"]["resolved_by"], request["resolution"]["rejection_reason"]) == (
        "lead",
        "customer_no_response",
    )
    assert api.new_events() == []


def test_an_outgoing_request_is_open_until_its_deadline(api: ApiClient) -> None:
    """Then the network rejects it, and an event tells."""
    payment = api.send()
    api.advance()
    [request] = api.change(payment, "request_return", reason="duplication")["return_requests"]
    assert datetime.fromisoformat(request["deadline"]) == datetime.fromisoformat("2025-01-17T00:00:00-05:00")
    api.new_events()
    left = datetime.fromisoformat(request["deadline"]).timestamp() - api.time
    api.advance(left - 1)
    api.token = api.log_in()
    assert api.retrieve(payment)["return_requests"][0]["status"] == "pending"
    assert api.new_events() == []
    api.advance(1)
    [request] = api.retrieve(payment)["return_requests"]
    assert (request["status"], request["resolution"]["resolved_by"]) == ("rejected", "network")
    assert api.new_events() == ["return_request_status_updated"]
    # Another one can be sent, and has a deadline of its own.
    assert len(api.change(payment, "request_return", reason="duplication")["return_requests"]) == 2


def test_a_deadline_has_no_effect_on_a_resolved_request(api: ApiClient) -> None:
    """It has none on the next request either."""
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="fraud_suspected")
    rejected = api.change(incoming, "reject_return_request", reason="narrative", additional_information="No")
    assert rejected["return_requests"][0]["resolution"] == {
        "resolved_at": rejected["updated_at"],
        "resolved_by": "client",
        "rejection_reason": "narrative",
        "rejection_details": "No",
    }
    api.advance(10 * DAY)
    api.token = api.log_in()
    api.simulate(incoming, "incoming_return_request", reason="duplication")
    api.advance(6 * DAY)
    api.token = api.log_in()
    assert [one["status"] for one in api.retrieve(incoming)["return_requests"]] == ["rejected", "response_needed"]


def test_a_return_accepts_the_request_once_lead_has_validated_it(api: ApiClient) -> None:
    """Meanwhile, the request can neither be rejected nor repeated."""
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="fraud_suspected")
    api.change(incoming, "return", reason="honor_return_request")
    assert api.retrieve(incoming)["return_requests"][0]["status"] == "response_needed"
    path = f"{PAYMENTS}/{incoming['id']}/reject_return_request"
    assert api.problem("POST", path, {"reason": "account_closed"})[0] == 422
    api.advance(2)
    resolution = api.retrieve(incoming)["return_requests"][0]["resolution"]
    assert resolution["resolved_by"] == "client"
    assert "rejection_reason" not in resolution
    again = f"{SIMULATE}/{incoming['id']}/incoming_return_request"
    assert api.problem("POST", again, {"reason": "duplication"})[0] == 422


def test_a_return_that_lead_rejects_does_not_accept_the_request(api: ApiClient) -> None:
    """The request stays open."""
    incoming = api.receive()
    api.simulate(incoming, "incoming_return_request", reason="fraud_suspected")
    api.bank.next_payment("rejected_by_lead:other")
    api.change(incoming, "return", reason="honor_return_request")
    api.advance()
    assert api.retrieve(incoming)["return_requests"][0]["status"] == "response_needed"


def test_of_two_simultaneous_requests_one_is_dropped(api: ApiClient) -> None:
    """A payment has one active request at most."""
    incoming = api.receive()
    for _ in range(2):
        api.call("POST", f"{SIMULATE}/{incoming['id']}/incoming_return_request", {"reason": "duplication"})
    api.advance()
    assert len(api.retrieve(incoming)["return_requests"]) == 1


# Return requests of the client.


@pytest.mark.parametrize(
    ("operation", "body", "resolution"),
    [
        ("acceptance", {}, {}),
        (
            "rejection",
            {"reason": "per_agent_request", "additional_information": "Theirs"},
            {"rejection_reason": "per_agent_request", "rejection_details": "Theirs"},
        ),
    ],
)
def test_the_counterparty_resolves_our_request(
    api: ApiClient, operation: str, body: dict[str, str], resolution: dict[str, str]
) -> None:
    """An event is emitted; an acceptance moves no funds; a second resolution is refused."""
    sent = api.send()
    api.advance()
    requested = api.change(sent, "request_return", reason="service_not_rendered", additional_information="Nothing came")
    assert [one["status"] for one in requested["return_requests"]] == ["pending"]
    path = f"{SIMULATE}/{sent['id']}/incoming_return_request_{operation}"
    for _ in range(2):
        api.call("POST", path, body or None)  # the second is dropped: the first is faster
    api.new_events()
    api.advance()
    assert api.new_events() == ["return_request_status_updated"]
    [request] = api.retrieve(sent)["return_requests"]
    assert request["status"] == {"acceptance": "accepted", "rejection": "rejected"}[operation]
    del request["resolution"]["resolved_at"]
    assert request["resolution"] == {"resolved_by": "counterparty", **resolution}
    assert api.problem("POST", path, body or None)[0] == 422
    assert api.retrieve(sent)["related_objects"].get("return_payment_ids", []) == []


def test_a_payment_has_one_active_request_of_ours(api: ApiClient) -> None:
    """Another one is refused with 409."""
    sent, body = api.send(), {"reason": "duplication"}
    path = f"{PAYMENTS}/{sent['id']}/request_return"
    assert api.problem("POST", path, body)[0] == 422
    api.advance()
    api.call("POST", path, body)
    assert api.problem("POST", path, body)[:2] == (409, "return_request_active")


def test_no_return_is_requested_of_what_was_returned(api: ApiClient) -> None:
    """Neither after a return of the whole amount, nor after a rejection by the counterparty."""
    sent, rejected = api.send(), api.send_to("9900004001")
    api.advance()
    api.simulate(sent, "incoming_return", amount=5000, reason="duplication")
    for payment in (sent, rejected):
        path = f"{PAYMENTS}/{payment['id']}/request_return"
        assert api.problem("POST", path, {"reason": "duplication"})[0] == 422


def test_a_simulation_refuses_a_reason_that_is_on_no_list(api: ApiClient) -> None:
    """Neither a return nor a return request has it."""
    sent, incoming = api.send(), api.receive()
    with pytest.raises(ValueError, match="reason of a return"):
        api.bank.simulate_return(sent["id"], Reason("bad_mood"))
    with pytest.raises(ValueError, match="reason of a return request"):
        api.bank.simulate_return_request(incoming["id"], Reason("bad_mood"))


def test_a_posted_incoming_payment_has_a_counterparty_status(api: ApiClient) -> None:
    """It is posted; before, and if Lead rejects the payment, it is null, and no event tells of it."""
    api.bank.next_payment("held", direction="incoming")
    held = api.receive()
    assert held["counterparty_status"] is None
    api.bank.release(held["id"])
    api.advance()
    assert api.retrieve(held)["counterparty_status"] == "posted"
    api.bank.next_payment("rejected_by_lead:other", direction="incoming")
    assert api.receive()["counterparty_status"] is None
    assert api.new_events() == ["under_review", "posted", "rejected"]
