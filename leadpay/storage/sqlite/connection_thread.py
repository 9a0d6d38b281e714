"""One thread that owns one connection: whatever waits in its queue shares one transaction, and one commit to disk.

It knows no SQL but that of transactions, and no library: how to connect and what a failure looks like is passed in.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from leadpay.errors import InboxError

T = TypeVar("T")

MAX_GROUP: Final = 1_000
"""How many operations share one commit at most, so that the first of them doesn't wait for ever."""

Work: TypeAlias = Callable[[Any], T]
"""What is done with the connection, in the thread."""


class _Job(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]
    writes: bool


class _Answer(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: Exception | None


class ExclusiveSession:
    """The connection alone, in a transaction that is rolled back at the end unless somebody committed it."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()

    async def do(self, work: Work[T]) -> T:
        """Do something in the transaction; raises what it raises."""
        return await _post(self.jobs, work, writes=True)

    def end(self) -> None:
        """Let go of the connection, after what has been asked for."""
        self.jobs.put(None)


class ConnectionThread:
    """Does work in its thread, one group after the other.

    Args:
        connect: gives a connection in autocommit mode, ready for use.
        failures: what the connection's library raises; it leaves :meth:`do` as an InboxError.
        reopen: whether a connection that failed is replaced; not where its contents would go with it.
        check: is called before each transaction with the connection, and raises if it is of no use any more.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        failures: type[Exception],
        reopen: bool,
        check: Callable[[Any], object],
    ) -> None:
        self._connect = connect
        self._check = check
        self._failures = failures
        self._reopen = reopen
        self._queue: SimpleQueue[_Job | ExclusiveSession | None] = SimpleQueue()
        self._connection: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it doesn't keep a process alive."""
        self._thread = threading.Thread(target=self._run, name="leadpay-inbox", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Close the connection, after what has been asked for."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    async def do(self, work: Work[T], *, writes: bool = True) -> T:
        """Do something in a transaction that others may share, and come back once it is committed.

        Raises:
            InboxError: the store failed; nothing was kept, unless the very commit failed.
        """
        self._check_open()
        try:
            return await _post(self._queue, work, writes=writes)
        except self._failures as error:
            # The library's messages speak of files and tables, not of what is in them.
            raise InboxError(f"the inbox failed: {error}") from error

    def hold(self) -> ExclusiveSession:
        """Get in line for the connection alone; the caller must end it."""
        self._check_open()
        hold = ExclusiveSession()
        self._queue.put(hold)
        return hold

    def _check_open(self) -> None:
        if self._thread is None:
            raise InboxError("the inbox is not open: use 'async with'")

    # In the thread.

    def _run(self) -> None:
        going = True
        while going:
            group: list[_Job] = []
            for item in self._waiting():
                if isinstance(item, _Job):
                    group.append(item)
                    continue
                self._finish(group)
                group = []
                if item is None:
                    going = False
                else:
                    self._attend(item)
            self._finish(group)
        self._close()

    def _waiting(self) -> Sequence["_Job | ExclusiveSession | None"]:
        first = self._queue.get()
        # Nobody else takes from the queue, so that what it holds now is there to be had.
        return [first, *(self._queue.get() for _ in range(min(self._queue.qsize(), MAX_GROUP - 1)))]

    def _finish(self, group: Sequence[_Job]) -> None:
        if not group:
            return
        try:
            connection = self._begin(writes=any(job.writes for job in group))
            answers = [_one(connection, job) for job in group]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked, and the thread goes on
            self._start_afresh()
            answers = [_Answer(job.future, None, error) for job in group]
        _tell(answers)

    def _attend(self, hold: ExclusiveSession) -> None:
        """Serve one transaction until its end."""
        failure: Exception | None = None
        connection: Any = None
        try:
            connection = self._begin(writes=True)
        except Exception as error:  # noqa: BLE001 - as above
            failure = error
        while (job := hold.jobs.get()) is not None:
            answer = _Answer(job.future, None, failure)
            if failure is None:
                try:
                    answer = _Answer(job.future, job.work(connection), None)
                except Exception as error:  # noqa: BLE001 - as above
                    answer = _Answer(job.future, None, error)
            _tell([answer])
        if failure is not None:
            self._start_afresh()
        else:
            self._roll_back()

    def _begin(self, *, writes: bool) -> Any:
        if self._connection is None:
            self._connection = self._connect()
        self._check(self._connection)
        # A deferred transaction that begins to write may find that it can't, and no waiting helps it.
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _start_afresh(self) -> None:
        """After a failure of the store: the next group finds a new connection."""
        if self._reopen:
            self._close()
        else:
            self._roll_back()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _one(connection: Any, job: _Job) -> _Answer:
    """Do one job of a group; if it fails, only it is undone."""
    connection.execute("SAVEPOINT job")
    try:
        answer = _Answer(job.future, job.work(connection), None)
    except Exception as error:
        if not connection.in_transaction:
            raise  # The store gave up the whole transaction, so the whole group has failed.
        connection.execute("ROLLBACK TO job")
        answer = _Answer(job.future, None, error)
    connection.execute("RELEASE job")
    return answer


async def _post(queue: Any, work: Work[T], *, writes: bool) -> T:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    queue.put(_Job(work, future, writes))
    return await future


def _tell(answers: Sequence[_Answer]) -> None:
    """Wake up who asked; an event loop that is gone has nobody to tell."""
    try:
        answers[0].future.get_loop().call_soon_threadsafe(_resolve, answers)
    except RuntimeError:
        return


def _resolve(answers: Iterable[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
