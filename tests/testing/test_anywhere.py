"""The pytest plugin in other people's projects: found by itself, in every asynchronous mode, warnings being errors."""

import subprocess
import sys

import pytest

USE = """
import pytest
from leadpay import Agent, Party, WebhookReceiver, WebhookRouter
from leadpay.testing import SECRET
from leadpay.webhooks.aiohttp import listening

router = WebhookRouter()
heard = []

@router.posted
async def hear(event):
    heard.append(event.payment.amount)

@pytest.fixture
def address(leadpay_sandbox):
    return leadpay_sandbox.url

{mark}
async def test_whole_story(address, leadpay_client, leadpay_sandbox, leadpay_clock, leadpay_deliver):
    assert (await leadpay_deliver("posted", router, amount=1)).succeeded
    async with listening(WebhookReceiver(router, secrets=SECRET, clock=leadpay_clock)) as url:
        leadpay_sandbox.webhook_url = url
        await leadpay_client.instant_payments.send(
            account_number_id="account_number_1", amount=2, creditor=Party(name="Alex", account_number="1"),
            creditor_agent=Agent(routing_number="111000111"),
        )
        await leadpay_clock.advance(5)
    assert heard == [1, 2]
"""

WITHOUT = ["-W", "ignore:The configuration option", *("-p", "no:schemathesis"), *("-p", "no:hypothesispytest")]
"""What has nothing to do with it, and takes its time to start; and what pytest-asyncio says of itself."""


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
def test_it_works_in_every_mode(pytester: pytest.Pytester, mark: str, options: list[str]) -> None:
    """Nothing has to be configured, and nothing is left open."""
    pytester.makepyfile(USE.format(mark=mark))
    result = pytester.runpytest_subprocess("-q", "-W", "error", *WITHOUT, *options)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=1)


def test_it_costs_nothing_until_it_is_used() -> None:
    """Every run of pytest loads it, so it imports nothing large."""
    large = "{'aiohttp', 'attrs', 'cattrs', 'leadpay.sandbox'}"
    code = f"import sys, leadpay.testing; print({large} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert done.stdout == "set()\n"
