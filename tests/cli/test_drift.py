"""``leadpay drift``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadpay.converter import encode
from leadpay.inbox import open_inbox
from leadpay.sandbox.openapi import description
from leadpay.webhooks.event import parse
from tests.cli.conftest import ExitCode
from tests.support.payments import FULL, PAYMENTS
from tests.support.scene import Scene


@pytest.mark.asyncio
async def test_the_bank_s_lists_are_looked_through(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new thing has its count and the oldest object that has it; without any, the exit code is 0."""
    monkeypatch.delenv("LEAD_INBOX", raising=False)
    payments = [await online.send_to("1234567890") for _ in range(2)]
    since = ["--since", "2025-01-01"]
    assert await invoke("drift", *since) == 0
    assert "does not know 0 things in 6 of the bank's payments and events" in capsys.readouterr().out
    online.bank.faults.add("unknown_field")
    online.bank.faults.add("unreadable_object:1")
    assert await invoke("drift", *since, "--json") == 1
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [field] = [one for one in shown if (one["kind"], one["owner"]) == ("field", "InstantPayment")]
    assert field["detail"] == "added_tomorrow"
    assert field["first_seen_in"] in {payments[1].id, *[event.id async for event in online.lead.events.list()]}
    [wrong] = [one for one in shown if one["kind"] == "type"]
    assert (wrong["owner"], wrong["first_seen_in"]) == ("InstantPayment", payments[0].id)
    assert await invoke("drift") == 0


@pytest.mark.asyncio
async def test_the_inbox_is_looked_through(invoke: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that cannot be read too; bodies that were purged and older events are left out."""
    url, now = f"sqlite:///{tmp_path / 'inbox.db'}", datetime.now(UTC)
    event = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "instant_payment.posted"}
    readable = encode({**event, "object": {**PAYMENTS[FULL], "status": "frozen"}})
    async with open_inbox(url) as inbox:
        old = encode({**event, "id": "event_0", "object": {**PAYMENTS[FULL], "fee": 1}})
        await inbox.add(parse(old), old, received_at=now - timedelta(days=8))
        await inbox.add(parse(readable), readable, received_at=now)
        await inbox.add_unreadable(None, b"{}", ["x"], received_at=now)
    assert await invoke("drift", "--inbox", url) == 1
    first, _, *rows = capsys.readouterr().out.splitlines()
    assert first.endswith("in 2 events of the inbox")
    assert any(row.split()[:4] == ["word", "Status", "frozen", "1"] and "event_1" in row for row in rows)
    assert any(row.startswith("type") and row.rstrip().endswith("an event without an ID") for row in rows)
    assert not any("fee" in row for row in rows)
    async with open_inbox(url) as inbox:
        for event_id in ("event_0", "event_1"):
            await inbox.discard(event_id, reason="x", now=now.timestamp())
        await inbox.purge(before=now + timedelta(days=1))
    assert await invoke("drift", "--inbox", url, "--since", "2025-01-01") == 1
    assert "frozen" not in capsys.readouterr().out


def test_a_description_is_compared(tmp_path: Path, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1 if it has something new, and 2 if it cannot be read."""
    path = tmp_path / "openapi.json"
    document = description()
    path.write_bytes(encode(document))
    assert exit_code_of("drift", "--description", str(path)) == 0
    document["components"]["schemas"]["Payment"]["properties"]["fee"] = {"type": "integer"}
    path.write_bytes(encode(document))
    assert exit_code_of("drift", "--description", str(path)) == 1
    assert "fee" in capsys.readouterr().out
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        assert exit_code_of("drift", "--description", str(path)) == 2
    assert exit_code_of("drift", "--description", str(tmp_path / "gone.json")) == 2
