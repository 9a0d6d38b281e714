"""Claim, dispatch, settle, repeat."""

from typing import Any, Self

from leadpay.inbox import Inbox
from leadpay.webhooks.dispatcher import Dispatcher


class Worker:
    """Works on what an inbox holds."""

    def __init__(self, inbox: Inbox, dispatcher: Dispatcher, *, client: Any = None) -> None:
        self.inbox = inbox
        self.dispatcher = dispatcher
        self.client = client

    async def __aenter__(self) -> Self:
        """Start working."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop working."""
