"""Opening a SQLite file, and noticing that it is gone."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from leadpay.errors import InboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.storage.sqlite.connection import WAL_RETRY_SECONDS, SqliteFile
from tests.support.inbox import add


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    """Entering fails, and leaves no thread behind."""
    inbox = SqliteInbox(tmp_path / "nowhere" / "inbox.db")
    with pytest.raises(InboxError, match="unable to open"):
        await inbox.__aenter__()
    with pytest.raises(InboxError, match="async with"):
        await inbox.stats()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_replaced", [True, False])
async def test_a_removed_file_is_one_failure_and_then_a_new_file(path: Path, is_replaced: bool) -> None:
    """SQLite would go on with what has no name any more; the bank is not told 200 for what is nowhere."""
    async with SqliteInbox(path) as inbox:
        await add(inbox, "event_1")
        os.rename(path, f"{path}.moved")  # noqa: PTH104 - at once
        if is_replaced:
            os.close(os.open(path, os.O_CREAT))
        with pytest.raises(InboxError, match="removed or replaced"):
            await add(inbox, "event_2")
        assert await add(inbox, "event_2")
    async with SqliteInbox(path) as inbox:
        assert (await inbox.stats()).by_state == {"waiting": 1}


@pytest.mark.asyncio
async def test_opening_waits_for_other_connections_of_a_new_file(path: Path) -> None:
    """SQLite refuses to switch to the write-ahead log while another connection reads, whatever its busy timeout."""
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("CREATE TABLE other (x)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM other").fetchall()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            reader.execute("ROLLBACK")

    file = SqliteFile(str(path), busy_seconds=5, upgrade=lambda _: None, pause=pause)
    with closing(file.connect()) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert pauses == [WAL_RETRY_SECONDS] * 3
    reader.close()


def test_a_file_that_stays_in_use_is_an_error_after_the_busy_time(path: Path) -> None:
    """The switch to the write-ahead log is tried for as long as SQLite waits for a lock; other errors at once."""
    pauses: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("CREATE TABLE other (x)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM other").fetchall()
        file = SqliteFile(str(path), busy_seconds=0.1, upgrade=lambda _: None, pause=pauses.append)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            file.connect()
    assert sum(pauses) == pytest.approx(0.1)
    path.write_bytes(b"no database, but long enough to have a header" * 99)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        file.connect()
    assert sum(pauses) == pytest.approx(0.1)


class Full:
    """A connection whose disk is full."""

    def execute(self, sql: str) -> None:
        """Fail."""
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error


def test_another_failure_at_opening_is_not_tried_again(path: Path) -> None:
    """A full disk is an error at once."""
    pauses: list[float] = []
    file = SqliteFile(str(path), busy_seconds=5, upgrade=lambda _: None, pause=pauses.append)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file._use_write_ahead_log(cast("sqlite3.Connection", Full()))
    assert pauses == []
