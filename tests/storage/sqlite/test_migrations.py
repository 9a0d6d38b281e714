"""The schema of a SQLite file."""

import asyncio
import sqlite3
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
        connection.execute("INSERT INTO leadpay_schema VALUES (9999)")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"schema 9999.*upgrade"):
        await SqliteInbox(path).__aenter__()


@pytest.mark.asyncio
async def test_an_older_schema_is_upgraded(path: Path) -> None:
    """A file that has seen fewer of the numbered files gets the others."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE leadpay_schema (version INTEGER PRIMARY KEY)")
    connection.close()
    async with SqliteInbox(path) as inbox:
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_concurrent_openings_create_the_schema_once(path: Path) -> None:
    """The first one makes the schema, and none fails."""
    inboxes = [SqliteInbox(path) for _ in range(8)]
    await asyncio.gather(*(inbox.__aenter__() for inbox in inboxes))
    await asyncio.gather(*(add(inbox, f"event_{number}") for number, inbox in enumerate(inboxes)))
    assert (await inboxes[0].stats()).by_state == {"waiting": 8}
    await asyncio.gather(*(inbox.__aexit__() for inbox in inboxes))
