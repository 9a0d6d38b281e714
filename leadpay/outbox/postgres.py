"""An outbox in PostgreSQL, for any number of programs and senders."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from leadpay.clock import Clock, SystemClock
from leadpay.errors import InboxError, OutboxError
from leadpay.outbox.queries import CHANNEL, spelled
from leadpay.outbox.store import Plan, T
from leadpay.outbox.watchers import Watchers
from leadpay.storage import Dialect
from leadpay.storage.foreign import pyformat
from leadpay.storage.postgres.database import CONNECT_SECONDS, RESPONSE_SECONDS, STORE_CONNECTIONS, PostgresDatabase
from leadpay.storage.postgres.dsn import complete_dsn, place
from leadpay.storage.postgres.listener import Listener

if TYPE_CHECKING:
    from leadpay.storage.postgres.pool import Connection


class PostgresOutboxStore:
    """A PostgreSQL database (14 or later) for an outbox.

    It keeps nothing in a session, so it works behind PgBouncer in transaction mode, without LISTEN/NOTIFY wake-ups.

    Args:
        dsn: a URL or a connection string of libpq; its tables are found, and made, by the connection's search path.
        connections: how many connections it has.
        response_seconds: how long the database may take over one operation.
        connect_seconds: how long to wait for a connection.
        migrate: whether to make the schema, or to bring it up to date; False for a look that changes nothing.
        listen: where to listen for notifications: a DSN that leads to the server and not to a pooler, or True for the
            same DSN; False to poll only.
        clock: what waits before a lost connection for notifications is replaced.
        database_clock: whether leases and due times go by the database's clock; False in tests that move a clock by
            hand.
    """

    dialect: Dialect = "postgres"

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = STORE_CONNECTIONS,
        response_seconds: float = RESPONSE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        migrate: bool = True,
        listen: bool | str = True,
        clock: Clock | None = None,
        database_clock: bool = True,
    ) -> None:
        self.has_own_clock = database_clock
        self.database = PostgresDatabase(
            dsn,
            package="leadpay.outbox",
            connections=connections,
            handler_connections=1,
            response_seconds=response_seconds,
            connect_seconds=connect_seconds,
            migrate=migrate,
        )
        self._watchers = Watchers()
        self._listener: Listener | None = None
        if listen:
            listen_dsn = complete_dsn(dsn if listen is True else listen, connect_seconds=connect_seconds)
            self._listener = Listener(
                listen_dsn, CHANNEL, asyncio.Event(), clock or SystemClock(), notified=self._notified
            )

    def __repr__(self) -> str:
        return f"PostgresOutboxStore({place(self.database.dsn)})"

    async def run(self, plan: Callable[[], Plan[T]], *, writes: bool = True) -> T:  # noqa: ARG002 - the server needs no such hint
        """Do an operation in a transaction of its own, and commit."""

        async def work(connection: "Connection") -> T:
            async with connection.transaction():
                return await _drive(connection, plan())

        try:
            return await self.database.run(work)
        except InboxError as error:
            raise OutboxError(str(error).replace("inbox", "outbox")) from error.__cause__

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when something was queued, by this process or another."""
        self._listen()
        await self._watchers.wait_for_work(seconds)

    @asynccontextmanager
    async def watch(self, number: int) -> AsyncIterator[Callable[[float], Coroutine[Any, Any, None]]]:
        """Give a coroutine function that waits so many seconds, or less if this instruction changed."""
        self._listen()
        async with self._watchers.watch(number) as wait:
            yield wait

    def changed(self, numbers: Sequence[int], *, has_work: bool = False) -> None:
        """Tell this process's waiters at once; the notification comes later, and to all processes."""
        self._watchers.changed(numbers, has_work=has_work)

    async def open(self) -> None:
        """Connect; create or upgrade the schema."""
        try:
            await self.database.__aenter__()
        except InboxError as error:
            raise OutboxError(str(error)) from error.__cause__

    async def close(self) -> None:
        """Disconnect, after the operations that were begun."""
        if self._listener is not None:
            await self._listener.stop()
        await self.database.__aexit__()

    def _listen(self) -> None:
        if self._listener is not None:
            self._listener.start()

    def _notified(self, payload: str) -> None:
        if payload:
            self._watchers.announce(payload)
        else:
            self._watchers.all_changed()


async def _drive(connection: "Connection", plan: Plan[T]) -> T:
    """Execute the statements of a plan."""
    try:
        statement = next(plan)
        while True:
            cursor = await connection.execute(
                pyformat(spelled(statement.sql, "postgres")).encode(), statement.parameters
            )
            statement = plan.send([] if cursor.description is None else await cursor.fetchall())
    except StopIteration as end:
        result: T = end.value
        return result
