"""Two programs of the bank in one application: ``uv run python examples/two_programs.py``."""

import asyncio

from leadpay import Agent, Context, InstantPaymentEvent, Party, Programs, Settings, WebhookRouter
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening

payroll = WebhookRouter("payroll")
wallets = WebhookRouter("wallets")


@payroll.posted(direction="outgoing")
async def paid(event: InstantPaymentEvent, context: Context) -> None:
    print(f"{context.program}: sent {event.payment.amount}")


@wallets.posted(direction="incoming")
async def topped_up(event: InstantPaymentEvent, context: Context) -> None:
    print(f"{context.program}: received {event.payment.amount}")


def settings_of(bank: Sandbox) -> Settings:
    secrets = (bank.webhook_secret,)
    return Settings(
        base_url=bank.url, client_id=bank.client_id, client_secret=bank.client_secret, webhook_secrets=secrets
    )


async def main() -> None:
    person, agent = Party(name="Alex Smith", account_number="1234567890"), Agent(routing_number="111000111")
    async with (
        Sandbox(delay=0) as first,
        Sandbox(delay=0) as second,
        Programs({"payroll": settings_of(first), "wallets": settings_of(second)}) as programs,
        listening(programs.receiver({"payroll": payroll, "wallets": wallets})) as url,
    ):
        first.webhook_url = second.webhook_url = url
        await programs["payroll"].client.instant_payments.send(
            account_number_id="account_number_1", amount=310000, creditor=person, creditor_agent=agent
        )
        await first.wait_idle()
        await programs["wallets"].client.simulate.incoming(
            account_number_id="account_number_2", amount=5000, debtor=person, debtor_agent=agent
        )
        await second.wait_idle()


asyncio.run(main())
