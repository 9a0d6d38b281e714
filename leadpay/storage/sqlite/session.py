"""Work for the thread that owns a connection, and a transaction of one user, limited in time."""

import asyncio
import sqlite3
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from leadpay.errors import InboxError
from leadpay.storage.sqlite.connection import primary_code

T = TypeVar("T")

STATEMENT_SECONDS: Final = 0.5
"""How long one statement of ``context.transaction`` may run in SQLite, in seconds. There is one write lock for handlers
and webhooks, so a longer one would delay the response to the bank, and all other handlers."""

TRANSACTION_SECONDS: Final = 2.0
"""How long ``context.transaction`` may be open in SQLite, in seconds, with what the handler awaits meanwhile."""

_INSTRUCTIONS: Final = 1_000
"""After so many of its instructions, SQLite asks whether to go on: a fraction of a millisecond."""

Work: TypeAlias = Callable[[sqlite3.Connection], T]
"""What is done with the connection, in the thread."""


class Job(NamedTuple):
    """Work, and the future of the task that waits for it."""

    work: Work[Any]
    future: asyncio.Future[Any]
    writes: bool
    is_limited: bool


class Result(NamedTuple):
    """What came out of a job."""

    future: asyncio.Future[Any]
    value: Any
    error: Exception | None


class ExclusiveSession:
    """The connection for one user, in a transaction that is rolled back at the end unless it was committed.

    Args:
        owner: whose it is; the owners take turns.
        statement_seconds: how long one job may take.
        transaction_seconds: how long the transaction may be open.
    """

    def __init__(self, thread: Any, owner: str, *, statement_seconds: float, transaction_seconds: float) -> None:
        self.thread = thread
        self.owner = owner
        self.is_over = False
        """Whether the user has ended it. A statement that is still running is interrupted."""
        self._statement_seconds = statement_seconds
        self._transaction_seconds = transaction_seconds
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._stop_at = inf

    async def run(self, work: Work[T], *, is_limited: bool = True) -> T:
        """Do something in the transaction; raises what it raises.

        Raises:
            InboxError: it took too long, or the transaction has been open for too long.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            waiting = post(self._jobs, work, writes=True, is_limited=is_limited)
        return await waiting

    def end(self) -> None:
        """Give the connection back, after the work that was posted before."""
        with self._lock:
            self.is_over = True
            self._jobs.put(None)

    # In the thread.

    def fail(self, error: Exception) -> None:
        """Let all jobs fail, those that are still to come too."""
        with self._lock:
            self._failure = error
            left = [self._jobs.get() for _ in range(self._jobs.qsize())]
        for job in left:
            if job is not None:
                post_back([Result(job.future, None, error)])

    def serve(self, connection: Any) -> None:
        """Do the jobs, until the end or until the time is over."""
        deadline = monotonic() + self._transaction_seconds
        connection.set_progress_handler(self._must_stop, _INSTRUCTIONS)
        try:
            while (job := self._next(deadline)) is not None:
                self._stop_at = min(deadline, monotonic() + self._statement_seconds) if job.is_limited else inf
                post_back([self._do(connection, job)])
        finally:
            connection.set_progress_handler(None, 0)

    def _next(self, deadline: float) -> Job | None:
        try:
            return self._jobs.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            self.fail(
                InboxError(
                    f"context.transaction was open for {self._transaction_seconds} seconds, and was rolled back, since "
                    "others wait for SQLite's write lock: do what takes long before the first statement"
                )
            )
            return None

    def _do(self, connection: Any, job: Job) -> Result:
        try:
            return Result(job.future, job.work(connection), None)
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_INTERRUPT:
                return Result(job.future, None, error)
            text = (
                f"a statement of context.transaction ran for {self._statement_seconds} seconds, and was interrupted, "
                "since others wait for SQLite's write lock: read much on a connection of your own"
            )
            return Result(job.future, None, InboxError(text))
        except Exception as error:  # noqa: BLE001 - it is raised in the task that waits
            return Result(job.future, None, error)

    def _must_stop(self) -> bool:
        return self.is_over or monotonic() > self._stop_at


class SessionQueue:
    """Sessions that wait for their turn: each owner's oldest one, one owner after the other.

    So a handler with slow statements delays another handler's transaction by one of its own at most.
    """

    def __init__(self) -> None:
        self._by_owner: OrderedDict[str, deque[ExclusiveSession]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_owner)

    def add(self, session: ExclusiveSession) -> None:
        """Let a session wait."""
        self._by_owner.setdefault(session.owner, deque()).append(session)

    def next(self) -> ExclusiveSession:
        """Take the session whose turn it is."""
        owner, sessions = self._by_owner.popitem(last=False)
        session = sessions.popleft()
        if sessions:
            self._by_owner[owner] = sessions
        return session


def post(queue: Any, work: Work[T], *, writes: bool, is_limited: bool = False) -> asyncio.Future[T]:
    """Put a job into a queue, and give the future of its result."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    queue.put(Job(work, future, writes, is_limited))
    return future


def post_back(results: Sequence[Result]) -> None:
    """Resolve the futures in their event loop; if that is closed, no task waits."""
    try:
        results[0].future.get_loop().call_soon_threadsafe(_resolve, results)
    except RuntimeError:
        return


def _resolve(results: Iterable[Result]) -> None:
    for future, value, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
