"""A handler's transaction in SQLite: its own statements and the mark that it is done are one commit."""

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from leadpay.errors import InboxError
from leadpay.storage.sqlite.connection_thread import ConnectionThread
from leadpay.storage.sqlite.session import ExclusiveSession, T, Work


class SqliteConnection:
    """``context.transaction``: the inbox's own connection.

    From the first statement until the handler returns, the connection and SQLite's write lock are this handler's alone,
    and the receiver waits too. So do what takes long first, and write afterwards. A statement that runs for half a
    second is interrupted, and after two seconds the transaction is rolled back. Statements raise what the ``sqlite3``
    module raises.
    """

    def __init__(self, thread: ConnectionThread, owner: str = "") -> None:
        self._thread = thread
        self._owner = owner
        self._ended = False
        self._session: ExclusiveSession | None = None

    @property
    def is_begun(self) -> bool:
        """For the inbox: whether a statement has begun the transaction."""
        return self._session is not None

    async def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Execute one statement.

        Args:
            sql: the statement, with ``?`` or ``:name`` for parameters.
            parameters: their values.

        Returns:
            The rows that it gives.

        Raises:
            InboxError: it would begin or end a transaction, which the inbox does; or the handler has returned; or it
                took too long, or the transaction was open for too long; or an earlier statement has rolled the
                transaction back, as ``INSERT OR ROLLBACK`` and ``RAISE(ROLLBACK)`` do.
        """
        return await self._run(sql, lambda connection: connection.execute(sql, parameters).fetchall())

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Execute one statement for many rows of parameters; see :meth:`execute`."""
        many = list(rows)
        await self._run(sql, lambda connection: connection.executemany(sql, many))

    async def commit(self, work: Work[T]) -> T:
        """For the inbox: do this in the same transaction and commit; without a statement it shares others' commit."""
        # From here on a task that the handler has left behind writes nothing: it would write after the commit.
        self._ended = True
        if self._session is None:
            return await self._thread.run(work)
        try:
            return await self._session.run(lambda connection: _commit(connection, work), is_limited=False)
        except sqlite3.Error as error:
            raise InboxError(f"SQLite failed: {error}") from error

    def end(self) -> None:
        """For the inbox: roll back what was not committed, and give the connection back."""
        self._ended = True
        if self._session is not None:
            self._session.end()

    async def _run(self, sql: str, work: Work[T]) -> T:
        if self._ended:
            raise InboxError("context.transaction cannot be used once the handler is over")
        if _CONTROL.match(sql):
            raise InboxError("context.transaction begins, commits and rolls back by itself: raise to roll back")
        if self._session is None:
            self._session = self._thread.exclusive(self._owner)
        return await self._session.run(lambda connection: _in_transaction(connection, work))


_CONTROL: Final = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE | re.DOTALL
)


def _in_transaction(connection: sqlite3.Connection, work: Work[T]) -> T:
    """Do something only in the transaction that was begun: without it, SQLite would commit each statement by itself."""
    if not connection.in_transaction:
        raise InboxError("one of the handler's statements rolled its transaction back: raise, to try again")
    return work(connection)


def _commit(connection: sqlite3.Connection, work: Work[T]) -> T:
    result = _in_transaction(connection, work)
    connection.execute("COMMIT")
    return result
