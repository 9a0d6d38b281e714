"""A web application that pays and is told: ``uv run python examples/aiohttp_app.py``.

In production, take the client from ``LeadClient.from_env()`` and the secret from the environment, and run the
application as you run yours; here the pretend bank stands in, and the application calls itself once.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from leadpay import Agent, InstantPaymentEvent, LeadClient, OutcomeUnknownError, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import mount

router = WebhookRouter()
LEAD = web.AppKey("lead", LeadClient)


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None:
    print(f"credit {event.payment.amount} cents; a return: {event.payment.is_return}")


@router.return_request_response_needed
async def answer(event: InstantPaymentEvent) -> None:
    print("answer before", event.payment.active_return_request and event.payment.active_return_request.deadline)


async def pay(request: web.Request) -> web.Response:
    order = await request.json()
    try:
        payment = await request.app[LEAD].instant_payments.send(
            account_number_id="account_number_xyz123",
            amount=order["cents"],
            creditor=Party(name="Robin Brown", account_number=order["account_number"]),
            creditor_agent=Agent(routing_number="111000111"),
            idempotency_key=order["invoice"],
        )
    except OutcomeUnknownError as error:  # never with a new key: send it again with this one
        return web.json_response({"resume_with": error.idempotency_key}, status=202)
    return web.json_response({"id": payment.id, "status": payment.status})


def make_app(lead: LeadClient, secret: str) -> web.Application:
    async def close(_: web.Application) -> AsyncIterator[None]:
        async with lead:
            yield

    app = web.Application()
    app[LEAD] = lead
    app.cleanup_ctx.append(close)
    app.router.add_post("/pay", pay)
    mount(app, WebhookReceiver(router, secrets=[secret], client=lead))
    return app


async def main() -> None:
    async with Sandbox() as bank:
        runner = web.AppRunner(make_app(bank.client(), bank.webhook_secret))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        here = f"http://127.0.0.1:{runner.addresses[0][1]}"
        bank.webhook_url = f"{here}/webhooks/lead"
        # To this account number of the pretend bank's, a payment posts, is rejected there, and comes back.
        order = {"cents": 5000, "account_number": "9900004001", "invoice": "invoice-12345"}
        async with aiohttp.ClientSession() as session, session.post(f"{here}/pay", json=order) as answered:
            print(answered.status, (await answered.json())["status"])
        await bank.wait_idle()
        await runner.cleanup()


asyncio.run(main())
