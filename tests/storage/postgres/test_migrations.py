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
    await admin.execute("INSERT INTO leadpay_schema VALUES (99)")
    with pytest.raises(ConfigurationError, match="schema 99"):
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
