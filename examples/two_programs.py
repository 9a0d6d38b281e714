"""Two programs of the bank, each with its secret, in one application: ``uv run python examples/two_programs.py``."""

import asyncio

from aiohttp import web

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import mount

payroll = WebhookRouter("payroll")
wallets = WebhookRouter("wallets")


@payroll.posted(direction="outgoing")
async def paid(event: InstantPaymentEvent) -> None:
    print("payroll: sent", event.payment.amount)


@wallets.posted(direction="incoming")
async def topped_up(event: InstantPaymentEvent) -> None:
    print("wallets: received", event.payment.amount)


def make_app(payroll_secret: str, wallets_secret: str) -> web.Application:
    app = web.Application()
    # Each endpoint has only its own secret, so it refuses the webhooks of the other program.
    mount(app, WebhookReceiver(payroll, secrets=[payroll_secret]), path="/webhooks/payroll")
    mount(app, WebhookReceiver(wallets, secrets=[wallets_secret]), path="/webhooks/wallets")
    return app


async def main() -> None:
    banks = Sandbox(delay=0, webhook_secret="whsec_payroll"), Sandbox(delay=0, webhook_secret="whsec_wallets")
    runner = web.AppRunner(make_app(*(bank.webhook_secret for bank in banks)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    person, agent = Party(name="Alex Smith", account_number="1234567890"), Agent(routing_number="111000111")

    async with banks[0] as bank, bank.client() as lead:
        bank.webhook_url = f"{here}/payroll"
        await lead.instant_payments.send(
            account_number_id="account_number_payroll1", amount=310000, creditor=person, creditor_agent=agent
        )
        await bank.wait_idle()
    async with banks[1] as bank, bank.client() as lead:
        bank.webhook_url = f"{here}/wallets"
        bank.add_webhook(f"{here}/payroll")  # signed with the secret of the wallets: refused
        await lead.simulate.incoming(
            account_number_id="account_number_wallet1", amount=5000, debtor=person, debtor_agent=agent
        )
        await bank.wait_idle()
        print("statuses:", sorted(attempt.status or 0 for attempt in bank.attempts))
    await runner.cleanup()


asyncio.run(main())
