"""Tests of the ledger; leadpay's pytest plugin delivers the webhooks."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from leadpay import WebhookReceiver
from leadpay.testing import SECRET
from leadpay_ledger import router

OURS = "account_number_ours"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("LEDGER_DATABASE", str(path))
    monkeypatch.setenv("LEDGER_ACCOUNT_NUMBER_IDS", OURS)
    return path


def entries(path: Path) -> list[tuple[str, int]]:
    """Read the recorded entries."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT payment_id, cents FROM entries ORDER BY cents").fetchall()


@pytest.mark.asyncio
async def test_a_payment_and_its_return_are_recorded_once(database: Path, leadpay_deliver: Any) -> None:
    """Webhooks arrive twice, and the return arrives first."""
    came = leadpay_deliver.event("posted", direction="incoming", amount=5000, account_number_id=OURS)
    back = leadpay_deliver.event("posted", direction="outgoing", amount=2000, account_number_id=OURS)
    back["object"]["return"] = {"reason": "other"}
    back["object"]["related_objects"]["original_payment_id"] = came["object"]["id"]
    # The duplicates reach a new receiver, as after a restart.
    for _ in range(2):
        async with WebhookReceiver(router, secrets=SECRET) as receiver:
            await leadpay_deliver([back, came], receiver)
    assert entries(database) == [(back["object"]["id"], -2000), (came["object"]["id"], 5000)]


@pytest.mark.asyncio
async def test_other_account_numbers_are_ignored(database: Path, leadpay_deliver: Any) -> None:
    """The ledger is limited to the configured account numbers."""
    async with WebhookReceiver(router, secrets=SECRET) as receiver:
        await leadpay_deliver("posted", receiver, direction="incoming", account_number_id="account_number_other")
    assert entries(database) == []
