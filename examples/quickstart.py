"""Send a payment and hear what becomes of it, against the pretend bank: ``uv run python examples/quickstart.py``."""

import asyncio

from aiohttp import web

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import mount

router = WebhookRouter()


@router.posted(direction="outgoing")
async def left_our_account(event: InstantPaymentEvent) -> None:
    print("posted on our side:", event.payment.id)


@router.counterparty_status_update
async def moved_on_their_side(event: InstantPaymentEvent) -> None:
    print("arrived:", event.payment.has_arrived)


async def main() -> None:
    async with Sandbox() as bank, bank.client() as lead:
        app = web.Application()
        mount(app, WebhookReceiver(router, secrets=[bank.webhook_secret]), path="/webhooks/lead")
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        bank.webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/lead"

        payment = await lead.instant_payments.send(
            account_number_id="account_number_xyz123",
            amount=5000,  # cents
            creditor=Party(name="Alex Smith", account_number="1234567890"),
            creditor_agent=Agent(routing_number="111000111"),
            idempotency_key="invoice-12345",
        )
        print("created:", payment.id)
        await bank.wait_idle()
        await runner.cleanup()


asyncio.run(main())
