"""Open a SQLite file so that commits survive a loss of power, and notice when the file is removed or replaced."""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from leadpay.errors import ConfigurationError

MEMORY: Final = ":memory:"

WAL_RETRY_SECONDS: Final = 0.01
"""How long to wait before the next attempt to switch to the write-ahead log: opening a file takes about as long."""


class SqliteFile:
    """Where a database is, and how to connect to it.

    Args:
        path: the file, or ``":memory:"``.
        busy_seconds: how long to wait for another process's transaction.
        upgrade: brings the schema of a new connection up to date.
        prepare: what the user does with each new connection.
        pause: waits; the switch to the write-ahead log is repeated by it.
        create: whether to make the file if it isn't there.
    """

    def __init__(
        self,
        path: str,
        *,
        busy_seconds: float,
        upgrade: Callable[[sqlite3.Connection], object],
        prepare: Callable[[sqlite3.Connection], object] | None = None,
        pause: Callable[[float], object] = time.sleep,
        create: bool = True,
    ) -> None:
        self.is_memory = path == MEMORY
        # Absolute, since the process may change its working directory before it connects again.
        self._path = path if self.is_memory else str(Path(path).absolute())
        self._busy_seconds = busy_seconds
        self._upgrade = upgrade
        self._prepare = prepare
        self._pause = pause
        self._create = create

    def connect(self) -> "_Connection":
        """Open a connection in autocommit mode, ready for use."""
        if not self.is_memory and not self._create and not Path(self._path).is_file():
            raise ConfigurationError(f"{self._path}: no such file")
        if not self.is_memory:
            # Made here, so that only its owner reads names and account numbers; SQLite gives its other files this mode.
            # Only a new file: closing a file descriptor ends all locks that this process has on the file.
            with suppress(OSError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None, factory=_Connection)
        try:
            # In a new file only; without it, SQLite gives no disk space back.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._use_write_ahead_log(connection)
            # In WAL mode, FULL is what makes a commit survive a loss of power.
            connection.execute("PRAGMA synchronous = FULL")
            # A body that is purged is overwritten, and not only unlinked.
            connection.execute("PRAGMA secure_delete = ON")
            self._upgrade(connection)
            if self._prepare is not None:
                self._prepare(connection)
            connection.identity = self._identity()
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self, connection: "_Connection") -> None:
        """Raise if the connection's file has lost its name: SQLite would go on, and its commits would be lost.

        Raises:
            sqlite3.OperationalError: the file was removed or replaced.
        """
        if self._identity() != connection.identity:
            raise sqlite3.OperationalError("the file was removed or replaced")

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log, which SQLite refuses at once, without its busy timeout, while others read."""
        switch = partial(connection.execute, "PRAGMA journal_mode = WAL")
        for _ in range(int(self._busy_seconds / WAL_RETRY_SECONDS)):
            try:
                switch()
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY:
                    raise
                self._pause(WAL_RETRY_SECONDS)
            else:
                return
        switch()

    def _identity(self) -> tuple[int, int] | None:
        if self.is_memory:
            return None
        try:
            found = Path(self._path).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def primary_code(error: sqlite3.Error) -> int:
    """Give the kind of failure, the lowest byte of an extended result code (https://sqlite.org/rescode.html); or 0."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class _Connection(sqlite3.Connection):
    """Knows which file it has open."""

    identity: tuple[int, int] | None = None


def shrink(path: str) -> None:
    """Give free pages back to the disk, and empty the write-ahead log, which may hold what was deleted.

    While another process reads or writes, this does less or nothing, and the next call does the rest.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
