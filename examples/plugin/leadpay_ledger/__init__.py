"""A leadpay plugin that records received payments as credits and their returns as debits.

A program that calls ``leadpay.load_plugins(router)`` loads it once it is installed: ``pip install leadpay-ledger``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from leadpay import Context, InstantPaymentEvent, WebhookRouter
from leadpay_ledger.ledger import Ledger
from leadpay_ledger.settings import Settings

router = WebhookRouter("leadpay-ledger")


@router.lifespan
@asynccontextmanager
async def open_ledger() -> AsyncIterator[Ledger]:
    """Open the database while webhooks are handled. Settings are read here, not at import."""
    ledger = Ledger(Settings.from_env())
    try:
        yield ledger
    finally:
        ledger.close()


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent, context: Context) -> None:
    """Record a credit, also for a payment of ours that was returned."""
    await context.state.record(event.payment, event.payment.amount)


@router.posted(direction="outgoing", is_return=True)
async def debit(event: InstantPaymentEvent, context: Context) -> None:
    """Record the amount of the return as a debit. It can be less than the original amount."""
    await context.state.record(event.payment, -event.payment.amount)
