"""A router for the tests of ``serve``, which remembers what it handled."""

from typing import Any

from leadpay.errors import ConfigurationError
from leadpay.models import Event
from leadpay.webhooks.context import Context
from leadpay.webhooks.router import WebhookRouter

router = WebhookRouter("handlers")
handled: list[tuple[str, Any]] = []


@router.on("*")
async def remember(event: Event, context: Context) -> None:
    """Remember the event, and whether the context has a client."""
    try:
        has_client = context.client is not None
    except ConfigurationError:
        has_client = False
    handled.append((event.id, has_client))
