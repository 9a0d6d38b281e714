"""``leadpay backfill``: missed events are fetched and stored."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from leadpay.inbox import open_inbox
from tests.support.scene import Scene


@pytest.mark.asyncio
async def test_missed_events_are_stored(
    online: Scene, inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing inbox is created; a second run finds nothing more; a long gap is a warning."""
    online.clock._now = time.time() - 7200  # the command takes the time from the machine's clock
    for _ in range(3):
        await online.receive()
    since = datetime.fromtimestamp(time.time() - 86_400, UTC).isoformat()
    await invoke("backfill", "--since", since)
    out = capsys.readouterr().out
    assert "the bank lists 3 events from " in out
    assert "3 of them were missing and are now in the inbox\n" in out
    await invoke("backfill", "--since", "2020-01-01", "--json")
    done = json.loads(capsys.readouterr().out)
    assert (done["seen"], done["recovered"], done["near_limit"]) == (3, 0, True)
    await invoke("backfill", "--since", "2020-01-01")
    assert "WARNING" in capsys.readouterr().out
    async with open_inbox(inbox_url) as inbox:
        assert (await inbox.stats()).by_state == {"waiting": 3}


@pytest.mark.asyncio
async def test_events_that_cannot_be_read_are_stored_and_shown(
    online: Scene, inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning names the command that lists them."""
    online.clock._now = time.time() - 7200
    await online.receive()
    online.bank.faults.add("unreadable_object:list_events")
    await invoke("backfill", "--since", datetime.fromtimestamp(time.time() - 20_000, UTC).isoformat())
    assert "WARNING: 1 of them cannot be read: leadpay inbox list --state unreadable" in capsys.readouterr().out
    async with open_inbox(inbox_url) as inbox:
        assert (await inbox.stats()).by_state == {"unreadable": 1}


@pytest.mark.asyncio
async def test_the_first_backfill_demands_since(online: Scene, inbox_url: str, invoke: Any) -> None:
    """An inbox that was lost must not be taken for a complete one."""
    with pytest.raises(ConfigurationError, match="--since"):
        await invoke("backfill")
