"""The embedded inbox: one SQLite file, and a thread that does everything with it."""

import asyncio
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self

from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox import Claim, EventState, HandlerRun, Lease, Stats, StoredEvent, pages
from leadpay.inbox import sqlite_queries as queries
from leadpay.models import Event
from leadpay.storage.sqlite.connection_thread import ConnectionThread, ExclusiveSession
from leadpay.webhooks.dispatcher import Dispatcher

BUSY_SECONDS: Final = 5.0
"""How long to wait for another process's transaction before it counts as a failure."""


_MEMORY: Final = ":memory:"


class SqliteInbox:
    """An inbox in one file, for one machine; several processes may open it at once.

    Args:
        path: the file, made if it isn't there, readable by its owner only; or ``":memory:"`` for tests.
        busy_seconds: how long to wait for another process's transaction.
        prepare: what to do with each new connection, such as pragmas or functions of your own.

    Raises:
        ConfigurationError: on entering: a newer version of leadpay has upgraded the file.
        InboxError: from any operation: the disk is full, the file locked or gone, the inbox closed. Nothing is kept
            then, and the next operation finds its way again by itself: to a new file, where the old one is gone.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        prepare: Callable[[sqlite3.Connection], object] | None = None,
    ) -> None:
        self.path = str(path)
        is_file = self.path != _MEMORY
        # Wherever the process goes to meanwhile.
        place = str(Path(path).absolute()) if is_file else _MEMORY
        connect = partial(_connect, place, busy_seconds, prepare)
        self._desk = ConnectionThread(connect, failures=sqlite3.Error, reopen=is_file, check=partial(_check, place))
        self._hint = asyncio.Event()

    def __repr__(self) -> str:
        return f"SqliteInbox({self.path!r})"

    # Receiving.

    async def add(self, event: Event, body: bytes, *, received_at: datetime) -> bool:
        """Commit an event to disk; see :class:`leadpay.inbox.Inbox`."""
        new = await self._desk.do(partial(queries.add, event=event, body=body, received_at=received_at))
        self._hint.set()
        return new

    # Working.

    async def claim(self, limit: int, *, now: float, lease: float) -> list[Claim]:
        """Lease up to so many subjects for so many seconds."""
        return await self._desk.do(partial(queries.claim, limit=limit, now=now, seconds=lease))

    def transaction(self, lease: Lease) -> AbstractAsyncContextManager["SqliteTransaction"]:
        """Give a transaction for one handler, that begins with its first statement."""
        return self._transaction(lease)

    @asynccontextmanager
    async def _transaction(self, lease: Lease) -> AsyncIterator["SqliteTransaction"]:
        transaction = SqliteTransaction(self._desk, lease)
        try:
            yield transaction
        finally:
            transaction.connection.end()

    async def record_result(
        self, lease: Lease, event_id: str, handling: HandlerRun | None, *, closes: EventState | None, now: float
    ) -> bool:
        """Record how a handler ended, and prolong the lease."""
        return await self._desk.do(
            partial(queries.settle, lease=lease, event_id=event_id, handling=handling, closes=closes, now=now)
        )

    async def release(self, lease: Lease, *, due_at: float | None) -> None:
        """Let a subject go."""
        if await self._desk.do(partial(queries.release, lease=lease, due_at=due_at)):
            self._hint.set()

    def worker(self, dispatcher: Dispatcher, *, client: Any) -> AbstractAsyncContextManager[Any]:
        """Work on what is here while the context lasts."""
        from leadpay.inbox.worker import Worker  # noqa: PLC0415 - receivers that don't work needn't load it

        return Worker(self, dispatcher, client=client)

    async def wait_for_work(self, seconds: float) -> None:
        """Come back after so many seconds, or earlier when something was added by this process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hint.wait()
        self._hint.clear()

    # By hand.

    async def stats(self) -> Stats:
        """Count what is here."""
        return await self._desk.do(queries.stats, writes=False)

    def events(
        self, *, state: EventState | None = None, event_type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[StoredEvent]:
        """Go through what is kept, newest receipt first, a page at a time."""
        read = partial(self._read, pages.wanted(state, event_type))
        return pages.walk(read, limit=limit)

    async def get(self, event_id: str) -> StoredEvent | None:
        """Look one event up."""
        page = await self._read({"id": event_id}, pages.LAST, 1)
        return page[0][1] if page else None

    async def _read(self, wanted: Mapping[str, str | None], before: int, size: int) -> list[tuple[int, StoredEvent]]:
        return await self._desk.do(partial(queries.page, wanted=wanted, before=before, limit=size), writes=False)

    async def replay(self, event_id: str, *, handler: str | None = None, now: float) -> bool:
        """Have an event handled again."""
        found = await self._desk.do(partial(queries.replay, event_id=event_id, handler=handler, now=now))
        self._hint.set()
        return found

    async def discard(self, event_id: str, *, reason: str, now: float) -> bool:
        """Throw a waiting or dead event away, keeping its row."""
        return await self._desk.do(partial(queries.discard, event_id=event_id, reason=reason, now=now))

    async def purge(self, *, before: datetime) -> int:
        """Drop the bodies of what is through and was received before a time."""
        return await pages.empty(lambda: self._desk.do(partial(queries.purge, before=before)))

    async def watermark(self) -> datetime | None:
        """Up to when the bank's event list has been walked."""
        return await self._desk.do(queries.watermark, writes=False)

    async def set_watermark(self, time: datetime) -> None:
        """Remember it; it never goes back."""
        await self._desk.do(partial(queries.set_watermark, time=time))

    async def __aenter__(self) -> Self:
        """Open the file; create or upgrade the schema."""
        self._desk.start()
        try:
            await self._desk.do(lambda _: None, writes=False)
        except BaseException:
            await self._desk.stop()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the file, after what has been begun."""
        await self._desk.stop()


class SqliteTransaction:
    """One handler's transaction."""

    def __init__(self, desk: ConnectionThread, lease: Lease) -> None:
        self._desk = desk
        self._lease = lease
        self.connection = SqliteConnection(desk)

    async def commit(self, event_id: str, handling: HandlerRun, *, closes: EventState | None, now: float) -> bool:
        """Record the handling in the same transaction and commit; without statements it shares others' commit."""
        settle = partial(
            queries.settle, lease=self._lease, event_id=event_id, handling=handling, closes=closes, now=now
        )
        hold = self.connection.hold
        if hold is None:
            return await self._desk.do(settle)
        try:
            return await hold.do(partial(_commit, settle=settle))
        except sqlite3.Error as error:
            raise InboxError(f"the inbox failed: {error}") from error


class SqliteConnection:
    """``context.transaction``: the inbox's own connection.

    From the first statement on the connection is this handler's alone, until the handler is through; all else waits,
    the receiver too. So do what takes long first, and write then. Statements raise what the ``sqlite3`` module raises.
    """

    def __init__(self, desk: ConnectionThread) -> None:
        self._desk = desk
        self._ended = False
        self.hold: ExclusiveSession | None = None

    async def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Execute one statement.

        Args:
            sql: the statement, with ``?`` or ``:name`` for parameters.
            parameters: their values.

        Returns:
            The rows that it gives.

        Raises:
            InboxError: it would begin or end a transaction, which is not the handler's to do; or the handler is over.
        """
        return await self._begun(sql).do(lambda connection: connection.execute(sql, parameters).fetchall())

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Execute one statement for many rows of parameters; see :meth:`execute`."""
        many = list(rows)
        await self._begun(sql).do(lambda connection: connection.executemany(sql, many))

    def end(self) -> None:
        """For the inbox: give the connection back."""
        self._ended = True
        if self.hold is not None:
            self.hold.end()

    def _begun(self, sql: str) -> ExclusiveSession:
        if self._ended:
            raise InboxError("context.transaction cannot be used once the handler is over")
        if _CONTROL.match(sql):
            raise InboxError("context.transaction begins, commits and rolls back by itself: raise to roll back")
        if self.hold is None:
            self.hold = self._desk.hold()
        return self.hold


_CONTROL: Final = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE | re.DOTALL
)


def _commit(connection: sqlite3.Connection, settle: partial[bool]) -> bool:
    if not connection.in_transaction:
        raise InboxError("one of the handler's statements rolled its transaction back")
    was_woken = settle(connection)
    connection.execute("COMMIT")
    return was_woken


class _Connection(sqlite3.Connection):
    """Knows which file it has."""

    file: tuple[int, int] | None = None


def _file(path: str) -> tuple[int, int] | None:
    if path == _MEMORY:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check(path: str, connection: _Connection) -> None:
    """Notice that the file has no name any more: SQLite doesn't, and what it then commits is gone with the process."""
    if _file(path) != connection.file:
        raise sqlite3.OperationalError("the file was removed or replaced")


def _connect(
    path: str, busy_seconds: float, prepare: Callable[[sqlite3.Connection], object] | None
) -> sqlite3.Connection:
    if path != _MEMORY:
        # Made by us, so that nobody else reads names and account numbers; SQLite gives its other files the same mode.
        with suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, factory=_Connection)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode, FULL is what makes a commit survive a loss of power.
        connection.execute("PRAGMA synchronous = FULL")
        # A body that is purged is overwritten, not only forgotten.
        connection.execute("PRAGMA secure_delete = ON")
        _upgrade(connection)
        if prepare is not None:
            prepare(connection)
        connection.file = _file(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    """Apply the numbered files that this database has not seen yet, in one transaction."""
    files = sorted(resources.files("leadpay.inbox").joinpath("schema/sqlite").iterdir(), key=lambda file: file.name)
    known = int(files[-1].name[:4])
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'leadpay_schema'").fetchone():
        (version,) = connection.execute(_VERSION).fetchone()
        if version > known:
            raise ConfigurationError(f"the inbox has schema {version}, and this leadpay knows {known}: upgrade leadpay")
        if version == known:
            return  # Without a lock, so that reading goes on while somebody writes.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS leadpay_schema (version INTEGER PRIMARY KEY)")
    (version,) = connection.execute(_VERSION).fetchone()
    for file in files[version:]:
        for statement in file.read_text(encoding="utf-8").split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO leadpay_schema VALUES (?)", (int(file.name[:4]),))
    connection.execute("COMMIT")


_VERSION: Final = "SELECT coalesce(max(version), 0) FROM leadpay_schema"
