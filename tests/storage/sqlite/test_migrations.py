"""The schema of a SQLite file."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leadpay.errors import ConfigurationError
from leadpay.inbox.sqlite import SqliteInbox
from tests.support.inbox import add


@pytest.mark.asyncio
async def test_a_newer_schema_is_refused(path: Path) -> None:
    """An older program does not touch what a newer one has upgraded."""
    async with SqliteInbox(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO leadpay_schema VALUES (9999, 9999)")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"schema 9999.*upgrade"):
        await SqliteInbox(path).__aenter__()


@pytest.mark.asyncio
async def test_a_newer_schema_that_works_with_this_program_is_used(path: Path) -> None:
    """During a rolling deploy the older workers go on."""
    async with SqliteInbox(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO leadpay_schema VALUES (9999, 1)")
    async with SqliteInbox(path) as inbox:
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_an_older_schema_is_upgraded_but_not_by_a_look(path: Path) -> None:
    """A file that has seen fewer of the numbered files gets the others."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE leadpay_schema (version INTEGER PRIMARY KEY, works_with INTEGER NOT NULL)")
    with pytest.raises(ConfigurationError, match="leadpay inbox migrate"):
        await SqliteInbox(path, migrate=False).__aenter__()
    inbox = SqliteInbox(path)
    assert "leadpay_events" in (await inbox.missing_migrations())[0]
    async with inbox:
        assert await add(inbox, "event_1")
        assert await inbox.missing_migrations() == []


@pytest.mark.asyncio
async def test_a_look_makes_no_file(path: Path) -> None:
    """A path that is misspelled is an error."""
    with pytest.raises(ConfigurationError, match="no such file"):
        await SqliteInbox(path, migrate=False).__aenter__()
    assert list(path.parent.iterdir()) == []


@pytest.mark.asyncio
async def test_a_schema_that_was_never_released_is_refused(path: Path) -> None:
    """Its tables have the same names and other columns."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE leadpay_schema (version INTEGER PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="never released"):
        await SqliteInbox(path).__aenter__()


@pytest.mark.asyncio
async def test_concurrent_openings_create_the_schema_once(path: Path) -> None:
    """The first one makes the schema, and none fails."""
    inboxes = [SqliteInbox(path) for _ in range(8)]
    await asyncio.gather(*(inbox.__aenter__() for inbox in inboxes))
    await asyncio.gather(*(add(inbox, f"event_{number}") for number, inbox in enumerate(inboxes)))
    assert (await inboxes[0].stats()).by_state == {"waiting": 8}
    await asyncio.gather(*(inbox.__aexit__() for inbox in inboxes))
