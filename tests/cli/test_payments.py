"""``leadpay payments``: a table for people, JSON for programs, and personal data is masked."""

import json
from typing import Any

import pytest

from leadpay.cli import run
from leadpay.sandbox import account_number
from tests.cli.conftest import ExitCode
from tests.support.scene import Scene


@pytest.mark.asyncio
async def test_payments_are_listed(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A row has what happened, without names and account numbers."""
    rejected = await online.send_to(account_number("rejected_by_lead:other"))
    bounced = await online.send_to(account_number("returned:account_closed"))
    await online.lead.instant_payments.request_return((await online.send_to("1234567890")).id, reason="duplication")
    await invoke("payments", "list")
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["CREATED", "ID", "DIRECTION", "AMOUNT", "STATUS", "OTHER", "SIDE", "NOTE"]
    assert len(rows) == 4
    text = "\n".join(rows)
    assert rows[-1].split()[2:] == [rejected.id, "outgoing", "$50.00", "rejected", "other,", "by", "lead"]
    assert f"return of {bounced.id}" in text
    assert "account_closed, by counterparty" in text
    assert "return request pending" in text
    assert "Alex" not in text
    assert "1234567890" not in text


@pytest.mark.asyncio
async def test_payments_are_json_lines(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is one payment as the bank sends it; filters and the limit are the bank's."""
    for number in range(5):
        await online.send(amount=number)
    await invoke("payments", "list", "--counterparty-status", "null", "--limit", "2", "--json")
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one.get("counterparty_status") for one in shown] == [None, None]
    await online.receive()
    await invoke("payments", "list", "--direction", "outgoing", "--limit", "3", "--json")
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["amount"] for one in shown] == [4, 3, 2]
    assert shown[0]["creditor"]["name"] == "Alex Smith"
    await invoke("payments", "list", "--limit", "0", "--since", "2025-01-01", "--until", "2025-12-31T00:00:00+00:00")
    assert len(capsys.readouterr().out.splitlines()) == 7


@pytest.mark.asyncio
async def test_an_unreadable_payment_is_a_row_of_its_own(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The others are shown, the command succeeds, and a warning says why."""
    payments = [await online.send(amount=number) for number in range(3)]
    online.bank.faults.add("unreadable_object")
    assert await invoke("payments", "list") is None
    _, *rows, last = capsys.readouterr().out.splitlines()
    assert [row.split()[2] for row in rows] == [payments[2].id, payments[0].id]
    assert last.endswith(" must be a string, not an integer @ $.status")
    assert last.split()[:2] == [payments[1].id, "unreadable"]
    assert "see Page.unreadable" in caplog.text
    assert await invoke("payments", "list", "--json") is None
    *_, text = capsys.readouterr().out.splitlines()
    assert json.loads(text) == {
        "unreadable": {
            "id": payments[1].id,
            "payment_id": payments[1].id,
            "problems": [{"parameter": "$.status", "reason": "must be a string, not an integer"}],
        }
    }


@pytest.mark.asyncio
async def test_a_payment_is_shown(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Names and account numbers are masked, except in JSON."""
    payment = await online.send_to(account_number("rejected_by_lead:other"))
    await invoke("payments", "show", payment.id)
    text = capsys.readouterr().out
    assert "rejection.reason" in text
    assert "creditor.account_number                   …1018\n" in text
    assert "Alex" not in text
    await invoke("payments", "show", payment.id, "--json")
    assert json.loads(capsys.readouterr().out)["creditor"]["name"] == "Alex Smith"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Unset the variables that commands read."""
    for name in ("LEAD_BASE_URL", "LEAD_CLIENT_ID", "LEAD_CLIENT_SECRET", "LEAD_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_missing_credentials_are_one_line(
    offline: pytest.MonkeyPatch, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is exit code 2."""
    assert exit_code_of("payments", "list") == 2
    error = capsys.readouterr().err
    assert "client_id" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "arguments", "message"),
    [
        ("http://example.com", "events list", "TLS"),
        ("http://127.0.0.1:1", "payments show x/y", "payment_id"),
        ("http://127.0.0.1:1", "payments list --status lost", "status"),
    ],
)
def test_a_users_error_is_one_line(
    url: str, arguments: str, message: str, offline: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is exit code 2: the message names what is wrong, and nothing is sent."""
    for name, value in {"BASE_URL": url, "CLIENT_ID": "me", "CLIENT_SECRET": "s3cret"}.items():
        offline.setenv(f"LEAD_{name}", value)
    with pytest.raises(SystemExit) as exit_info:
        run(arguments.split())
    error = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert message in error
    assert error.count("\n") == 1
