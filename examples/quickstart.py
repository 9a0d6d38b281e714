"""Send a payment and receive its webhooks, at the simulated bank: ``uv run python examples/quickstart.py``."""

import asyncio

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening

router = WebhookRouter()


@router.posted(direction="outgoing")
async def posted(event: InstantPaymentEvent) -> None:
    print("posted on our side:", event.payment.id)


@router.counterparty_status_update
async def updated(event: InstantPaymentEvent) -> None:
    print("arrived:", event.payment.has_arrived)


async def main() -> None:
    async with Sandbox() as bank, bank.client() as lead:
        receiver = WebhookReceiver(router, secrets=[bank.webhook_secret])
        async with listening(receiver, path="/webhooks/lead") as bank.webhook_url:
            payment = await lead.instant_payments.send(
                account_number_id="account_number_xyz123",
                amount=5000,  # cents
                creditor=Party(name="Alex Smith", account_number="1234567890"),
                creditor_agent=Agent(routing_number="111000111"),
                idempotency_key="invoice-12345",
            )
            print("created:", payment.id)
            await bank.wait_idle()


asyncio.run(main())
