"""One thread that owns one connection: all that waits in its queue shares one transaction, and one commit to disk."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from leadpay.errors import InboxError
from leadpay.storage.sqlite.connection import primary_code

T = TypeVar("T")

MAX_GROUP: Final = 1_000
"""How many operations share one commit at most, so that the first of them doesn't wait for ever."""

Work: TypeAlias = Callable[[sqlite3.Connection], T]
"""What is done with the connection, in the thread."""


class _Job(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]
    writes: bool


class _Result(NamedTuple):
    future: asyncio.Future[Any]
    value: Any
    error: Exception | None


_SESSION: ContextVar["ExclusiveSession | None"] = ContextVar("leadpay_sqlite_session", default=None)
"""The session of this task, which would wait for itself if it asked for the connection once more."""


class ExclusiveSession:
    """The connection for one user, in a transaction that is rolled back at the end unless it was committed."""

    def __init__(self, thread: "ConnectionThread") -> None:
        self.thread = thread
        self.is_over = False
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()

    async def run(self, work: Work[T]) -> T:
        """Do something in the transaction; raises what it raises."""
        return await _post(self.jobs, work, writes=True)

    def end(self) -> None:
        """Give the connection back, after the work that was posted before."""
        self.is_over = True
        self.jobs.put(None)


class ConnectionThread:
    """Does work in its thread, one group after the other.

    Args:
        connect: gives a connection in autocommit mode, ready for use.
        check: is called with the connection before each transaction, and raises if it is of no use any more.
        reopen: whether a connection that failed is replaced; not for a database in memory, which would be lost.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        check: Callable[[Any], object],
        reopen: bool,
    ) -> None:
        self._connect = connect
        self._check = check
        self._reopen = reopen
        self._queue: SimpleQueue[_Job | ExclusiveSession | None] = SimpleQueue()
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
        if session is not None and session.thread is self and not session.is_over:
            raise InboxError(
                "context.transaction holds SQLite's connection until the handler returns: use the inbox before the "
                "first statement"
            )
        try:
            return await _post(self._queue, work, writes=writes)
        except sqlite3.Error as error:
            # SQLite's messages name files and tables, and no values.
            raise InboxError(f"SQLite failed: {error}") from error

    def exclusive(self) -> ExclusiveSession:
        """Queue for the connection alone; the caller must end the session."""
        self._raise_if_closed()
        session = ExclusiveSession(self)
        _SESSION.set(session)
        self._queue.put(session)
        return session

    def _raise_if_closed(self) -> None:
        if self._thread is None:
            raise InboxError("the inbox is not open: use 'async with'")

    # In the thread.

    def _serve(self) -> None:
        is_open = True
        while is_open:
            group: list[_Job] = []
            for item in self._waiting():
                if isinstance(item, _Job):
                    group.append(item)
                    continue
                self._run_group(group)
                group = []
                if item is None:
                    is_open = False
                else:
                    self._run_session(item)
            self._run_group(group)
        self._close()

    def _waiting(self) -> "Sequence[_Job | ExclusiveSession | None]":
        first = self._queue.get()
        # Only this thread takes from the queue, so qsize() is a lower bound.
        return [first, *(self._queue.get() for _ in range(min(self._queue.qsize(), MAX_GROUP - 1)))]

    def _run_group(self, group: Sequence[_Job]) -> None:
        if not group:
            return
        try:
            connection = self._begin(writes=any(job.writes for job in group))
            results = [_run_job(connection, job) for job in group]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - it is raised in the tasks that wait, and the thread goes on
            self._recover()
            results = [_Result(job.future, None, error) for job in group]
        _post_back(results)

    def _run_session(self, session: ExclusiveSession) -> None:
        """Serve one transaction until its end."""
        failure: Exception | None = None
        connection: Any = None
        try:
            connection = self._begin(writes=True)
        except Exception as error:  # noqa: BLE001 - as above
            failure = error
        while (job := session.jobs.get()) is not None:
            result = _Result(job.future, None, failure)
            if failure is None:
                try:
                    result = _Result(job.future, job.work(connection), None)
                except Exception as error:  # noqa: BLE001 - as above
                    result = _Result(job.future, None, error)
            _post_back([result])
        if failure is not None:
            self._recover()
        else:
            self._roll_back()

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


def _run_job(connection: sqlite3.Connection, job: _Job) -> _Result:
    """Do one job of a group; if it fails, only it is undone."""
    connection.execute("SAVEPOINT job")
    try:
        result = _Result(job.future, job.work(connection), None)
    except Exception as error:
        if not connection.in_transaction or _is_about_the_file(error):
            raise  # The whole group has failed, and the next one gets a new connection.
        connection.execute("ROLLBACK TO job")
        result = _Result(job.future, None, error)
    connection.execute("RELEASE job")
    return result


def _is_about_the_file(error: Exception) -> bool:
    """Whether the disk failed or is full. SQLite may then roll the whole transaction back, or only one statement."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


async def _post(queue: Any, work: Work[T], *, writes: bool) -> T:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    queue.put(_Job(work, future, writes))
    return await future


def _post_back(results: Sequence[_Result]) -> None:
    """Resolve the futures in their event loop; if that is closed, no task waits."""
    try:
        results[0].future.get_loop().call_soon_threadsafe(_resolve, results)
    except RuntimeError:
        return


def _resolve(results: Iterable[_Result]) -> None:
    for future, value, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
