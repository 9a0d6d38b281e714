"""Run in an environment of its own: a program that takes its handlers from installed packages."""

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
    """Let a payment come in, give it back, and tell what the plugins and the handler after them did."""
    router = WebhookRouter("host")
    loaded = load_plugins(router, on_error=on_error)
    neighbour = []

    @router.posted
    async def note(event: InstantPaymentEvent) -> None:
        neighbour.append(str(event.payment.direction))

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
    told = {"loaded": [one.distribution for one in loaded], "neighbour": neighbour, "counts": receiver.counts}
    print(json.dumps(told))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    asyncio.run(main("skip" if "skip" in sys.argv else "raise"))
