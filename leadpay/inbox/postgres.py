"""An inbox in PostgreSQL, for many receivers and workers on many machines."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg

from leadpay.clock import Clock, SystemClock
from leadpay.inbox.database import DatabaseInbox, NewEvent, Result, T
from leadpay.inbox.postgres_queries import CHANNEL, PostgresQueries, row
from leadpay.storage import Dialect
from leadpay.storage.postgres.batching import InsertBatcher, Row
from leadpay.storage.postgres.database import (
    CONNECT_SECONDS,
    HANDLER_CONNECTIONS,
    RESPONSE_SECONDS,
    STORE_CONNECTIONS,
    PostgresDatabase,
    Work,
)
from leadpay.storage.postgres.dsn import complete_dsn, place
from leadpay.storage.postgres.listener import Listener
from leadpay.storage.postgres.transaction import PostgresConnection

if TYPE_CHECKING:
    from leadpay.storage.postgres.pool import Connection


class PostgresInbox(DatabaseInbox["Connection"]):
    """An inbox in a PostgreSQL database (14 or later; tried on 14 to 18), for any number of receivers and workers.

    It keeps nothing in a session, so it works behind PgBouncer in transaction mode, without LISTEN/NOTIFY wake-ups;
    workers then poll once a second.

    Args:
        dsn: a URL or a connection string of libpq; its tables are found, and made, by the connection's search path.
            It connects only to servers that write, unless the DSN says something else by ``target_session_attrs``.
        connections: how many connections accept, claim and record results.
        handler_connections: how many handlers may use ``context.transaction`` at once.
        response_seconds: how long the database may take over one operation.
        connect_seconds: how long to wait for a connection.
        listen: where a worker listens for notifications of new events: a DSN that leads to the server and not to a
            pooler, or True for the same DSN; False to poll only.
        clock: what waits before a lost connection for notifications is replaced.
        database_clock: whether leases and due times go by the database's clock; False in tests that move a clock by
            hand, and then they go by the clock of each caller.
        migrate: whether to make the schema, or to bring it up to date; False for a look that changes nothing.

    Raises:
        ConfigurationError: the DSN cannot be read; on entering, the schema is too new, or it may not be changed and is
            too old, or the database isn't in UTF-8.
        InboxError: from any operation: the database is gone, locked, full or too slow, or the inbox is closed. Nothing
            is kept then, or it is not known, and asking again is safe.
    """

    dialect: Dialect = "postgres"

    def __init__(
        self,
        dsn: str,
        *,
        connections: int = STORE_CONNECTIONS,
        handler_connections: int = HANDLER_CONNECTIONS,
        response_seconds: float = RESPONSE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        listen: bool | str = True,
        clock: Clock | None = None,
        database_clock: bool = True,
        migrate: bool = True,
    ) -> None:
        self._postgres_queries = PostgresQueries(database_clock=database_clock)
        super().__init__(self._postgres_queries)
        self.database = PostgresDatabase(
            dsn,
            package="leadpay.inbox",
            connections=connections,
            handler_connections=handler_connections,
            response_seconds=response_seconds,
            connect_seconds=connect_seconds,
            migrate=migrate,
        )
        self._batcher = InsertBatcher(
            self._insert, is_refusal=lambda error: isinstance(error.__context__, psycopg.DataError)
        )
        self._listener: Listener | None = None
        if listen:
            listen_dsn = complete_dsn(dsn if listen is True else listen, connect_seconds=connect_seconds)
            self._listener = Listener(listen_dsn, CHANNEL, self._hint, clock or SystemClock())

    def __repr__(self) -> str:
        return f"PostgresInbox({place(self.database.dsn)})"

    async def _add(self, new: NewEvent) -> bool:
        self.database.raise_if_closed()
        if new.problems is not None:
            return await self.database.run(partial(self._postgres_queries.add_unreadable, new=new))
        return await self._batcher.add(row(new))

    async def _insert(self, rows: Sequence[Row]) -> set[str]:
        return await self.database.run(partial(self._postgres_queries.add, rows=rows))

    async def _run(self, query: "Callable[[Connection], Result[T]]", *, writes: bool = True) -> T:  # noqa: ARG002 - the server needs no such hint
        return await self.database.run(cast("Work[T]", query))

    def _recorder(self, **result: Any) -> "Callable[[Connection], Result[bool]]":
        return _Recording(self._postgres_queries, result)

    @asynccontextmanager
    async def _handler_connection(self, handler: str = "") -> AsyncIterator[PostgresConnection]:  # noqa: ARG002 - each handler has a connection
        connection = PostgresConnection(self.database)
        try:
            yield connection
        finally:
            await connection.end()

    async def wait_for_work(self, seconds: float) -> None:
        """Return after so many seconds, or earlier when something was added, by this process or another."""
        if self._listener is not None:
            self._listener.start()
        await super().wait_for_work(seconds)

    async def missing_migrations(self) -> list[str]:
        """Give the SQL of each schema file that the database has not seen; nothing is applied."""
        return [file.sql for file in await self.database.missing_files()]

    async def __aenter__(self) -> Self:
        """Connect; create or upgrade the schema."""
        await self.database.__aenter__()
        self.was_opened = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect, after the operations that were begun."""
        if self._listener is not None:
            await self._listener.stop()
        await self._batcher.finish()
        await self.database.__aexit__()


class _Recording:
    """Records one result; it may be called again after a lost connection."""

    def __init__(self, queries: PostgresQueries, result: Mapping[str, Any]) -> None:
        self._queries = queries
        self._result = result
        self._calls = 0
        self.final = queries.final(**{"releases": False, **result})
        """What records it together with a handler's commit, if it is so simple."""

    async def __call__(self, connection: "Connection") -> bool:
        self._calls += 1
        return await self._queries.record_result(connection, **self._result, again=self._calls > 1)
