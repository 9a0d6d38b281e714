"""``leadpay pay``: a file is checked, confirmed, queued, sent and reported; again, it pays nothing twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from leadpay.outbox import open_outbox
from tests.support.outbox import payment
from tests.support.scene import Scene

HEADER = "reference,amount,name,account_number,routing_number,description\n"
ROWS = "p1,50.00,Ada Lovelace,123456789,111000111,rent\np2,0.05,Bob Brown,1234,111000111,\n"
ACCOUNT = ("--account-number-id", "account_number_payouts")


@pytest.fixture
def outbox_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set LEAD_OUTBOX to a file that does not exist yet."""
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    monkeypatch.setenv("LEAD_OUTBOX", url)
    return url


def exists(url: str) -> bool:
    """Tell whether the outbox's file is there."""
    return Path(url.removeprefix("sqlite:///")).exists()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file with two payments."""
    path = tmp_path / "payments.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8-sig")
    return path


@pytest.mark.asyncio
async def test_a_dry_run_checks_and_opens_nothing(
    file: Path, outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows the totals."""
    assert await invoke("pay", str(file), *ACCOUNT, "--dry-run") == 0
    assert capsys.readouterr().err == "2 payments to 2 accounts, $50.05 in all, the largest $50.00\n"
    assert not exists(outbox_url)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["bad.csv", "bad.jsonl", "latin.csv"])
async def test_a_file_with_problems_queues_nothing(
    tmp_path: Path, outbox_url: str, name: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its row and column."""
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe" if name == "latin.csv" else f"{HEADER}p1,1.5,A,1,1,\n".encode())
    assert await invoke("pay", str(path), *ACCOUNT, "--yes") == 2
    shown = capsys.readouterr()
    assert shown.out.split()[:3] == ["ROW", "COLUMN", "PROBLEM"]
    assert "nothing was queued" in shown.err
    assert not exists(outbox_url)


@pytest.mark.asyncio
async def test_a_file_is_paid_once(
    online: Scene, file: Path, outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same file again goes on where it stopped; results are CSV, or JSON lines, or a file."""
    assert await invoke("pay", str(file), *ACCOUNT, "--yes", "--wait", "0") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "reference,amount,state,outcome,payment_id,reason"
    assert [row.split(",")[:3] for row in rows] == [["p1", "5000", "accepted"], ["p2", "5", "accepted"]]
    assert await invoke("pay", str(file), *ACCOUNT, "--yes", "--wait", "0", "--json") == 0
    assert [json.loads(line)["reference"] for line in capsys.readouterr().out.splitlines()] == ["p1", "p2"]
    assert len([one async for one in online.lead.instant_payments.list()]) == 2
    await online.clock.advance(60)
    results = file.with_name("results.csv")
    assert await invoke("pay", str(file), *ACCOUNT, "--yes", "--wait", "30", "--results", str(results)) == 0
    assert [line.split(",")[3] for line in results.read_text().splitlines()[1:]] == ["arrived", "arrived"]


@pytest.mark.asyncio
async def test_a_reference_that_was_queued_with_other_content_is_a_problem(
    file: Path, outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found before anything is queued."""
    async with open_outbox(outbox_url) as outbox:
        await outbox.send(**payment(reference="p2"))
        assert await invoke("pay", str(file), *ACCOUNT, "--yes") == 2
        assert "3    reference  was queued before with another amount, creditor.acc" in capsys.readouterr().out
        assert await outbox.get("p1") is None


@pytest.mark.asyncio
async def test_what_was_held_or_refused_is_a_negative_result(
    online: Scene, file: Path, outbox_url: str, invoke: Any
) -> None:
    """A script sees it in the exit code."""
    online.bank.faults.add(
        "proxy_error", operation="send", status=422, content_type="application/json", body='{"code": "no"}'
    )
    assert await invoke("pay", str(file), *ACCOUNT, "--yes") == 1


@pytest.mark.asyncio
async def test_money_needs_a_confirmation(
    file: Path, outbox_url: str, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's, or the option's where no person can be asked."""
    with pytest.raises(ConfigurationError, match="--yes"):
        await invoke("pay", str(file), *ACCOUNT)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert await invoke("pay", str(file), *ACCOUNT) == 1
    async with open_outbox(outbox_url) as outbox:
        assert (await outbox.stats()).by_state == {}


class Terminal:
    """Standard input of a person."""

    def __init__(self, text: str) -> None:
        self._text = text

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True

    def readline(self) -> str:
        """Give what was typed."""
        return self._text
