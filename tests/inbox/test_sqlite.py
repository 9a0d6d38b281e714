"""An inbox in a SQLite file: durability, failing files, and handlers."""

import asyncio
import os
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from leadpay.errors import InboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.support.inbox import NOW, RECEIVED, HandClock, add, event_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.db"


@pytest.mark.asyncio
async def test_an_event_outlives_the_process(path: Path) -> None:
    """What was accepted is in the file, which only its owner can read; repr names it."""
    async with SqliteInbox(path) as inbox:
        await add(inbox, "event_1")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - one fast call
    async with SqliteInbox(path) as inbox:
        assert not await add(inbox, "event_1")
        assert repr(inbox) == f"SqliteInbox({str(path)!r})"


@pytest.mark.asyncio
async def test_a_locked_file_fails_and_recovers(path: Path) -> None:
    """While another process holds the lock nothing is accepted; afterwards everything is, without a restart."""
    async with SqliteInbox(path, busy_seconds=0.01) as inbox:
        await add(inbox, "event_1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for event_id in ("event_1", "event_2"):
            with pytest.raises(InboxError, match="locked"):
                await add(inbox, event_id)
        assert (await inbox.stats()).by_state == {"waiting": 1}
        other.execute("ROLLBACK")
        other.close()
        assert await add(inbox, "event_2")
        assert not await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_full_disk_fails_and_recovers(path: Path) -> None:
    """Additions fail, accepted events stay, and with room again it goes on without a restart."""
    pages = 30
    prepare = lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}")  # noqa: E731 - a line
    async with SqliteInbox(path, prepare=prepare) as inbox:
        accepted = []
        for number in range(0, 500, 10):
            group = (add(inbox, f"event_{one}") for one in range(number, number + 10))
            accepted += [result is True for result in await asyncio.gather(*group, return_exceptions=True)]
        assert 0 < sum(accepted) < 500
        assert (await inbox.stats()).by_state == {"waiting": sum(accepted)}
        pages = 10_000
        # A connection that is still open knows nothing of the new disk; its failure makes room for one that does.
        more = await asyncio.gather(*(add(inbox, f"event_more_{one}") for one in range(500)), return_exceptions=True)
        assert all("full" in str(one) for one in more if isinstance(one, InboxError))
        assert [not await add(inbox, f"event_{one}") for one in range(500)] == accepted


@pytest.mark.asyncio
async def test_webhooks_get_503_as_long_as_nothing_can_be_stored(path: Path) -> None:
    """Never 2xx for what isn't on disk: locked, and closed; 200 as soon as it works again."""
    clock = HandClock()
    inbox = SqliteInbox(path, busy_seconds=0.01)
    receiver = WebhookReceiver(WebhookRouter("empty"), secrets=["whsec"], inbox=inbox, work=False, clock=clock)
    _, body = event_of("event_1")
    headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
    async with inbox:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await receiver.receive(body=body, headers=headers) == 503
        other.close()
        assert await receiver.receive(body=body, headers=headers) == 200
        assert await receiver.receive(body=body, headers=headers) == 200
        assert (receiver.counts["accepted"], receiver.counts["duplicate"]) == (1, 1)
    assert await receiver.receive(body=body, headers=headers) == 503


@pytest.mark.asyncio
async def test_what_was_deleted_is_in_no_file_and_its_space_is_given_back(path: Path) -> None:
    """Neither in the database nor in its log; the file has shrunk to less than half."""
    async with SqliteInbox(path) as inbox:
        for number in range(40):
            event, body = event_of(f"event_{number}", payment=f"instant_payment_{number % 2}")
            await inbox.add(event, body + b" " * 20_000 + b"Gertrude", received_at=RECEIVED)
            await inbox.discard(event.id, reason="a test", now=NOW)
        before = _size(path)
        assert await inbox.erase("instant_payment_0") == 20
        assert await inbox.purge(before=RECEIVED + timedelta(seconds=1)) == 20
        assert not any(b"Gertrude" in file.read_bytes() for file in _files(path))
        assert _size(path) < before / 2


def _files(path: Path) -> list[Path]:
    return [path, path.with_name("inbox.db-wal")]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))
