"""The pytest plugin: each fixture in this process, and the whole plugin in a project of its own."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from leadpay import Defer, Event, InstantPaymentEvent, LeadClient, WebhookReceiver, WebhookRouter
from leadpay.converter import structure_event
from leadpay.errors import SignatureError
from leadpay.models import Agent, Party
from leadpay.testing import SECRET, Deliver, Sign, TestBank, TestClock
from leadpay.webhooks import HEADER, verify
from leadpay.webhooks.aiohttp import listening

ORDER: dict[str, Any] = {
    "account_number_id": "account_number_1",
    "amount": 5000,
    "creditor": Party(name="Alex Smith", account_number="1234567890"),
    "creditor_agent": Agent(routing_number="111000111"),
}


@pytest.mark.asyncio
async def test_handlers_are_examined(leadpay_exam: Any) -> None:
    """The fixture is the function."""
    report = await leadpay_exam(WebhookRouter("empty"))
    assert (report.handlers, report.findings) == ((), ())
    report.raise_for_findings()


@pytest.fixture
def received() -> list[str]:
    return []


@pytest.fixture
def router(received: list[str]) -> WebhookRouter:
    router = WebhookRouter("tested")

    @router.on("instant_payment.*")
    async def note(event: Event) -> None:
        assert isinstance(event, InstantPaymentEvent)
        received.append(f"{event.type.rpartition('.')[2]} {event.payment.amount}")

    return router


@pytest.mark.asyncio
async def test_the_client_pays_at_the_bank_and_the_test_moves_the_time(
    leadpay_client: LeadClient,
    leadpay_sandbox: TestBank,
    leadpay_clock: TestClock,
    router: WebhookRouter,
    received: list[str],
) -> None:
    """Faults take no time, held payments can be released, and webhooks reach a receiver that shares the clock."""
    receiver = WebhookReceiver(router, secrets=SECRET, clock=leadpay_clock)
    async with listening(receiver) as url:
        leadpay_sandbox.webhook_url = url
        leadpay_sandbox.faults.add("response_lost:send:3")
        leadpay_sandbox.next_payment("held")
        leadpay_sandbox.next_payment("held")
        one, other = [await leadpay_client.instant_payments.send(**ORDER) for _ in range(2)]
        await leadpay_clock.advance(10)
        leadpay_sandbox.release(one.id)
        leadpay_sandbox.refuse(other.id)
        await leadpay_sandbox.wait_idle()
        await leadpay_clock.advance(10)
        assert leadpay_sandbox.faults.triggered == {"response_lost": 3}
    assert received == [
        "under_review 5000",
        "under_review 5000",
        "posted 5000",
        "rejected 5000",
        "counterparty_status_updated 5000",
    ]
    assert leadpay_sandbox.webhook_url == url
    assert [attempt.type.rpartition(".")[2] for attempt in leadpay_sandbox.attempts] == [
        event.partition(" ")[0] for event in received
    ]
    async with leadpay_sandbox.client() as another:
        assert (await another.instant_payments.retrieve(one.id)).has_arrived


@pytest.mark.asyncio
async def test_the_counterparty_returns_a_payment_and_requests_a_return(
    leadpay_client: LeadClient, leadpay_sandbox: TestBank, leadpay_clock: TestClock
) -> None:
    """It may give any reason, also one that a client cannot give."""
    sent = await leadpay_client.instant_payments.send(**ORDER)
    await leadpay_clock.advance(10)
    leadpay_sandbox.return_payment(sent.id, "amount_too_low", amount=2000)
    await leadpay_clock.advance(10)
    returned = (await leadpay_client.instant_payments.list(direction="incoming")).objects[0]
    assert returned.return_ is not None
    assert (returned.original_payment_id, returned.return_.reason, returned.amount) == (sent.id, "amount_too_low", 2000)
    await leadpay_client.simulate.incoming(
        account_number_id="account_number_1", amount=1, debtor=ORDER["creditor"], debtor_agent=ORDER["creditor_agent"]
    )
    await leadpay_clock.advance(10)
    incoming = (await leadpay_client.instant_payments.list(direction="incoming")).objects[0]
    leadpay_sandbox.request_return(incoming.id, "per_agent_request")
    await leadpay_clock.advance(10)
    request = (await leadpay_client.instant_payments.retrieve(incoming.id)).active_return_request
    assert request is not None
    assert request.reason == "per_agent_request"


@pytest.mark.asyncio
async def test_a_test_chooses_what_a_proxy_responds(
    leadpay_client: LeadClient, leadpay_sandbox: TestBank, leadpay_clock: TestClock
) -> None:
    """Faults have a text form and fields, and end when they are cleared."""
    leadpay_sandbox.faults.add("rate_limit:check_availability", value=0)
    leadpay_sandbox.faults.clear()
    leadpay_sandbox.faults.add("proxy_error", operation="check_availability", times=1, status=503, body="<html>")
    assert (await leadpay_client.instant_payments.check_availability("111000111")).available
    assert leadpay_sandbox.faults.triggered == {"proxy_error": 1}


@pytest.mark.asyncio
async def test_a_router_gets_events_and_returns_their_outcome(
    leadpay_deliver: Deliver, router: WebhookRouter, received: list[str]
) -> None:
    """One event gives an outcome; several, or a number of times, give a list in the order of delivery."""
    outcome = await leadpay_deliver("posted", router, direction="incoming", amount=7)
    assert outcome.succeeded
    outcomes = await leadpay_deliver(["posted", "rejected"], router, times=2, reordered=True, amount=8)
    assert [one.succeeded for one in outcomes] == [True] * 4
    assert received == ["posted 7", "rejected 8", "rejected 8", "posted 8", "posted 8"]
    assert len(await leadpay_deliver("posted", router, times=1)) == 1

    @router.posted
    async def later(event: InstantPaymentEvent) -> None:
        raise Defer(1)

    outcome = await leadpay_deliver("posted", router)
    assert [result.status for result in outcome.results] == ["succeeded", "deferred"]


@pytest.mark.asyncio
async def test_a_receiver_or_a_url_gets_events_and_returns_the_status(
    leadpay_deliver: Deliver, leadpay_clock: TestClock, router: WebhookRouter, received: list[str]
) -> None:
    """Webhooks are signed with the common secret, and a duplicate is handled once, as in production."""
    receiver = WebhookReceiver(router, secrets=SECRET, clock=leadpay_clock)
    event = leadpay_deliver.event("posted", direction="incoming", amount=9, debtor__name="Jo Doe")
    assert await leadpay_deliver(event, receiver, times=2) == [200, 200]
    assert await leadpay_deliver(structure_event(event), receiver) == 200
    assert received == ["posted 9"]
    assert event["object"]["debtor"]["name"] == "Jo Doe"
    async with listening(receiver) as url:
        assert await leadpay_deliver("rejected", url, rejection__details="No") == 200
    with pytest.raises(ConnectionError, match="gave no response"):
        await leadpay_deliver("posted", url)


def test_a_signature_is_the_banks(leadpay_sign: Sign, leadpay_clock: TestClock) -> None:
    """The secret and the age can be chosen, and no event loop is needed."""
    now = int(leadpay_clock.now() * 1000)
    verify(b"{}", leadpay_sign(b"{}")[HEADER], SECRET, now_ms=now)
    with pytest.raises(SignatureError, match="mismatch"):
        verify(b"{}", leadpay_sign(b"{}", secret="other")[HEADER], SECRET, now_ms=now)
    with pytest.raises(SignatureError, match="too_old"):
        verify(b"{}", leadpay_sign(b"{}", age=600)[HEADER], SECRET, now_ms=now)


def test_the_bank_runs_without_an_event_loop(
    leadpay_client: LeadClient, leadpay_sandbox: TestBank, leadpay_clock: TestClock
) -> None:
    """A test that is not asynchronous can run its own loop."""

    async def check() -> bool:
        async with leadpay_client:
            return (await leadpay_client.instant_payments.check_availability("111000111")).available

    assert asyncio.run(check())
    assert leadpay_sandbox.url.startswith("http://127.0.0.1:")
    assert leadpay_sandbox.webhook_secret == SECRET
    assert leadpay_clock.monotonic() == 0


PROJECT = """
import pytest
from leadpay import Agent, Party, WebhookReceiver, WebhookRouter
from leadpay.testing import SECRET
from leadpay.webhooks.aiohttp import listening

router = WebhookRouter()
amounts = []

@router.posted
async def note(event):
    amounts.append(event.payment.amount)

@pytest.fixture
def address(leadpay_sandbox):
    return leadpay_sandbox.url

{mark}
async def test_everything(address, leadpay_client, leadpay_sandbox, leadpay_clock, leadpay_deliver):
    assert (await leadpay_deliver("posted", router, amount=1)).succeeded
    async with listening(WebhookReceiver(router, secrets=SECRET, clock=leadpay_clock)) as url:
        leadpay_sandbox.webhook_url = url
        await leadpay_client.instant_payments.send(
            account_number_id="account_number_1", amount=2, creditor=Party(name="Alex", account_number="1"),
            creditor_agent=Agent(routing_number="111000111"),
        )
        await leadpay_clock.advance(5)
    assert amounts == [1, 2]
"""

OPTIONS = ["-W", "ignore:The configuration option", *("-p", "no:schemathesis"), *("-p", "no:hypothesispytest")]
"""Leaves out plugins that are slow to start, and a warning of pytest-asyncio about itself."""


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ["-p", "no:anyio"]),
        ("@pytest.mark.asyncio", ["-o", "asyncio_mode=strict"]),
        ("", ["-o", "asyncio_mode=auto"]),
        ('@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio"])', []),
        ('@pytest.mark.anyio\n@pytest.mark.parametrize("anyio_backend", ["asyncio"])', ["-p", "no:asyncio"]),
    ],
    ids=["asyncio", "strict", "auto", "anyio", "anyio alone"],
)
def test_it_works_in_every_asynchronous_mode(pytester: pytest.Pytester, mark: str, options: list[str]) -> None:
    """It needs no configuration, and leaves nothing open."""
    pytester.makepyfile(PROJECT.format(mark=mark))
    result = pytester.runpytest_subprocess("-q", "-W", "error", *OPTIONS, *options)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=1)


def test_it_imports_nothing_large_until_it_is_used() -> None:
    """Every run of pytest loads it."""
    large = "{'aiohttp', 'attrs', 'cattrs', 'leadpay.sandbox'}"
    code = f"import sys, leadpay.testing; print({large} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert done.stdout == "set()\n"
