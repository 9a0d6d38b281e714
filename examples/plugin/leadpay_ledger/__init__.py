"""A plugin of leadpay: what came in is credited, and what was given back is taken off again.

``pip install leadpay-ledger`` is all it takes where a program calls ``leadpay.load_plugins(router)``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from leadpay import Context, InstantPaymentEvent, WebhookRouter
from leadpay_ledger.book import Book
from leadpay_ledger.settings import Settings

router = WebhookRouter("leadpay-ledger")


@router.lifespan
@asynccontextmanager
async def keep_book() -> AsyncIterator[Book]:
    """ExclusiveSession the database open for as long as webhooks are handled; settings are read now, not at import."""
    book = Book(Settings.from_env())
    try:
        yield book
    finally:
        book.close()


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent, context: Context) -> None:
    """Credit what came in, be it somebody's payment or a payment of ours that comes back."""
    await context.state.enter(event.payment, event.payment.amount)


@router.posted(direction="outgoing", is_return=True)
async def reverse(event: InstantPaymentEvent, context: Context) -> None:
    """Take off what was given back: the amount of the return, which can be less than the original's."""
    await context.state.enter(event.payment, -event.payment.amount)
