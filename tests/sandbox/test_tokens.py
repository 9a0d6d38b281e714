"""Access tokens: who gets one, what it allows, and when it ends."""

import json

import pytest

from tests.support.api_client import CREDENTIALS, EVENTS, ORDER, PAYMENTS, TOKEN, ApiClient


@pytest.mark.parametrize("authorization", ["", "Basic abc", "Bearer unknown"])
def test_a_request_without_a_valid_token_is_refused(api: ApiClient, authorization: str) -> None:
    """The status is 401 for every operation."""
    assert api.problem("GET", PAYMENTS, authorization=authorization)[:2] == (401, "unauthorized")


def test_a_token_expires(api: ApiClient) -> None:
    """It ends after its lifetime, and when it is revoked."""
    api.advance(86_400)
    assert api.problem("GET", PAYMENTS)[0] == 401
    api.token = api.log_in()
    api.call("GET", PAYMENTS)
    api.tokens.revoke_all()
    assert api.problem("GET", PAYMENTS)[0] == 401
    assert api.tokens.issued == 2


def test_a_scope_allows_its_own_operations() -> None:
    """A token that can read payments can neither send them nor read events."""
    api = ApiClient(scopes=frozenset({"instant_payment/read"}))
    api.call("GET", PAYMENTS)
    assert api.problem("POST", PAYMENTS, ORDER)[:2] == (403, "insufficient_scope")
    assert api.problem("GET", EVENTS)[:2] == (403, "insufficient_scope")


def test_wrong_credentials_and_scopes_get_no_token(api: ApiClient) -> None:
    """The token endpoint refuses them with 400 and a numeric status, as its description says."""
    assert api.problem("POST", TOKEN, {**CREDENTIALS, "client_secret": "\ud800"})[:2] == (400, "invalid_client")
    assert api.problem("POST", TOKEN, {**CREDENTIALS, "scope": "all/of_it"})[:2] == (400, "invalid_scope")
    response = api.respond("POST", TOKEN, {**CREDENTIALS, "client_id": "other"})
    assert json.loads(response.body)["status"] == 400


def test_a_scope_that_was_not_granted_gets_no_token() -> None:
    """A program without event/read can still ask for a token for payments."""
    api = ApiClient(scopes=frozenset({"instant_payment/read_write"}))
    both = "instant_payment/read_write event/read"
    assert api.problem("POST", TOKEN, {**CREDENTIALS, "scope": both})[:2] == (400, "invalid_scope")
    api.token = api.log_in(scope="instant_payment/read_write")
    assert api.send()["status"] == "created"


def test_a_fault_refuses_a_token(api: ApiClient) -> None:
    """The refusal is the documented one, though the credentials are right."""
    api.faults.add("token_refused:1")
    assert api.problem("POST", TOKEN, CREDENTIALS)[:2] == (400, "parameters_invalid")
    assert api.log_in()


def test_a_token_has_the_scopes_that_were_asked_for(api: ApiClient) -> None:
    """The response names them, and the token's lifetime."""
    token = api.call("POST", TOKEN, {**CREDENTIALS, "scope": "event/read"})
    assert (token["scope"], token["expires_in"], token["token_type"]) == ("event/read", 86_400, "Bearer")


def test_the_same_token_may_be_issued_again(api: ApiClient) -> None:
    """It has less time left, and may have been revoked."""
    api.advance(100)
    api.faults.add("same_token:2")
    api.tokens.revoke(api.token)
    again = api.call("POST", TOKEN, CREDENTIALS)
    assert (again["access_token"], again["expires_in"]) == (api.token, 86_300)
    assert api.problem("GET", PAYMENTS)[0] == 401
    other = ApiClient()
    other.faults.add("same_token")
    assert other.log_in() == other.log_in()
