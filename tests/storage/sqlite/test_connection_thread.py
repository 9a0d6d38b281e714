"""One thread, one connection: shared commits, failures, cancelled operations."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import InboxError
from leadpay.inbox.sqlite import SqliteInbox
from tests.support.inbox import NOW, add


@pytest.mark.asyncio
async def test_concurrent_operations_share_a_commit(path: Path) -> None:
    """Two hundred events that come at once cost a few commits, not two hundred."""
    async with SqliteInbox(path) as inbox:
        await add(inbox, "event_first")
        before = path.with_name("inbox.db-wal").stat().st_size
        await asyncio.gather(*(add(inbox, f"event_{number}") for number in range(200)))
        # Each commit writes each page that it touched once more: alone, every event would write six or more.
        pages = (path.with_name("inbox.db-wal").stat().st_size - before) / 4096
        assert pages < 2 * 200
        assert (await inbox.stats()).by_state == {"waiting": 201}


@pytest.mark.asyncio
async def test_an_operation_that_fails_is_undone_alone(path: Path) -> None:
    """Others of its group are kept."""

    def fails(connection: Any) -> None:
        connection.execute("UPDATE leadpay_ordering_keys SET due_at = 1e18")
        raise ZeroDivisionError

    async with SqliteInbox(path) as inbox:
        results = await asyncio.gather(
            add(inbox, "event_1"), inbox._thread.run(fails), add(inbox, "event_2"), return_exceptions=True
        )
        assert [type(result) for result in results] == [bool, ZeroDivisionError, bool]
        assert len(await inbox.claim(5, now=NOW, lease=10)) == 2


@pytest.mark.asyncio
async def test_a_full_disk_replaces_the_connection(path: Path) -> None:
    """After it, the connection's state is not trusted, whether or not SQLite rolled the transaction back."""

    def fills(connection: Any) -> None:
        connection.execute("CREATE TABLE large (data BLOB)")
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        connection.execute("INSERT INTO large VALUES (zeroblob(1000000))")

    def misused(connection: Any) -> None:
        connection.execute("SELECT ?", ())

    async with SqliteInbox(path) as inbox:
        identity = await inbox._thread.run(id)
        with pytest.raises(InboxError, match="binding"):
            await inbox._thread.run(misused)
        assert await inbox._thread.run(id) == identity
        with pytest.raises(InboxError, match="full"):
            await inbox._thread.run(fills)
        assert await inbox._thread.run(lambda one: one.execute("PRAGMA max_page_count").fetchone()[0]) > 1000
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_memory_survives_a_failure() -> None:
    """A store in memory is not opened anew, since that would be another one."""
    async with SqliteInbox(":memory:") as inbox:
        await add(inbox, "event_1")
        with pytest.raises(InboxError):
            await inbox._thread.run(lambda connection: connection.execute("COMMIT"))
        assert not await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_cancelled_operation_holds_nothing_up(path: Path) -> None:
    """A cancelled operation is done or not, and the next ones work."""
    async with SqliteInbox(path) as inbox:
        impatient = asyncio.ensure_future(add(inbox, "event_1"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await asyncio.gather(add(inbox, "event_2"), impatient, return_exceptions=True)
        assert (await inbox.stats()).by_state["waiting"] >= 1


def test_results_for_a_closed_event_loop_are_dropped(path: Path) -> None:
    """The thread doesn't mind, and closing from another loop works, even twice."""
    inbox = SqliteInbox(path)
    gone = threading.Event()
    asyncio.run(_open_and_leave(inbox, gone))
    gone.set()
    asyncio.run(inbox.__aexit__())
    asyncio.run(inbox.__aexit__())


async def _open_and_leave(inbox: SqliteInbox, gone: threading.Event) -> None:
    await inbox.__aenter__()
    work = asyncio.ensure_future(inbox._thread.run(lambda _: gone.wait(5)))
    await asyncio.sleep(0)
    work.cancel()


@pytest.mark.asyncio
async def test_a_large_queue_is_committed_in_groups() -> None:
    """However much waits, each commit has an end."""
    async with SqliteInbox(":memory:") as inbox:
        assert all(await asyncio.gather(*(add(inbox, f"event_{number}") for number in range(1_500))))
