"""A web application that sends payments and receives webhooks, against the sandbox."""

import asyncio

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from leadpay import Agent, InstantPaymentEvent, LeadClient, OutcomeUnknownError, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import mount

LEAD = web.AppKey("lead", LeadClient)
router = WebhookRouter()


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None:
    print(f"credit {event.payment.amount} cents; a return: {event.payment.is_return}")


@router.return_request_response_needed
async def decide(event: InstantPaymentEvent) -> None:
    print(f"respond to the return request of {event.payment.id}")


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
    except OutcomeUnknownError as error:  # send it again with this key, never with a new one
        return web.json_response({"retry_with": error.idempotency_key}, status=202)
    return web.json_response({"id": payment.id, "status": payment.status})


def make_app(lead: LeadClient, secret: str) -> web.Application:
    app = web.Application()
    app[LEAD] = lead
    app.router.add_post("/pay", pay)
    mount(app, WebhookReceiver(router, secrets=[secret], client=lead), path="/webhooks/lead")
    return app


async def main() -> None:
    async with Sandbox() as bank, bank.client() as lead, TestServer(make_app(lead, bank.webhook_secret)) as server:
        bank.webhook_url = str(server.make_url("/webhooks/lead"))
        # A payment to this account number posts, is rejected by the counterparty, and comes back.
        order = {"cents": 5000, "account_number": "9900004001", "invoice": "invoice-12345"}
        async with ClientSession() as session, session.post(server.make_url("/pay"), json=order) as response:
            print(response.status, (await response.json())["status"])
        await bank.wait_idle()


asyncio.run(main())
