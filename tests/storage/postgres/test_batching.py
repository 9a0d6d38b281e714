"""Inserts that share a commit."""

import asyncio
import traceback
from collections.abc import Sequence
from typing import Any

import pytest

from leadpay.errors import InboxError
from leadpay.storage.postgres.batching import InsertBatcher, Row
from tests.support.inbox import add
from tests.support.postgres import manual_inbox


@pytest.mark.asyncio
async def test_an_event_that_the_database_refuses_fails_alone(postgres_url: str, admin: Any) -> None:
    """What came together and shares a commit is kept without it."""
    async with manual_inbox(postgres_url) as inbox:
        await admin.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'secret row' USING ERRCODE = 'data_exception'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON leadpay_events FOR EACH ROW WHEN (NEW.id = 'event_3')
                EXECUTE FUNCTION refuse()"""
        )
        adds = [asyncio.create_task(add(inbox, f"event_{number % 5}")) for number in range(10)]
        adds[8].cancel()
        adds[9].cancel()
        results = await asyncio.gather(*adds, return_exceptions=True)
        assert [result for result in results if isinstance(result, bool)] == [True] * 4 + [False] * 3
        refused, *cancelled = (results[number] for number in (3, 8, 9))
        assert [type(result) for result in cancelled] == [asyncio.CancelledError] * 2
        assert isinstance(refused, InboxError)
        assert str(refused) == "PostgreSQL failed: DataException (22000)"
        assert "secret row" not in "".join(traceback.format_exception(refused))
        assert (await inbox.stats()).by_state == {"waiting": 4}


@pytest.mark.asyncio
async def test_finishing_waits_for_rows_that_were_added_before() -> None:
    """Rows that come during a commit share the next one, and a failure reaches each of them but a cancelled one."""
    groups: list[list[str]] = []
    gate = asyncio.Event()

    async def insert(rows: Sequence[Row]) -> set[str]:
        groups.append([row[0] for row in rows])
        await gate.wait()
        if len(groups) == 2:
            raise ValueError
        return {row[0] for row in rows}

    batcher = InsertBatcher(insert, is_refusal=lambda _: False)
    await batcher.finish()
    adding = [asyncio.create_task(batcher.add(("a",)))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    adding += [asyncio.create_task(batcher.add((name,))) for name in "bcd"]
    await asyncio.sleep(0)
    adding[-1].cancel()
    finishing = asyncio.create_task(batcher.finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    gate.set()
    await finishing
    assert groups == [["a"], ["b", "c", "d"]]
    first, *others, cancelled = await asyncio.gather(*adding, return_exceptions=True)
    assert first is True
    assert [type(one) for one in others] == [ValueError, ValueError]
    assert isinstance(cancelled, asyncio.CancelledError)
