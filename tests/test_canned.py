"""Canned responses: what a client gets, what it sent, and what a test is told that wrote down too few."""

import sys
from typing import Any

import aiohttp
import pytest

from leadpay import Agent, NoAnswerError, Party, UnprocessableEntityError
from leadpay.canned import CannedBank, CannedResponse

ORDER: dict[str, Any] = {
    "account_number_id": "account_number_1",
    "amount": 700,
    "creditor": Party(name="Alex Smith", account_number="1234567890"),
    "creditor_agent": Agent(routing_number="111000111"),
}
ONE = "/v1/instant_payments/instant_payment_1"

pytestmark = pytest.mark.asyncio


async def test_a_payment_is_read(leadpay_canned: CannedBank) -> None:
    """From the JSON that the test wrote down; the request is recorded."""
    made = leadpay_canned.payment(id="instant_payment_1", direction="incoming", amount=700)
    leadpay_canned.get(ONE, payload=made)
    payment = await leadpay_canned.client.instant_payments.retrieve("instant_payment_1")
    assert (payment.amount, payment.direction, payment.status) == (700, "incoming", "posted")
    assert leadpay_canned.requests == [("GET", ONE, None, None)]


async def test_every_send_is_accepted(leadpay_canned: CannedBank) -> None:
    """Each response has what was ordered, so that the client believes it; requests are in their order."""
    leadpay_canned.accept_sends(id="instant_payment_7")
    leadpay_canned.get(ONE, payload=leadpay_canned.payment(id="instant_payment_1"))
    payments = leadpay_canned.client.instant_payments
    first = await payments.send(**ORDER, idempotency_key="k1")
    await payments.retrieve("instant_payment_1")
    second = await payments.send(**{**ORDER, "amount": 800}, idempotency_key="k2")
    assert (first.id, first.amount, first.status, second.amount) == ("instant_payment_7", 700, "created", 800)
    assert [(one.method, one.key) for one in leadpay_canned.requests] == [("POST", "k1"), ("GET", None), ("POST", "k2")]
    assert leadpay_canned.requests[0].body["creditor"]["account_number"] == "1234567890"


async def test_refusals_and_failures_are_written_down_too(leadpay_canned: CannedBank) -> None:
    """A status, and an exception of aiohttp; the client's retries take no time."""
    problem = {"code": "operation_not_allowed", "title": "No."}
    leadpay_canned.post("/v1/instant_payments", payload=problem, status=422)
    with pytest.raises(UnprocessableEntityError):
        await leadpay_canned.client.instant_payments.send(**ORDER)
    leadpay_canned.get(ONE, exception=aiohttp.ServerDisconnectedError(), repeat=True)
    with pytest.raises(NoAnswerError):
        await leadpay_canned.client.instant_payments.retrieve("instant_payment_1")
    leadpay_canned.patch("/v1/account_number/account_number_1", payload={}, status=404)
    assert len(leadpay_canned.requests) > 2


async def test_a_request_without_a_response_fails_the_test(leadpay_canned: CannedBank) -> None:
    """The message names the request, and not what a query asks for."""
    wanted = "no canned response is left for GET /v1/account_number$"
    with pytest.raises(pytest.fail.Exception, match=wanted):
        await leadpay_canned.client.account_numbers.list(account_number="1234567890")
    with pytest.raises(ValueError, match="path: must begin with a slash"):
        leadpay_canned.get("v1/event")


async def test_a_sandbox_can_be_used_beside_it(leadpay_canned: CannedBank, leadpay_client: Any) -> None:
    """What goes to a loopback address is really sent."""
    assert (await leadpay_client.instant_payments.send(**ORDER)).status == "created"
    assert leadpay_canned.requests == []


async def test_a_response_needs_no_argument_that_aiohttp_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of aiohttp refuse the argument that newer ones require."""
    given: dict[str, Any] = {}

    def older(_: Any, method: str, **named: Any) -> None:
        given.update(named, method=method)

    monkeypatch.setattr(aiohttp.ClientResponse, "__init__", older)
    monkeypatch.setattr(aiohttp.ClientResponse, "__del__", lambda _: None)
    CannedResponse("GET", timer=1)
    assert given == {"timer": 1, "method": "GET"}


async def test_without_aioresponses_the_fixture_says_what_to_install(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no dependency of leadpay."""
    monkeypatch.setitem(sys.modules, "aioresponses", None)
    with pytest.raises(pytest.fail.Exception, match="pip install aioresponses"):
        request.getfixturevalue("leadpay_canned")
