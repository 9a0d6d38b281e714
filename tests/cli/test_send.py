"""``leadpay send``: one payment, through the outbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import InvalidRequestError
from tests.cli.test_pay import Terminal
from tests.support.scene import Scene

ARGUMENTS = (
    *("send", "--reference", "invoice-1", "--account-number-id", "account_number_1", "--name", "Ada Lovelace"),
    *("--account-number", "123456789", "--routing-number", "111000111", "--amount"),
)


@pytest.fixture(autouse=True)
def outbox_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set LEAD_OUTBOX to a file that does not exist yet."""
    monkeypatch.setenv("LEAD_OUTBOX", f"sqlite:///{tmp_path / 'outbox.db'}")


@pytest.mark.asyncio
async def test_a_payment_is_sent_once(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The same reference again pays nothing twice."""
    assert await invoke(*ARGUMENTS, "50.00", "--yes", "--wait", "0.5") == 0
    assert "goes on when a sender runs again" in capsys.readouterr().out
    await online.clock.advance(60)
    assert await invoke(*ARGUMENTS, "50.00", "--yes", "--wait", "30", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["outcome"], shown["amount"]) == ("arrived", 5000)
    assert len([one async for one in online.lead.instant_payments.list()]) == 1


@pytest.mark.asyncio
async def test_what_is_refused_is_a_negative_result(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An amount that cannot be read, a person who says no, and the bank's own no."""
    with pytest.raises(InvalidRequestError, match="amount: must be cents"):
        await invoke(*ARGUMENTS, "50.0", "--yes")
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    assert await invoke(*ARGUMENTS, "50.00") == 1
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    online.bank.faults.add(
        "proxy_error", operation="send", status=422, content_type="application/json", body='{"code": "no"}'
    )
    assert await invoke(*ARGUMENTS, "50.00") == 1
    assert "invoice-1: refused" in capsys.readouterr().out
