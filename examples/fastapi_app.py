"""Receive webhooks in FastAPI or Starlette: ``uv run python examples/fastapi_app.py``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox

router = WebhookRouter()


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None:
    print("credit", event.payment.amount, "cents")


def make_app(receiver: WebhookReceiver) -> FastAPI:
    async def webhook(request: Request) -> Response:
        # Pass the raw bytes: parsed and serialized again, the JSON would not match the signature.
        return Response(status_code=await receiver.receive(body=await request.body(), headers=request.headers))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with receiver:  # starts the routers' lifespans, and the worker if there is an inbox
            yield

    # starlette.applications.Starlette takes the same arguments.
    return FastAPI(routes=[Route("/webhooks/lead", webhook, methods=["POST"])], lifespan=lifespan)


async def main() -> None:
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        app = make_app(WebhookReceiver(router, secrets=[bank.webhook_secret]))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        bank.webhook_url = f"http://127.0.0.1:{port}/webhooks/lead"
        await lead.simulate.incoming(
            account_number_id="account_number_xyz123",
            amount=5000,
            debtor=Party(name="Alex Smith", account_number="1234567890"),
            debtor_agent=Agent(routing_number="111000111"),
        )
        await bank.wait_idle()
        server.should_exit = True
        await serving


asyncio.run(main())
