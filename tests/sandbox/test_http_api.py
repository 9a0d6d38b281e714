"""Paths, methods, content types, keys, and the faults that affect a response."""

import json
from email.utils import parsedate_to_datetime

import pytest

from tests.support.api_client import EVENTS, INCOMING, ORDER, PAYMENTS, SIMULATE, ApiClient


def test_a_body_of_another_type_is_refused(api: ApiClient) -> None:
    """The bank reads JSON only."""
    assert api.respond("POST", PAYMENTS, ORDER, content_type="text/plain").status == 400


def test_unknown_paths_and_methods_are_refused(api: ApiClient) -> None:
    """An unknown path is 404; an unknown method is 405 and names those that are allowed."""
    assert api.respond("GET", "/v1/wires", validated=False).status == 404
    response = api.respond("DELETE", PAYMENTS, validated=False)
    assert (response.status, dict(response.headers)["Allow"]) == (405, "GET, POST")
    response = api.respond("GET", "/v1/oauth/token", validated=False)
    assert (response.status, dict(response.headers)["Allow"]) == (405, "POST")


def test_the_description_needs_no_token(api: ApiClient) -> None:
    """It is served at a path of its own."""
    response = api.respond("GET", "/openapi.json", validated=False, authorization="")
    assert json.loads(response.body)["openapi"] == "3.0.3"


@pytest.mark.parametrize("key", [None, "k" * 256])
def test_a_key_is_required_and_has_a_maximum_length(api: ApiClient, key: str | None) -> None:
    """Without a valid key, no payment is made."""
    assert api.problem("POST", PAYMENTS, ORDER, key=key)[:2] == (400, "idempotency_error")
    assert len(api.bank.payments) == 0


def test_the_same_key_gets_the_same_response(api: ApiClient) -> None:
    """This holds after the payment has changed; another request is refused, and an error does not consume the key."""
    first = api.call("POST", PAYMENTS, ORDER, key="k")
    api.advance()
    assert api.call("POST", PAYMENTS, ORDER, key="k") == first
    assert api.problem("POST", PAYMENTS, {**ORDER, "amount": 1}, key="k")[:2] == (422, "idempotency_error")
    assert len(api.bank.payments) == 1
    assert api.problem("POST", PAYMENTS, {**ORDER, "amount": -1}, key="other")[0] == 400
    assert api.call("POST", PAYMENTS, ORDER, key="other")["id"] != first["id"]


def test_an_operation_that_fails_does_not_consume_its_key(api: ApiClient) -> None:
    """The same key can return the payment once it has posted."""
    path = f"{PAYMENTS}/{api.send()['id']}/request_return"
    assert api.problem("POST", path, {"reason": "duplication"}, key="k")[0] == 422
    api.advance()
    assert api.call("POST", path, {"reason": "duplication"}, key="k")["return_requests"]


def test_a_simulation_with_the_same_key_happens_once(api: ApiClient) -> None:
    """Its empty response is given again."""
    incoming = {name: value for name, value in INCOMING.items() if name != "payment_identifiers"}
    for _ in range(2):
        assert api.call("POST", f"{SIMULATE}/incoming", incoming, key="k") is None
    api.advance()
    [payment] = api.call("GET", PAYMENTS)["objects"]
    assert payment["payment_identifiers"]["end_to_end_id"]


def test_a_key_is_in_progress_until_its_response_is_sent(api: ApiClient) -> None:
    """Meanwhile, the same request gets 409."""
    request = api.request("POST", PAYMENTS, ORDER, key="k")
    first = api.http_api.respond(request)
    assert api.http_api.respond(request).status == 409
    api.http_api.finish(first)
    assert api.http_api.respond(request).body == first.body


@pytest.mark.parametrize(
    ("kind", "status", "made"),
    [
        ("rate_limited:value=7", 429, 0),
        ("rate_limited_date:value=7", 429, 0),
        ("server_error", 500, 0),
        ("server_error_after", 500, 1),
        ("bad_gateway", 502, 0),
        ("bad_gateway_after", 502, 1),
        ("proxy_error:status=405", 405, 0),
        ("proxy_error_after:status=499", 499, 1),
        ("source_ip_refused", 403, 0),
        ("in_progress", 409, 0),
        ("token_expired", 401, 0),
    ],
)
def test_an_error_comes_before_or_after_the_request_is_processed(
    api: ApiClient, kind: str, status: int, made: int
) -> None:
    """Afterwards, the same request with the same key leads to one payment."""
    api.faults.add(f"{kind}:send:1")
    response = api.respond("POST", PAYMENTS, ORDER, key="k", validated=False)
    assert response.status == status
    assert len(api.bank.payments) == made
    headers = dict(response.headers)
    if status == 502:
        assert response.body.startswith(b"<html>")
    elif status == 429:
        wait = headers["Retry-After"]
        assert wait == "7" if "date" not in kind else parsedate_to_datetime(wait).timestamp() == api.time + 7
    if status == 401:
        assert api.problem("POST", PAYMENTS, ORDER, key="k")[0] == 401
        api.token = api.log_in()
    api.call("POST", PAYMENTS, ORDER, key="k")
    assert len(api.bank.payments) == 1


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "cut_before",
            "response_lost",
            "response_cut",
            "slow",
            "late_response",
            "unsolicited_response",
            "webhook_first",
        ),
    ],
)
def test_a_fault_of_the_connection_goes_with_the_response(api: ApiClient, kind: str) -> None:
    """A refusal causes no webhook that could come first."""
    api.faults.add(f"{kind}:send:1")
    if kind == "webhook_first":
        assert api.respond("POST", PAYMENTS, {}).fault is None
    response = api.respond("POST", PAYMENTS, ORDER, validated=False)
    assert response.fault is not None
    assert response.fault.kind == kind
    assert len(api.bank.payments) == (kind != "cut_before")


def test_a_proxys_response_is_as_it_was_asked_for(api: ApiClient) -> None:
    """Its status, content type and body can be chosen."""
    api.faults.add("proxy_error:1:status=418:type=text/plain:body=no: go away")
    api.faults.add("proxy_error", times=1, status=451, content_type="application/json", body='{"blocked": true}')
    first, second = [api.respond("GET", PAYMENTS, validated=False) for _ in range(2)]
    assert (first.status, first.headers, first.body) == (418, (("Content-Type", "text/plain"),), b"no: go away")
    assert (second.status, second.body) == (451, b'{"blocked": true}')


def test_a_foreign_response_is_about_another_object(api: ApiClient) -> None:
    """The request was processed, and its key gives the right response afterwards."""
    earlier = api.send(amount=1)
    api.faults.add("foreign_response:send:1")
    foreign = json.loads(api.respond("POST", PAYMENTS, ORDER, key="k").body)
    assert foreign == api.retrieve(earlier)
    assert api.call("POST", PAYMENTS, ORDER, key="k")["amount"] == ORDER["amount"]
    assert len(api.bank.payments) == 2


def test_a_foreign_response_needs_no_other_payment(api: ApiClient) -> None:
    """Then it is about one of another client; a list or an empty response is never foreign."""
    api.faults.add("foreign_response")
    api.call("GET", PAYMENTS)
    api.call("POST", f"{SIMULATE}/incoming", INCOMING)
    assert api.faults.triggered == {}
    payment = api.send()
    [made] = api.bank.payments.all()
    assert (payment["id"], payment["amount"]) == (f"{made.id}0", made.amount + 1)
    path = f"{PAYMENTS}/check_availability"
    assert api.call("POST", path, {"routing_number": "111000111"}, key=None)["routing_number"] == "000000000"
    api.advance()
    event = api.bank.events.all()[0]
    assert api.call("GET", f"{EVENTS}/{event.id}")["id"] == f"{event.id}0"


@pytest.mark.parametrize(("kind", "headers"), [("rate_limit", {"Retry-After": "1"}), ("rate_limit_silent", {})])
def test_a_rate_limit_refuses_what_is_over_it(api: ApiClient, kind: str, headers: dict[str, str]) -> None:
    """After a second, the next requests are served again; other operations have no limit."""
    api.faults.add(f"{kind}:list:value=2")
    responses = [api.respond("GET", PAYMENTS, validated=False) for _ in range(4)]
    assert [response.status for response in responses] == [200, 200, 429, 429]
    assert {name: value for name, value in responses[-1].headers if name == "Retry-After"} == headers
    api.send()
    api.advance(1)
    assert api.respond("GET", PAYMENTS).status == 200


def test_a_rate_limit_for_all_operations_counts_them_together(api: ApiClient) -> None:
    """A send uses up what a list could have used."""
    api.faults.add("rate_limit", value=1)
    api.advance(1)
    api.send()
    assert api.respond("GET", PAYMENTS, validated=False).status == 429


def test_a_forgotten_key_makes_another_payment(api: ApiClient) -> None:
    """Before that time, the same key leads to the same payment."""
    api.faults.add("key_forgotten:value=3600")
    first = api.call("POST", PAYMENTS, ORDER, key="k")
    api.advance(3599)
    assert api.call("POST", PAYMENTS, ORDER, key="k") == first
    api.advance(1)
    assert api.call("POST", PAYMENTS, ORDER, key="k")["id"] != first["id"]
    assert api.faults.triggered == {"key_forgotten": 1}


def test_an_empty_response_has_no_data_faults(api: ApiClient) -> None:
    """The simulations have no JSON that a fault could change."""
    api.faults.add("unknown_field:simulate_incoming")
    assert api.call("POST", f"{SIMULATE}/incoming", INCOMING) is None
    assert api.faults.triggered == {}
