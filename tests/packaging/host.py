"""A program that loads its handlers from installed packages; it runs in a separate environment."""

import asyncio
import json
import logging
import sys

from leadpay import InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter, load_plugins
from leadpay.models import Agent
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.plugins import OnError


async def main(on_error: OnError) -> None:
    """Receive a payment, return it, and print what the plugins and the host's own handler did."""
    router = WebhookRouter("host")
    loaded = load_plugins(router, on_error=on_error)
    own_handler = []

    @router.posted
    async def remember(event: InstantPaymentEvent) -> None:
        own_handler.append(str(event.payment.direction))

    async with Sandbox(delay=0, faults=["webhook_duplicate"]) as bank, bank.client() as lead:
        receiver = WebhookReceiver(router, secrets=[bank.webhook_secret])
        async with listening(receiver) as bank.webhook_url:
            await lead.simulate.incoming(
                account_number_id="account_number_xyz123",
                amount=5000,
                debtor=Party(name="Alex Smith", account_number="1234567890"),
                debtor_agent=Agent(routing_number="111000111"),
            )
            await bank.wait_idle()
            payment = (await lead.instant_payments.list(direction="incoming", limit=1)).objects[0]
            await lead.instant_payments.return_payment(payment.id, reason="customer_requested")
            await bank.wait_idle()
    result = {"loaded": [one.distribution for one in loaded], "own_handler": own_handler, "counts": receiver.counts}
    print(json.dumps(result))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    asyncio.run(main("skip" if "skip" in sys.argv else "raise"))
