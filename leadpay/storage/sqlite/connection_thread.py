"""One thread that owns one connection: all that waits in its queue shares one transaction, and one commit to disk."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Final

from leadpay.errors import InboxError
from leadpay.storage.sqlite.connection import primary_code
from leadpay.storage.sqlite.fair_lock import FairLock
from leadpay.storage.sqlite.session import (
    STATEMENT_SECONDS,
    TRANSACTION_SECONDS,
    ExclusiveSession,
    Job,
    Result,
    SessionQueue,
    T,
    Work,
    post,
    post_back,
)

MAX_GROUP: Final = 1_000
"""How many operations share one commit at most, so that the first of them doesn't wait for ever."""

BUSY_SECONDS: Final = 5.0
"""How long to wait for another transaction, of this process or another one, before it counts as a failure."""

_SESSION: ContextVar[ExclusiveSession | None] = ContextVar("leadpay_sqlite_session", default=None)
"""The session of this task, which would wait for itself if it asked for the connection once more."""


class ConnectionThread:
    """Does work in its thread, one group after the other.

    Args:
        connect: gives a connection in autocommit mode, ready for use.
        check: is called with the connection before each transaction, and raises if it is of no use any more.
        reopen: whether a connection that failed is replaced; not for a database in memory, which would be lost.
        turns: the lock that threads with connections to the same file share, so that they write in turns.
        busy_seconds: how long to wait for the others.
        statement_seconds: how long one statement of a session may run.
        transaction_seconds: how long a session may last.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        check: Callable[[Any], object],
        reopen: bool,
        turns: FairLock | None = None,
        busy_seconds: float = BUSY_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
        transaction_seconds: float = TRANSACTION_SECONDS,
    ) -> None:
        self._connect = connect
        self._check = check
        self._reopen = reopen
        self.turns = turns or FairLock()
        self._busy_seconds = busy_seconds
        self._limits = {"statement_seconds": statement_seconds, "transaction_seconds": transaction_seconds}
        self._queue: SimpleQueue[Job | ExclusiveSession | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Start the thread, which doesn't keep a process alive, and connect.

        Raises:
            ConfigurationError: the schema is newer than this leadpay.
            InboxError: the file cannot be opened.
        """
        self._thread = threading.Thread(target=self._serve, name="leadpay-sqlite", daemon=True)
        self._thread.start()
        try:
            await self.run(lambda _: None, writes=False)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the connection, after the work that was posted before."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def run(self, work: Work[T], *, writes: bool = True) -> T:
        """Do something in a transaction that others may share, and return once it is committed.

        Raises:
            InboxError: SQLite failed; nothing was kept, unless the commit itself failed.
        """
        self._raise_if_closed()
        session = _SESSION.get()
        if session is not None and session.thread.turns is self.turns and not session.is_over:
            raise InboxError(
                "context.transaction holds SQLite's connection until the handler returns: use the inbox before the "
                "first statement"
            )
        try:
            return await post(self._queue, work, writes=writes)
        except sqlite3.Error as error:
            # SQLite's messages name files and tables, and no values.
            raise InboxError(f"SQLite failed: {error}") from error

    def exclusive(self, owner: str = "") -> ExclusiveSession:
        """Queue for the connection alone; the caller must end the session. Owners take turns."""
        self._raise_if_closed()
        session = ExclusiveSession(self, owner, **self._limits)
        _SESSION.set(session)
        self._queue.put(session)
        return session

    def _raise_if_closed(self) -> None:
        if self._thread is None:
            raise InboxError("the inbox is not open: use 'async with'")

    # In the thread.

    def _serve(self) -> None:
        sessions = SessionQueue()
        is_open = True
        while is_open or sessions:
            group: list[Job] = []
            for item in self._waiting(blocking=not sessions):
                if isinstance(item, Job):
                    group.append(item)
                elif item is None:
                    is_open = False
                else:
                    sessions.add(item)
            self._run_group(group)
            if sessions:
                self._run_session(sessions.next())
        self._close()

    def _waiting(self, *, blocking: bool) -> "Sequence[Job | ExclusiveSession | None]":
        first = [self._queue.get()] if blocking else []
        # Only this thread takes from the queue, so qsize() is a lower bound.
        return [*first, *(self._queue.get() for _ in range(min(self._queue.qsize(), MAX_GROUP - 1)))]

    def _run_group(self, group: Sequence[Job]) -> None:
        if not group:
            return
        writes = any(job.writes for job in group)
        try:
            with self._turn(writes=writes):
                connection = self._begin(writes=writes)
                results = [_run_job(connection, job) for job in group]
                connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - it is raised in the tasks that wait, and the thread goes on
            self._recover()
            results = [Result(job.future, None, error) for job in group]
        post_back(results)

    def _run_session(self, session: ExclusiveSession) -> None:
        """Serve one transaction until its end."""
        if session.is_over:
            session.fail(InboxError("the transaction has ended"))
            return
        try:
            with self._turn(writes=True):
                session.serve(self._begin(writes=True))
                self._roll_back()
        except Exception as error:  # noqa: BLE001 - as above
            session.fail(error)
            self._recover()

    @contextmanager
    def _turn(self, *, writes: bool) -> Iterator[None]:
        """Hold the lock that allows to write, if this is needed."""
        if not writes:
            yield
            return
        if not self.turns.acquire(self._busy_seconds):
            raise sqlite3.OperationalError("database is locked")
        try:
            yield
        finally:
            self.turns.release()

    def _begin(self, *, writes: bool) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        self._check(self._connection)
        # A deferred transaction that begins to write may fail at once, without SQLite's busy timeout.
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _recover(self) -> None:
        """After a failure: the next group gets a new connection."""
        if self._reopen:
            self._close()
        else:
            self._roll_back()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _run_job(connection: sqlite3.Connection, job: Job) -> Result:
    """Do one job of a group; if it fails, only it is undone."""
    connection.execute("SAVEPOINT job")
    try:
        result = Result(job.future, job.work(connection), None)
    except Exception as error:
        if not connection.in_transaction or _is_about_the_file(error):
            raise  # The whole group has failed, and the next one gets a new connection.
        connection.execute("ROLLBACK TO job")
        result = Result(job.future, None, error)
    connection.execute("RELEASE job")
    return result


def _is_about_the_file(error: Exception) -> bool:
    """Whether the disk failed or is full. SQLite may then roll the whole transaction back, or only one statement."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
