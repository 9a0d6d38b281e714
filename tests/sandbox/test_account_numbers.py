"""Account numbers at the sandbox: what can be changed, and what payments see of it."""

from typing import Any

import pytest

from tests.support.api_client import ACCOUNT_NUMBER_ID, EVENTS, INCOMING, ORDER, PAYMENTS, ApiClient

NUMBERS = "/v1/account_number"
ONE = f"{NUMBERS}/{ACCOUNT_NUMBER_ID}"
ALLOWLIST = "counterparty_account_numbers_allowlist"
ALLOWED = {"account_number": "1234567890", "routing_number": "111000111"}


def control(api: ApiClient, direction: str, **fields: Any) -> Any:
    """Change the controls of one direction."""
    return api.call("PATCH", ONE, {"instant_payment_controls": {direction: fields}})


def test_an_account_number_is_open_from_its_first_use(api: ApiClient) -> None:
    """It is active, admits everyone, and shows the number that payments show."""
    number = api.call("GET", ONE)
    assert (number["id"], number["account_id"], number["status"]) == (ACCOUNT_NUMBER_ID, "account_xyz123", "active")
    assert number["instant_payment_controls"] == {
        direction: {"counterparty_filter": "accept_all", ALLOWLIST: []} for direction in ("incoming", "outgoing")
    }
    assert number["account_number"] == api.send()["debtor"]["account_number"]


def test_a_strict_bank_does_not_know_others() -> None:
    """They are 404, and so is what is no ID of an account number at any bank."""
    api = ApiClient(strict=True)
    assert api.problem("GET", ONE)[:2] == (404, "not_found")
    api.bank.ledger.open(ACCOUNT_NUMBER_ID)
    assert api.call("GET", ONE)["status"] == "active"
    assert ApiClient().problem("GET", f"{NUMBERS}/instant_payment_1")[:2] == (404, "not_found")


def test_an_update_leaves_what_it_does_not_name(api: ApiClient) -> None:
    """Other directions, other products and the metadata stay; the time of the update is shown."""
    before = api.call("PATCH", ONE, {"ach_controls": {"incoming": {"accept_debit": False}}, "metadata": {"a": "1"}})
    api.advance(5)
    after = control(api, "incoming", counterparty_filter="reject_all")
    assert after == {
        **before,
        "instant_payment_controls": {
            **before["instant_payment_controls"],
            "incoming": {"counterparty_filter": "reject_all", ALLOWLIST: []},
        },
        "updated_at": "2025-01-06T15:00:05.000Z",
    }
    assert api.call("PATCH", ONE, {"metadata": {"b": "2"}})["metadata"] == {"b": "2"}


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"status": "active"}, "status"),
        ({"account_id": "account_1"}, "account_id"),
        ({"nonsense": 1}, "nonsense"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": None}, "metadata"),
        ({"instant_payment_controls": {"incoming": {"counterparty_filter": "x"}}}, "instant_payment_controls.incoming"),
    ],
)
def test_a_wrong_update_changes_nothing(api: ApiClient, body: Any, parameter: str) -> None:
    """It is 400, and names the field."""
    before = api.call("GET", ONE)
    status, code, [wrong] = api.problem("PATCH", ONE, body)
    assert (status, code) == (400, "parameters_invalid")
    assert wrong.startswith(parameter)
    assert api.call("GET", ONE) == before


def test_account_numbers_are_listed_newest_first(api: ApiClient) -> None:
    """With filters by account and by number, and with cursors."""
    for number in ("1", "2", "3"):
        api.send(account_number_id=f"account_number_{number}")
    shown = api.call("GET", NUMBERS, query=[("limit", "2")])
    assert [one["id"] for one in shown["objects"]] == ["account_number_3", "account_number_2"]
    assert shown["has_more"]
    rest = api.call("GET", NUMBERS, query=[("starting_after", "account_number_2")])
    assert [one["id"] for one in rest["objects"]] == ["account_number_1"]
    [found] = api.call("GET", NUMBERS, query=[("account_id", "account_2")])["objects"]
    assert api.call("GET", NUMBERS, query=[("account_number", found["account_number"])])["objects"] == [found]
    assert api.call("GET", NUMBERS, query=[("account_number", "1")])["objects"] == []
    assert api.problem("GET", NUMBERS, query=[("limit", "0")])[0] == 422


def test_an_account_number_is_created_with_an_event(api: ApiClient) -> None:
    """It belongs to the account that was named, and is unassigned without a customer or an entity."""
    body = {"account_id": "account_1", "metadata": {"a": "1"}}
    made = api.call("POST", NUMBERS, body, key="once")
    assert api.call("POST", NUMBERS, body, key="once") == made
    assert (made["account_id"], made["status"], made["metadata"]) == ("account_1", "unassigned", {"a": "1"})
    other = api.call("POST", NUMBERS, {"account_id": "account_1", "client_customer_id": "c1"}, key=None)
    assert (other["status"], other["client_customer_id"]) == ("active", "c1")
    assert api.call("POST", NUMBERS, {"account_id": "account_1", "entity_id": "entity_1"})["status"] == "active"
    events = api.call("GET", EVENTS, query=[("object_id", made["id"])])["objects"]
    assert [(one["event"], one["object"]) for one in events] == [("account_number.created", made)]
    assert api.problem("POST", NUMBERS, {"entity_id": "x"})[2] == ["account_id", "entity_id"]


def test_a_canceled_account_number_stays_canceled(api: ApiClient) -> None:
    """Every other change of its status is allowed, with metadata or without."""
    assert api.call("POST", f"{ONE}/deactivate")["status"] == "inactive"
    active = api.call("POST", f"{ONE}/activate", {"metadata": {"a": "1"}})
    assert (active["status"], active["metadata"]) == ("active", {"a": "1"})
    assert api.call("POST", f"{ONE}/cancel", {})["status"] == "canceled"
    assert api.problem("POST", f"{ONE}/activate")[:2] == (400, "operation_not_allowed")
    assert api.problem("POST", f"{ONE}/activate", {"metadata": 1})[2] == ["metadata"]


def test_incoming_controls_reject_a_payment(api: ApiClient) -> None:
    """Lead rejects it, and no money moves; those on the allow-list may pay in."""
    control(api, "incoming", counterparty_filter="allowlist_only")
    rejected = api.receive()
    assert rejected["status"] == "rejected"
    assert rejected["rejection"]["rejected_by"] == "lead"
    assert rejected["rejection"]["reason"] == "restricted_by_account_number_controls"
    assert api.new_events() == ["rejected"]
    assert api.bank.ledger.balance(ACCOUNT_NUMBER_ID) == 10**14
    control(api, "incoming", **{ALLOWLIST: [ALLOWED]})
    assert api.receive()["status"] == "posted"
    assert api.receive(debtor={"name": "Robin Brown", "account_number": "12345678"})["status"] == "rejected"


def test_controls_come_before_a_chosen_outcome(api: ApiClient) -> None:
    """And the outcome was for this payment, not for the next."""
    control(api, "incoming", counterparty_filter="reject_all")
    api.bank.next_payment("held", direction="incoming")
    assert api.receive()["status"] == "rejected"
    control(api, "incoming", counterparty_filter="accept_all")
    assert api.receive()["status"] == "posted"


def test_outgoing_controls_refuse_a_send(api: ApiClient) -> None:
    """It is 422, no payment is made, and the key can be used again."""
    control(api, "outgoing", counterparty_filter="allowlist_only")
    refused = api.problem("POST", PAYMENTS, ORDER, key="mine")
    assert refused[:2] == (422, "restricted_by_account_number_controls")
    assert len(api.bank.payments) == 0
    control(api, "outgoing", **{ALLOWLIST: [ALLOWED]})
    assert api.call("POST", PAYMENTS, ORDER, key="mine")["status"] == "created"


def test_a_return_of_our_own_money_passes_the_controls(api: ApiClient) -> None:
    """But not an account number that is not active."""
    first, second = api.send(), api.send()
    api.advance()
    control(api, "incoming", counterparty_filter="reject_all")
    api.simulate(first, "incoming_return", reason="duplication", amount=5000)
    [returned] = api.call("GET", PAYMENTS, query=[("direction", "incoming")])["objects"]
    assert returned["status"] == "posted"
    api.call("POST", f"{ONE}/deactivate")
    api.simulate(second, "incoming_return", reason="duplication", amount=5000)
    rejected = api.call("GET", PAYMENTS, query=[("direction", "incoming"), ("limit", "1")])["objects"][0]
    assert rejected["rejection"]["reason"] == "account_number_incorrect"


@pytest.mark.parametrize("verb", ["deactivate", "cancel"])
def test_an_account_number_that_is_not_active_neither_sends_nor_receives(api: ApiClient, verb: str) -> None:
    """Sends and returns are refused; what was on its way is rejected by Lead."""
    received = api.receive()
    api.bank.next_payment("unsubmitted")
    waiting = api.send()
    api.bank.next_payment("held", direction="incoming")
    held = api.receive()
    api.call("POST", f"{ONE}/{verb}")
    assert api.problem("POST", PAYMENTS, ORDER)[:2] == (422, "operation_not_allowed")
    body = {"reason": "duplication"}
    assert api.problem("POST", f"{PAYMENTS}/{received['id']}/return", body)[:2] == (422, "operation_not_allowed")
    for payment in (waiting, held):
        api.bank.release(payment["id"])
    incoming = api.receive()
    for payment in (waiting, held, incoming):
        rejection = api.retrieve(payment)["rejection"]
        assert (rejection["rejected_by"], rejection["reason"]) == ("lead", "account_number_incorrect")
    assert api.bank.ledger.balance(ACCOUNT_NUMBER_ID) == 10**14 + INCOMING["amount"]


def test_scopes_of_account_numbers_are_their_own() -> None:
    """A token for payments reads none; one for reading changes none."""
    api = ApiClient()
    api.token = api.log_in(scope="instant_payment/read_write")
    assert api.problem("GET", ONE)[0] == 403
    api.token = api.log_in(scope="account_number/read")
    assert api.call("GET", ONE)["id"] == ACCOUNT_NUMBER_ID
    assert api.problem("PATCH", ONE, {"metadata": {}})[0] == 403
