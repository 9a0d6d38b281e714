"""``leadpay reconcile``."""

import csv
import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from leadpay.cli.output import csv_cell
from leadpay.cli.reconcile import COLUMNS
from leadpay.inbox import open_inbox
from leadpay.outbox import open_outbox
from tests.cli.conftest import ExitCode, Invoke
from tests.support.scene import Scene

DAY = ("--day", "2025-01-06")


@pytest.fixture
def outbox_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set LEAD_OUTBOX to a file that does not exist yet."""
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    monkeypatch.setenv("LEAD_OUTBOX", url)
    return url


async def make_stores(scene: Scene, inbox_url: str, outbox_url: str) -> None:
    """Let a payment be sent from elsewhere, and have an inbox that lacks its events."""
    await scene.after(await scene.send())
    async with open_inbox(inbox_url), open_outbox(outbox_url):
        pass


@pytest.mark.asyncio
async def test_findings_have_exit_code_5_until_they_are_repaired(
    online: Scene, invoke: Invoke, inbox_url: str, outbox_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, with the remedy for each."""
    await make_stores(online, inbox_url, outbox_url)
    # The events of 2025 are older than what the bank lists, so some things can't be told.
    assert await invoke("reconcile", *DAY) == 3
    out = capsys.readouterr().out
    assert out.startswith("1 payments and 2 events at the bank, 0 instructions\n")
    for text in ("event_missing", "not_from_here", "sum_differs", "$50.00", "COULD NOT TELL: the bank lists events"):
        assert text in out
    assert await invoke("reconcile", *DAY, "--repair") == 3
    out = capsys.readouterr().out
    assert out.count("REPAIRED: event_missing event_") == 2
    assert "sum_differs" not in out


@pytest.mark.asyncio
async def test_an_outbox_alone_is_compared(
    online: Scene, invoke: Invoke, outbox_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one time to another; without payments everything agrees."""
    async with open_outbox(outbox_url):
        pass
    assert await invoke("reconcile", *DAY) == 0
    assert capsys.readouterr().out == "0 payments and 0 events at the bank, 0 instructions\neverything agrees\n"
    for day in ("today", "yesterday"):
        assert await invoke("reconcile", "--day", day) == 0
    await online.after(await online.send())
    start = datetime.fromtimestamp(online.clock.now()).astimezone() - timedelta(hours=1)
    times = ("--from", start.isoformat(), "--to", (start + timedelta(hours=2)).isoformat())
    assert await invoke("reconcile", *times) == 5
    assert "not_from_here" in capsys.readouterr().out


@pytest.mark.asyncio
async def test_csv_and_json_have_cents(
    online: Scene, invoke: Invoke, inbox_url: str, outbox_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs of finance: every finding and every total."""
    await make_stores(online, inbox_url, outbox_url)
    await invoke("reconcile", *DAY, "--csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert tuple(rows[0]) == COLUMNS
    assert {one["kind"]: one["cents"] for one in rows} == {
        "event_missing": "",
        "not_from_here": "5000",
        "sum_differs": "5000",
        "total_incoming": "0",
        "total_outgoing": "5000",
        "total_net": "-5000",
        "could_not_tell": "",
    }
    await invoke("reconcile", *DAY, "--json")
    data = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in data["findings"]][:2] == ["not_from_here", "event_missing"]
    assert data["findings"][0]["remedy"].startswith("find out who sent it")
    assert data["totals"][0]["net_cents"] == -5000


@pytest.mark.parametrize(
    ("text", "shown"), [("=SUM(A1)", "'=SUM(A1)"), ("order-1", "order-1"), (None, ""), ("@x", "'@x")]
)
def test_a_reference_is_no_formula(text: str | None, shown: str) -> None:
    """A spreadsheet would execute it."""
    assert csv_cell(text) == shown


@pytest.mark.parametrize(
    "options",
    [(), DAY, ("--day", "monday"), (*DAY, "--from", "2025-01-06T00:00:00"), ("--from", "2025-01-06T00:00:00")],
)
def test_wrong_options_are_exit_code_2(options: tuple[str, ...], exit_code_of: ExitCode) -> None:
    """No time, nothing to compare with, a day that is none, or too many of them."""
    assert exit_code_of("reconcile", *options) == 2


def test_a_missing_outbox_is_not_made(
    exit_code_of: ExitCode, outbox_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To look changes nothing."""
    monkeypatch.setenv("LEAD_CLIENT_ID", "me")
    monkeypatch.setenv("LEAD_CLIENT_SECRET", "mine")
    assert exit_code_of("reconcile", *DAY) == 2
    assert not (tmp_path / "outbox.db").exists()
