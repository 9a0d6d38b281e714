"""What pytest prints when a test that uses our fixtures fails: it may end up in the logs of a CI."""

from importlib import import_module

import pytest

from leadpay.testing import SECRET
from tests.privacy.leaks import find_canaries

TESTS = """
import pytest

from leadpay import WebhookReceiver, WebhookRouter
from tests.privacy import leaks

router = WebhookRouter()

@router.posted
async def handle(event):
    raise ValueError(leaks.MESSAGE)

@pytest.mark.asyncio
async def test_values(leadpay_client, leadpay_sandbox, leadpay_clock, leadpay_deliver, leadpay_sign):
    receiver = WebhookReceiver(router, secrets=[leaks.WEBHOOK_SECRET, leadpay_sign.secret], clock=leadpay_clock)
    fields = lambda: {"direction": "incoming", "debtor__name": leaks.NAME, "description": leaks.DESCRIPTION}
    outcome = await leadpay_deliver("posted", router, **fields())
    status = await leadpay_deliver("posted", receiver, **fields())
    payment = await leadpay_client.instant_payments.send(**leaks.PAYMENT)
    page = await leadpay_client.instant_payments.list(limit=5)
    calls = leadpay_client.instant_payments
    async with leadpay_sandbox.client(client_secret=leaks.CLIENT_SECRET) as other:
        values = [outcome, status, payment, page, calls, other, receiver]
        assert values == [leadpay_client, leadpay_sandbox, leadpay_clock, leadpay_deliver, leadpay_sign]

@pytest.mark.asyncio
async def test_unknown(leadpay_client, leadpay_sandbox):
    leadpay_sandbox.faults.add("response_lost:send:100")
    await leadpay_client.instant_payments.send(**leaks.PAYMENT)

@pytest.mark.asyncio
async def test_invalid(leadpay_client):
    await leadpay_client.instant_payments.send(**{**leaks.PAYMENT, "amount": 12.5})

@pytest.mark.asyncio
async def test_wrong_secret(leadpay_sandbox):
    async with leadpay_sandbox.client(client_secret=leaks.CLIENT_SECRET) as lead:
        await lead.instant_payments.send(**leaks.PAYMENT)

@pytest.mark.asyncio
async def test_wrong_token(leadpay_sandbox):
    async with leadpay_sandbox.client(client_id=None, client_secret=None, token=leaks.TOKEN) as lead:
        await lead.instant_payments.send(**leaks.PAYMENT)

@pytest.mark.asyncio
async def test_wrong_event(leadpay_deliver):
    await leadpay_deliver("lost", router, debtor__name=leaks.NAME)
"""
# A module that is first imported by the inner run would be imported a second time by later tests.
for module in ("client", "sandbox", "webhooks.receiver"):
    import_module(f"leadpay.{module}")

WITHOUT = ["-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:cov", "-p", "no:cacheprovider"]


def printed(pytester: pytest.Pytester, failed: int, *options: str) -> str:
    """Run failing tests and return the output of pytest."""
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess(*WITHOUT, "-o", "asyncio_default_fixture_loop_scope=function", *options)
    assert result.parseoutcomes()["failed"] == failed
    return result.stdout.str() + result.stderr.str()


def test_a_failing_test_prints_no_personal_data(pytester: pytest.Pytester) -> None:
    """The exception of its own handler is printed, because a developer needs it."""
    text = printed(pytester, 6, "--log-level=DEBUG", "-vv")
    assert "Outcome(" in text
    assert find_canaries(text) == {"message"}
    assert SECRET not in text


def test_local_variables_print_no_personal_data(pytester: pytest.Pytester) -> None:
    """The repr of every fixture, client, receiver and model is safe."""
    text = printed(pytester, 1, "--showlocals", "-vv", "-k", "values")
    assert "payment    = InstantPayment(" in text
    assert find_canaries(text) == {"message"}
    assert SECRET not in text
