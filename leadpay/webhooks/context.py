"""The second argument of a handler, and the exceptions by which a handler gives instructions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Self

import attrs

from leadpay.errors import ConfigurationError
from leadpay.models import Event, InstantPayment, InstantPaymentEvent

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from leadpay.client import LeadClient
    from leadpay.storage.postgres.transaction import PostgresConnection
    from leadpay.storage.sqlite.transaction import SqliteConnection

    State = TypeVar("State", default=Any)
    Connection = TypeVar("Connection", default=SqliteConnection | PostgresConnection)
else:
    from typing import TypeVar

    State = TypeVar("State")
    Connection = TypeVar("Connection")


class Defer(Exception):  # noqa: N818 - an instruction, not an error
    """Raised by a handler: run me again in so many seconds. This uses up no attempt.

    It has no end: an inbox's worker logs a warning once a day about each event that is still deferred.

    Without an inbox the bank gets a 500, and sends the webhook again three hours later.

    Raises:
        ValueError: the seconds are negative, infinite or not a number.
    """

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds < inf:
            raise ValueError("Defer() takes a number of seconds")
        super().__init__(f"deferred for {seconds} s")
        self.seconds = seconds


class Discard(Exception):  # noqa: N818 - an instruction, not an error
    """Raised by a handler: this event needs no handling, for the reason given."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.define(kw_only=True)
class Context(Generic[State, Connection]):
    """The second argument of a handler that takes two.

    Annotate it as ``Context``, or with the types of ``state`` and of ``transaction``: ``Context[Ledger]``,
    ``Context[None, SqliteConnection]``.
    """

    event: Event
    received_at: datetime
    """When this event was first received, also after a replay."""
    attempt: int = 1
    """The number of this attempt of this handler, counted from 1."""
    is_stale: bool = False
    """Whether this handler has handled a newer version of this payment already; only an inbox can know."""
    program: str | None = None
    """The program that the event belongs to; None without :class:`leadpay.Programs`."""
    state: State = attrs.field(default=None, repr=False)
    """What the lifespan of the handler's router yielded; None without a lifespan."""
    _client: "LeadClient | None" = attrs.field(default=None, repr=False, alias="client")
    _transaction: Connection | None = attrs.field(default=None, repr=False, alias="transaction")
    _complete: Callable[[Any], Awaitable[None]] | None = attrs.field(default=None, repr=False, alias="complete")

    def __class_getitem__(cls, _: Any) -> type[Self]:
        """Allow ``Context[Ledger]`` too: before Python 3.13, ``typing`` knows no default for the second parameter."""
        return cls

    @property
    def client(self) -> "LeadClient":
        """The client that the receiver or the worker was given.

        Raises:
            ConfigurationError: it was given none.
        """
        if self._client is None:
            raise ConfigurationError("context.client needs a client: WebhookReceiver(..., client=...)")
        return self._client

    @property
    def transaction(self) -> Connection:
        """The database connection whose commit also records that this handler is done.

        Raises:
            ConfigurationError: there is no inbox.
        """
        if self._transaction is None:
            raise ConfigurationError("context.transaction needs an inbox: WebhookReceiver(..., inbox=...)")
        return self._transaction

    @asynccontextmanager
    async def complete_in(self, connection: Any) -> AsyncIterator[None]:
        """Record in a transaction of your own that this handler is done: what you write and this are one commit.

        For data in the inbox's own database that you reach by a library of your own. At the end of the block, the inbox
        executes its statements on your connection, the check that this worker still has the payment among them; you
        commit. If you roll back, the attempt has failed. Let errors pass out of your transaction, and use
        ``context.transaction`` or this, not both::

            async with sessions.begin() as session, context.complete_in(session):
                session.add(Credit(payment_id=event.payment.id, cents=event.payment.amount))

        Args:
            connection: psycopg's AsyncConnection, asyncpg's Connection, SQLAlchemy's AsyncConnection or AsyncSession,
                a ``sqlite3.Connection``, or aiosqlite's Connection, in a transaction that you have begun.

        Raises:
            ConfigurationError: there is no inbox; the connection cannot be joined; ``context.transaction`` was used.
            Exception: another worker has the payment now, or what your driver raises. Roll back.
        """
        if self._complete is None:
            raise ConfigurationError("context.complete_in needs an inbox: WebhookReceiver(..., inbox=...)")
        yield
        await self._complete(connection)

    async def refresh(self) -> InstantPayment:
        """Ask the bank for the payment as it is now.

        Returns:
            The latest version of the event's payment.

        Raises:
            ConfigurationError: the event is not about a payment, or there is no client.
            LeadError: what the client's ``retrieve`` raises.
        """
        if not isinstance(self.event, InstantPaymentEvent):
            raise ConfigurationError("context.refresh() needs an event about an instant payment")
        return await self.client.instant_payments.retrieve(self.event.payment.id)
