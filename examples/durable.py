"""Credit a payment exactly once, although its webhook arrives twice and its handler fails at first.

``uv run python examples/durable.py``
"""

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from leadpay import Agent, Context, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.inbox import SqliteInbox
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening

router = WebhookRouter()
credited = asyncio.Event()


@router.posted(direction="incoming", retries=(0.1, 1, 60))
async def credit(event: InstantPaymentEvent, context: Context) -> None:
    # The insert and the state of this handler run are committed together.
    await context.transaction.execute("INSERT INTO credits VALUES (?)", (event.payment.amount,))
    if context.attempt == 1:
        raise ConnectionError("a service of the handler is unavailable")
    credited.set()


TABLE = "CREATE TABLE IF NOT EXISTS credits (cents INTEGER)"


async def main(path: Path) -> None:
    inbox = SqliteInbox(path, prepare=lambda connection: connection.execute(TABLE))
    async with Sandbox(delay=0, faults=["webhook_duplicate"]) as bank, bank.client() as lead, inbox:
        receiver = WebhookReceiver(router, secrets=[bank.webhook_secret], inbox=inbox, client=lead)
        async with listening(receiver) as bank.webhook_url:
            await lead.simulate.incoming(
                account_number_id="account_number_xyz123",
                amount=5000,
                debtor=Party(name="Alex Smith", account_number="1234567890"),
                debtor_agent=Agent(routing_number="111000111"),
            )
            await bank.wait_idle()
            print("webhooks:", dict(receiver.counts))
            await credited.wait()
    with closing(sqlite3.connect(path)) as connection:
        print("credited:", connection.execute("SELECT * FROM credits").fetchall())


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder) / "inbox.db"))
