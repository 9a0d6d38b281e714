"""The demo's own judgement: it fails when something is missing."""

import asyncio

from leadpay.demo import Story, dollars
from leadpay.sandbox import Sandbox


def test_the_demo_fails_when_webhooks_are_missing() -> None:
    """With nobody to hear them, the story says what was not heard, and that something is wrong."""
    said: list[str] = []

    async def story() -> bool:
        async with Sandbox(delay=0) as bank, bank.client() as lead:
            return await Story(bank, lead, said.append).notify()

    assert asyncio.run(story()) is False
    assert said[-1] == "Something is wrong."
    assert "FAILED: heard instant_payment.rejected" in said


def test_dollars_are_written_with_two_digits() -> None:
    """Cents become dollars for a person."""
    assert [dollars(5), dollars(1999), dollars(123456789)] == ["$0.05", "$19.99", "$1,234,567.89"]
