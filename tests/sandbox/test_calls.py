"""What each operation answers, and how it refuses; every answer is held against the description."""

import json

import pytest

from leadpay.sandbox.validation import MAX_AMOUNT
from tests.sandbox.desk import ACCOUNT, ARRIVAL, ORDER, PAYMENTS, SIMULATE, Desk

NOWHERE = f"{PAYMENTS}/instant_payment_nowhere"


def test_a_payment_is_made_as_it_was_ordered(desk: Desk) -> None:
    """Created, from the account's own holder, with identifiers of its own, in whole milliseconds of UTC."""
    payment = desk.send()
    assert (payment["status"], payment["direction"], payment["amount"]) == ("created", "outgoing", 5000)
    assert payment["creditor"] == ORDER["creditor"]
    assert payment["description"] == "Invoice 12345"
    assert payment["account_id"] == "account_xyz123"
    assert payment["counterparty_status"] is None
    assert payment["created_at"] == payment["updated_at"] == "2025-01-06T15:00:00.000Z"
    assert desk.read(payment) == payment


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"amount": 12.5}, ["amount"]),
        ({"amount": True}, ["amount"]),
        ({"amount": MAX_AMOUNT + 1}, ["amount"]),
        ({"amount": -1}, ["amount"]),
        ({"currency_code": "EUR"}, ["currency_code"]),
        ({"account_number_id": 7}, ["account_number_id"]),
        ({"account_number_id": "xyz"}, ["account_number_id"]),
        ({"creditor": "Alex"}, ["creditor"]),
        ({"creditor": {"name": "Al"}}, ["creditor.name", "creditor.account_number"]),
        ({"creditor": {"name": "Alex", "account_number": "1" * 18}}, ["creditor.account_number"]),
        ({"creditor_agent": {"routing_number": "11100011"}}, ["creditor_agent.routing_number"]),
        ({"description": "x" * 141, "amount": None}, ["amount", "description"]),
    ],
)
def test_a_wrong_order_is_refused_with_every_field_named(
    desk: Desk, changes: dict[str, object], wrong: list[str]
) -> None:
    """400, the bank's error shape, and nothing was made."""
    status, code, named = desk.refused("POST", PAYMENTS, {**ORDER, **changes})
    assert (status, code, named) == (400, "parameters_invalid", wrong)
    assert len(desk.bank.payments) == 0


def test_what_is_missing_is_named(desk: Desk) -> None:
    """Every required field of an empty order, and of an empty arrival."""
    _, _, named = desk.refused("POST", PAYMENTS, {})
    assert named == ["account_number_id", "amount", "creditor", "creditor_agent", "currency_code"]
    _, _, named = desk.refused("POST", f"{SIMULATE}/incoming", {**ARRIVAL, "payment_identifiers": 1, "debtor": None})
    assert named == ["debtor", "payment_identifiers"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(desk: Desk, body: bytes) -> None:
    """Whatever else it is."""
    assert desk.refused("POST", PAYMENTS, body)[:2] == (400, "parameters_invalid")


def test_a_body_of_another_type_is_refused(desk: Desk) -> None:
    """The bank reads JSON alone."""
    answer = desk.answer("POST", PAYMENTS, ORDER, content_type="text/plain")
    assert answer.status == 400


def test_an_unknown_id_is_404_everywhere(desk: Desk) -> None:
    """Payments and events, with the ID as the instance."""
    calls = [
        ("GET", NOWHERE, None),
        ("POST", f"{NOWHERE}/cancel", None),
        ("POST", f"{NOWHERE}/return", {"reason": "duplication"}),
        ("POST", f"{NOWHERE}/request_return", {"reason": "duplication"}),
        ("POST", f"{NOWHERE}/reject_return_request", {"reason": "account_closed"}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return", {"reason": "duplication", "amount": 1}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return_request", {"reason": "duplication"}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return_request_rejection", {"reason": "other"}),
        ("POST", f"{SIMULATE}/instant_payment_nowhere/incoming_return_request_acceptance", None),
        ("GET", "/v1/event/event_nowhere", None),
    ]
    for method, path, body in calls:
        answer = desk.answer(method, path, body)
        assert (answer.status, json.loads(answer.body)["instance"].rpartition("_")[2]) == (404, "nowhere")


def test_other_paths_and_methods_are_refused(desk: Desk) -> None:
    """404, or 405 with what is allowed."""
    assert desk.answer("GET", "/v1/wires", judged=False).status == 404
    answer = desk.answer("DELETE", PAYMENTS, judged=False)
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "GET, POST")
    answer = desk.answer("GET", "/v1/oauth/token", judged=False)
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "POST")
    assert json.loads(desk.answer("GET", "/openapi.json", judged=False).body)["openapi"] == "3.0.3"


def test_availability_is_told_by_routing_number(desk: Desk) -> None:
    """Two numbers are not on the network, one is invalid, and what has not nine digits is, too."""
    path = f"{PAYMENTS}/check_availability"
    found = {
        number: desk.ask("POST", path, {"routing_number": number}, key=None)["available"]
        for number in ("111000111", "990000404", "990000503")
    }
    assert found == {"111000111": True, "990000404": False, "990000503": False}
    assert desk.refused("POST", path, {"routing_number": "990000422"}, key=None)[0] == 422
    assert desk.refused("POST", path, {"routing_number": "12"}, key=None)[0] == 422
    assert desk.refused("POST", path, {"routing_number": 12}, key=None)[0] == 400


@pytest.mark.parametrize("authorization", ["", "Basic abc", "Bearer unknown"])
def test_without_a_valid_token_nothing_is_served(desk: Desk, authorization: str) -> None:
    """401, whatever is asked for."""
    assert desk.refused("GET", PAYMENTS, authorization=authorization)[:2] == (401, "unauthorized")


def test_a_token_runs_out(desk: Desk) -> None:
    """After its life, and when it is revoked."""
    desk.wait(86_400)
    assert desk.refused("GET", PAYMENTS)[0] == 401
    desk.token = desk.login()
    desk.ask("GET", PAYMENTS)
    desk.tokens.revoke_all()
    assert desk.refused("GET", PAYMENTS)[0] == 401
    assert desk.tokens.issued == 2


def test_a_scope_opens_its_own_operations() -> None:
    """A reader cannot write, and who may see payments may not see events."""
    desk = Desk(scopes=frozenset({"instant_payment/read"}))
    desk.ask("GET", PAYMENTS)
    assert desk.refused("POST", PAYMENTS, ORDER)[:2] == (403, "insufficient_scope")
    assert desk.refused("GET", "/v1/event")[:2] == (403, "insufficient_scope")


def test_wrong_credentials_and_scopes_get_no_token(desk: Desk) -> None:
    """401 and 400, with a number for a status, as that endpoint has it."""
    good = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "s3cret"}
    assert desk.refused("POST", "/v1/oauth/token", {**good, "client_secret": "\ud800"})[:2] == (401, "invalid_client")
    assert desk.refused("POST", "/v1/oauth/token", {**good, "scope": "all/of_it"})[:2] == (400, "invalid_scope")
    _, _, named = desk.refused("POST", "/v1/oauth/token", {"grant_type": "password"})
    assert named == ["grant_type", "client_id", "client_secret"]
    answer = desk.ask("POST", "/v1/oauth/token", {**good, "scope": "event/read"})
    assert (answer["scope"], answer["expires_in"], answer["token_type"]) == ("event/read", 86_400, "Bearer")


def test_a_key_is_required_and_bounded(desk: Desk) -> None:
    """A keyed operation without one, or with too long a one, makes nothing."""
    assert desk.refused("POST", PAYMENTS, ORDER, key=None)[:2] == (400, "idempotency_error")
    assert desk.refused("POST", PAYMENTS, ORDER, key="k" * 256)[:2] == (400, "idempotency_error")
    assert len(desk.bank.payments) == 0


def test_the_same_key_gives_the_same_answer_again(desk: Desk) -> None:
    """Also when the payment has moved on; another request under it is refused, and an error frees it."""
    first = desk.ask("POST", PAYMENTS, ORDER, key="k")
    desk.wait()
    assert desk.ask("POST", PAYMENTS, ORDER, key="k") == first
    assert desk.refused("POST", PAYMENTS, {**ORDER, "amount": 1}, key="k")[:2] == (422, "idempotency_error")
    assert len(desk.bank.payments) == 1
    assert desk.refused("POST", PAYMENTS, {**ORDER, "amount": -1}, key="other")[0] == 400
    assert desk.ask("POST", PAYMENTS, ORDER, key="other")["id"] != first["id"]


def test_a_simulation_under_the_same_key_happens_once(desk: Desk) -> None:
    """Its empty answer is given again."""
    arrival = {name: value for name, value in ARRIVAL.items() if name != "payment_identifiers"}
    for _ in range(2):
        assert desk.ask("POST", f"{SIMULATE}/incoming", arrival, key="k") is None
    desk.wait()
    [payment] = desk.ask("GET", PAYMENTS)["objects"]
    assert payment["payment_identifiers"]["end_to_end_id"]


def test_a_key_is_in_progress_until_its_answer_is_on_its_way(desk: Desk) -> None:
    """409 meanwhile."""
    from leadpay.sandbox.http_api import Call  # noqa: PLC0415 - this test alone plays the server's part

    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {desk.token}",
        "idempotency-key": "k",
    }
    call = Call("POST", PAYMENTS, (), headers, json.dumps(ORDER).encode())
    first = desk.face.answer(call)
    assert desk.face.answer(call).status == 409
    desk.face.finish(first)
    assert desk.face.answer(call).body == first.body


def test_a_strict_bank_knows_only_opened_accounts() -> None:
    """403 for a sender, 422 for a receiver; an opened one may have little on it."""
    desk = Desk(strict=True)
    assert desk.refused("POST", PAYMENTS, ORDER)[:2] == (403, "account_number_forbidden")
    assert desk.refused("POST", f"{SIMULATE}/incoming", ARRIVAL)[:2] == (422, "operation_not_allowed")
    desk.bank.ledger.open(ACCOUNT, balance=4999)
    payment = desk.send()
    desk.wait()
    assert desk.read(payment)["rejection"]["reason"] == "non_sufficient_funds"
    assert desk.bank.ledger.balance(ACCOUNT) == 4999
    desk.bank.ledger.open(ACCOUNT, balance=5000)
    payment = desk.send()
    desk.wait()
    assert desk.read(payment)["status"] == "posted"
    assert (desk.bank.ledger.balance(ACCOUNT), desk.bank.ledger.total) == (0, 0)
