"""Handlers for tests of ``serve``: what they handled is in a list."""

from typing import Any

from leadpay.models import Event
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter

router = WebhookRouter("shop")
handled: list[tuple[str, Any]] = []


@router.on("*")
async def note(event: Event, context: Context) -> None:
    """Remember the event, and whether there is a client."""
    handled.append((event.id, context.client is not None))
