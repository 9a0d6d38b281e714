"""What each operation does and returns."""

import json

import pytest

from leadpay.sandbox.operations import OPERATIONS
from tests.support.api_client import EVENTS, ORDER, PAYMENTS, SIMULATE, ApiClient

NOWHERE = f"{PAYMENTS}/instant_payment_nowhere"


def test_send_makes_the_payment_that_was_ordered(api: ApiClient) -> None:
    """It is created, from the account's own holder, and its times are UTC in whole milliseconds."""
    payment = api.send()
    assert (payment["status"], payment["direction"], payment["amount"]) == ("created", "outgoing", 5000)
    assert payment["creditor"] == ORDER["creditor"]
    assert payment["description"] == "Invoice 12345"
    assert payment["account_id"] == "account_xyz123"
    assert payment["counterparty_status"] is None
    assert payment["created_at"] == payment["updated_at"] == "2025-01-06T15:00:00.000Z"
    assert api.retrieve(payment) == payment


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", NOWHERE, None),
        ("POST", f"{NOWHERE}/cancel", None),
        ("POST", f"{NOWHERE}/return", {"reason": "duplication"}),
        ("POST", f"{NOWHERE}/request_return", {"reason": "duplication"}),
        ("POST", f"{NOWHERE}/reject_return_request", {"reason": "account_closed"}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return", {"reason": "duplication", "amount": 1}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return_request", {"reason": "duplication"}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return_request_rejection", {"reason": "other"}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return_request_acceptance", None),
        ("GET", f"{EVENTS}/event_nowhere", None),
    ],
)
def test_an_unknown_id_is_404(api: ApiClient, method: str, path: str, body: object) -> None:
    """The problem has the ID as its instance."""
    response = api.respond(method, path, body)
    assert (response.status, json.loads(response.body)["instance"].rpartition("_")[2]) == (404, "nowhere")


def test_availability_depends_on_the_routing_number(api: ApiClient) -> None:
    """Two numbers are not on the network; one is invalid, as is a number that does not have nine digits."""
    path = f"{PAYMENTS}/check_availability"
    found = {
        number: api.call("POST", path, {"routing_number": number}, key=None)["available"]
        for number in ("111000111", "990000404", "990000503")
    }
    assert found == {"111000111": True, "990000404": False, "990000503": False}
    assert api.problem("POST", path, {"routing_number": "990000422"}, key=None)[0] == 422
    assert api.problem("POST", path, {"routing_number": "12"}, key=None)[0] == 422
    assert api.problem("POST", path, {"routing_number": 12}, key=None)[0] == 400


def test_an_event_shows_the_newest_version_of_its_payment(api: ApiClient) -> None:
    """An event is no snapshot: the posted event shows that the payment has arrived."""
    api.send()
    api.advance()
    posted = api.call("GET", EVENTS, query=[("events", "instant_payment.posted")])["objects"][0]
    assert posted["object"]["counterparty_status"] == "posted"
    assert api.call("GET", f"{EVENTS}/{posted['id']}") == posted


def test_events_are_kept_for_ninety_days(api: ApiClient) -> None:
    """After that, they are neither listed in either direction nor found by their ID."""
    api.send()
    api.advance(10)
    old = api.call("GET", EVENTS)["objects"]
    api.advance(90 * 86_400)
    api.token = api.log_in()
    left = api.call("GET", EVENTS)
    assert (left["objects"], left["has_more"]) == ([], False)
    assert api.problem("GET", f"{EVENTS}/{old[0]['id']}")[0] == 404
    api.send()
    api.advance()
    newer = api.call("GET", EVENTS, query=[("ending_before", old[-1]["id"])])
    assert len(newer["objects"]) == 2


def test_each_operation_has_its_own_name_and_address() -> None:
    """A path never matches two operations with the same method."""
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(operation.method, operation.path.pattern) for operation in OPERATIONS}) == len(OPERATIONS)
