"""What a failing test of somebody who uses our fixtures prints: on their screen, and in the logs of their CI."""

from importlib import import_module

import pytest

from leadpay.testing import SECRET
from tests.privacy.net import caught

TESTS = """
import pytest

from leadpay import WebhookReceiver, WebhookRouter
from tests.privacy import net

router = WebhookRouter()

@router.posted
async def hear(event):
    raise ValueError(net.MESSAGE)

@pytest.mark.asyncio
async def test_values(leadpay_client, leadpay_sandbox, leadpay_clock, leadpay_deliver, leadpay_sign):
    receiver = WebhookReceiver(router, secrets=[net.WEBHOOK_SECRET, leadpay_sign.secret], clock=leadpay_clock)
    fields = lambda: {"direction": "incoming", "debtor__name": net.NAME, "description": net.DESCRIPTION}
    outcome = await leadpay_deliver("posted", router, **fields())
    status = await leadpay_deliver("posted", receiver, **fields())
    payment = await leadpay_client.instant_payments.send(**net.PAYMENT)
    page = await leadpay_client.instant_payments.list(limit=5)
    calls = leadpay_client.instant_payments
    async with leadpay_sandbox.client(client_secret=net.CLIENT_SECRET) as other:
        everything = [outcome, status, payment, page, calls, other, receiver]
        assert everything == [leadpay_client, leadpay_sandbox, leadpay_clock, leadpay_deliver, leadpay_sign]

@pytest.mark.asyncio
async def test_unknown(leadpay_client, leadpay_sandbox):
    leadpay_sandbox.faults.add("response_lost:send:100")
    await leadpay_client.instant_payments.send(**net.PAYMENT)

@pytest.mark.asyncio
async def test_invalid(leadpay_client):
    await leadpay_client.instant_payments.send(**{**net.PAYMENT, "amount": 12.5})

@pytest.mark.asyncio
async def test_wrong_secret(leadpay_sandbox):
    async with leadpay_sandbox.client(client_secret=net.CLIENT_SECRET) as lead:
        await lead.instant_payments.send(**net.PAYMENT)

@pytest.mark.asyncio
async def test_wrong_token(leadpay_sandbox):
    async with leadpay_sandbox.client(client_id=None, client_secret=None, token=net.TOKEN) as lead:
        await lead.instant_payments.send(**net.PAYMENT)

@pytest.mark.asyncio
async def test_wrong_event(leadpay_deliver):
    await leadpay_deliver("lost", router, debtor__name=net.NAME)
"""
# What is first imported by a run within this process would be there twice after it.
for module in ("client", "sandbox", "webhooks.receiver"):
    import_module(f"leadpay.{module}")

WITHOUT = ["-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:cov", "-p", "no:cacheprovider"]


def printed(pytester: pytest.Pytester, failed: int, *options: str) -> str:
    """Let tests fail, and give what pytest prints."""
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess(*WITHOUT, "-o", "asyncio_default_fixture_loop_scope=function", *options)
    assert result.parseoutcomes()["failed"] == failed
    return result.stdout.str() + result.stderr.str()


def test_a_failing_test_prints_nothing_personal(pytester: pytest.Pytester) -> None:
    """But for what its own handler raised, which whoever reads it has to know."""
    text = printed(pytester, 6, "--log-level=DEBUG", "-vv")
    assert "Outcome(" in text
    assert caught(text) == {"message"}
    assert SECRET not in text


def test_nor_do_its_local_variables(pytester: pytest.Pytester) -> None:
    """Every fixture, client, receiver and model has a repr that can be shown."""
    text = printed(pytester, 1, "--showlocals", "-vv", "-k", "values")
    assert "payment    = InstantPayment(" in text
    assert caught(text) == {"message"}
    assert SECRET not in text
