"""Events move instructions on: a consumer of an inbox that is in the same database as the outbox."""

from typing import Final

from leadpay.models import Event, InstantPaymentEvent
from leadpay.outbox.outbox import Outbox
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter

CONSUMER: Final = "leadpay-outbox"
"""The consumer of the inbox that tracks instructions, with a progress of its own."""


def tracking_router(outbox: Outbox) -> WebhookRouter:
    """Make the router whose handler moves the outbox's instructions on, in the commit that records its run.

    ::

        Worker(inbox, tracking_router(outbox), consumer=CONSUMER)

    Args:
        outbox: an open outbox, in the same database as the inbox.
    """
    router = WebhookRouter(CONSUMER)

    @router.on("instant_payment.*", name="track", mandatory=True)
    async def track(event: Event, context: Context) -> None:
        if isinstance(event, InstantPaymentEvent):
            await outbox.observe(event.payment, connection=context.transaction)

    return router
