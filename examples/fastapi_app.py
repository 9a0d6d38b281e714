"""Receive webhooks in FastAPI: ``uv run python examples/fastapi_app.py``."""

import asyncio

import uvicorn
from fastapi import FastAPI

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.asgi import WebhookApp

router = WebhookRouter()


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None:
    print("credit", event.payment.amount, "cents")


def make_app(secret: str) -> WebhookApp:
    return WebhookApp(WebhookReceiver(router, secrets=[secret]), app=FastAPI())


async def main() -> None:
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        server = uvicorn.Server(uvicorn.Config(make_app(bank.webhook_secret), port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        bank.webhook_url = f"http://127.0.0.1:{port}/webhooks/lead"
        debtor, agent = Party(name="Alex Smith", account_number="1234567890"), Agent(routing_number="111000111")
        await lead.simulate.incoming(
            account_number_id="account_number_xyz123", amount=5000, debtor=debtor, debtor_agent=agent
        )
        await bank.wait_idle()
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main())
