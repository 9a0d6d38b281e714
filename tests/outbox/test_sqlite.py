import os
import stat
from pathlib import Path

import pytest

from leadpay.errors import OutboxError
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.outbox import Outbox
from leadpay.outbox.sqlite import SqliteOutboxStore
from tests.support.outbox import existing, payment


@pytest.mark.asyncio
async def test_the_file_is_its_owners_and_may_hold_an_inbox_too(tmp_path: Path) -> None:
    """Names and account numbers are in it. The two schemas don't get in each other's way."""
    path = tmp_path / "both.db"
    async with SqliteInbox(path) as inbox, Outbox(SqliteOutboxStore(path)) as outbox:
        await outbox.send(**payment())
        assert (await inbox.stats()).by_state == {}
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - one call
    async with Outbox(SqliteOutboxStore(path)) as outbox:
        assert (await existing(outbox)).state == "queued"


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_opened_is_an_error_of_ours(tmp_path: Path) -> None:
    """No error of SQLite's escapes."""
    with pytest.raises(OutboxError, match="SQLite failed"):
        await SqliteOutboxStore(tmp_path / "missing" / "outbox.db").open()
