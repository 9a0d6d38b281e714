"""What a handler may ask for beside its event, and what it may say by raising."""

from collections.abc import Awaitable
from datetime import datetime
from math import inf
from typing import Any, Protocol

import attrs

from leadpay.errors import ConfigurationError
from leadpay.models import Event, InstantPayment, InstantPaymentEvent


class _InstantPayments(Protocol):
    def retrieve(self, payment_id: str, /) -> Awaitable[InstantPayment]: ...


class Client(Protocol):
    """As much of a LeadClient as a context needs; any LeadClient will do."""

    @property
    def instant_payments(self) -> _InstantPayments:
        """The calls about instant payments."""
        ...


class Defer(Exception):  # noqa: N818 - a wish, not an error
    """Raised by a handler: not now, ask again in so many seconds. It uses up no attempt.

    Without an inbox the bank is told that handling failed, and repeats the webhook three hours later.

    Raises:
        ValueError: the seconds are negative, endless or not a number.
    """

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds < inf:
            raise ValueError("Defer() takes a number of seconds")
        super().__init__(f"deferred for {seconds} s")
        self.seconds = seconds


class Discard(Exception):  # noqa: N818 - a wish, not an error
    """Raised by a handler: this event needs no handling, for the reason given."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.define(kw_only=True)
class Context:
    """The second argument of a handler that takes two."""

    event: Event
    received_at: datetime
    """When this event was first received, also after a replay."""
    attempt: int = 1
    """Which attempt at this handler this is, counted from 1."""
    is_stale: bool = False
    """Whether a newer version of this payment has been handled already; only an inbox can know."""
    client: Any = attrs.field(default=None, repr=False)
    """The LeadClient that the receiver was given, or None."""
    state: Any = attrs.field(default=None, repr=False)
    """What the lifespan of the handler's router gave, or None."""
    _transaction: Any = attrs.field(default=None, repr=False, alias="transaction")

    @property
    def transaction(self) -> Any:
        """The database connection whose commit also marks this handler as done.

        Raises:
            ConfigurationError: there is no inbox.
        """
        if self._transaction is None:
            raise ConfigurationError("context.transaction needs an inbox: WebhookReceiver(..., inbox=...)")
        return self._transaction

    async def refresh(self) -> InstantPayment:
        """Ask the bank for the payment as it is now.

        Returns:
            The latest version of the event's payment.

        Raises:
            ConfigurationError: the event is not about a payment, or the receiver was given no client.
            LeadError: whatever the client's ``retrieve`` raises.
        """
        if not isinstance(self.event, InstantPaymentEvent):
            raise ConfigurationError("context.refresh() needs an event about an instant payment")
        if self.client is None:
            raise ConfigurationError("context.refresh() needs a client: WebhookReceiver(..., client=...)")
        latest: InstantPayment = await self.client.instant_payments.retrieve(self.event.payment.id)
        return latest
