"""The schema of a PostgreSQL database."""

import asyncio
from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from tests.support.inbox import add
from tests.support.postgres import manual_inbox


@pytest.mark.asyncio
async def test_a_newer_schema_is_refused(postgres_url: str, admin: Any) -> None:
    """An older program doesn't write what it doesn't understand."""
    async with manual_inbox(postgres_url) as inbox:
        assert (await inbox.stats()).by_state == {}
    await admin.execute("INSERT INTO leadpay_schema VALUES (99, 99)")
    with pytest.raises(ConfigurationError, match="schema 99"):
        await manual_inbox(postgres_url).__aenter__()


@pytest.mark.asyncio
async def test_a_newer_schema_that_works_with_this_program_is_used(postgres_url: str, admin: Any) -> None:
    """During a rolling deploy the older workers go on."""
    async with manual_inbox(postgres_url):
        await admin.execute("INSERT INTO leadpay_schema VALUES (99, 1)")
    async with manual_inbox(postgres_url) as inbox:
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_look_changes_nothing(postgres_url: str, admin: Any) -> None:
    """An empty database stays empty, and an older schema stays as it is."""
    with pytest.raises(ConfigurationError, match="leadpay inbox migrate"):
        await manual_inbox(postgres_url, migrate=False).__aenter__()
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
    assert await (await admin.execute(tables)).fetchone() == (0,)
    inbox = manual_inbox(postgres_url)
    assert len(await inbox.missing_migrations()) >= 1
    async with inbox:
        assert await inbox.missing_migrations() == []
    async with manual_inbox(postgres_url, migrate=False) as looking:
        assert (await looking.stats()).by_state == {}


@pytest.mark.asyncio
async def test_a_schema_that_was_never_released_is_refused(postgres_url: str, admin: Any) -> None:
    """Its tables have the same names and other columns."""
    await admin.execute("CREATE TABLE leadpay_schema (version integer PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="never released"):
        await manual_inbox(postgres_url).__aenter__()


@pytest.mark.asyncio
async def test_concurrent_openings_create_the_schema_once(postgres_url: str) -> None:
    """One applies the files, the others wait for it."""
    inboxes = [manual_inbox(postgres_url, connections=1) for _ in range(4)]
    await asyncio.gather(*(inbox.__aenter__() for inbox in inboxes))
    assert [await add(inbox, "event_1") for inbox in inboxes] == [True, False, False, False]
    for inbox in inboxes:
        await inbox.__aexit__()


@pytest.mark.asyncio
async def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: str, admin: Any) -> None:
    """Told at the start, and not by an event that cannot be kept."""
    await admin.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        with pytest.raises(ConfigurationError, match="UTF-8"):
            await manual_inbox(postgres_server.replace("/postgres?", "/ascii?")).__aenter__()
    finally:
        await admin.execute("DROP DATABASE ascii WITH (FORCE)")
