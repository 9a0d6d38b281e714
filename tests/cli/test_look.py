"""``leadpay payments`` and ``leadpay events``: tables for people, JSON for programs, nothing personal on a screen."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from leadpay.cli import run
from leadpay.cli.look import event_row, flat
from leadpay.enums import EventType
from leadpay.models import Event
from leadpay.sandbox import account_number
from tests.support.scene import Scene


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed."""
    return capsys.readouterr().out.splitlines()


@pytest.mark.asyncio
async def test_payments_are_a_table(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One row each, whole in a pipe, with what happened and without names and account numbers."""
    rejected = await online.send_to(account_number("rejected_by_lead:other"))
    bounced = await online.send_to(account_number("returned:account_closed"))
    await online.lead.instant_payments.request_return((await online.send_to("1234567890")).id, reason="duplication")
    await invoke("payments", "list")
    header, *rows = lines(capsys)
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
async def test_payments_are_json_for_programs(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, as the bank has it; filters and the limit are the bank's."""
    for number in range(5):
        await online.send(amount=number)
    await online.receive()
    await invoke("payments", "list", "--direction", "outgoing", "--limit", "3", "--json")
    shown = [json.loads(line) for line in lines(capsys)]
    assert [one["amount"] for one in shown] == [4, 3, 2]
    assert shown[0]["creditor"]["name"] == "Alex Smith"
    await invoke("payments", "list", "--limit", "0", "--since", "2025-01-01", "--until", "2025-12-31T00:00:00+00:00")
    assert len(lines(capsys)) == 7


@pytest.mark.asyncio
async def test_a_payment_is_shown_field_by_field(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With names and account numbers masked, or whole as JSON."""
    payment = await online.send_to(account_number("rejected_by_lead:other"))
    await invoke("payments", "show", payment.id)
    text = capsys.readouterr().out
    assert "rejection.reason" in text
    assert "creditor.account_number                   …1018\n" in text
    assert "Alex" not in text
    await invoke("payments", "show", payment.id, "--json")
    assert json.loads(capsys.readouterr().out)["creditor"]["name"] == "Alex Smith"


@pytest.mark.asyncio
async def test_events_are_listed_and_shown(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By type and object, in either form."""
    payment = await online.send_to("1234567890")
    await invoke("events", "list", "--type", "instant_payment.posted", "--object-id", payment.id)
    _, row = lines(capsys)
    event_id = row.split()[2]
    assert row.split()[3:] == ["instant_payment.posted", payment.id]
    await invoke("events", "list", "--json")
    assert [json.loads(line)["event"].rpartition(".")[2] for line in lines(capsys)] == [
        "counterparty_status_updated",
        "posted",
    ]
    await invoke("events", "show", event_id)
    assert "object.creditor.name                      …\n" in capsys.readouterr().out


def test_an_event_of_another_product_has_a_row_too() -> None:
    """Whatever its object is."""
    when = datetime(2025, 1, 6, tzinfo=UTC)
    made = [Event(id="event_1", event=EventType("ach.posted"), created_at=when, object=one) for one in ({"id": "a"}, 1)]
    assert [event_row(event)[3] for event in made] == ["a", ""]


def test_lists_and_missing_values_are_flat_lines() -> None:
    """A name in a list is masked as well, and nothing stays nothing."""
    data = {"a": [{"name": "Jo Doe"}, {"name": ""}], "b": None, "creditor": {"account_number": "12"}}
    assert flat(data) == [("a[0].name", "…"), ("a[1].name", ""), ("b", ""), ("creditor.account_number", "…")]


@pytest.mark.parametrize(
    ("environment", "arguments", "says"),
    [
        ({}, ["payments", "list"], "client_id"),
        ({"LEAD_BASE_URL": "http://example.com"}, ["events", "list"], "TLS"),
        ({"LEAD_BASE_URL": "http://127.0.0.1:1"}, ["payments", "show", "x/y"], "payment_id"),
        ({"LEAD_BASE_URL": "http://127.0.0.1:1"}, ["payments", "list", "--status", "lost"], "status"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_status_two(
    environment: dict[str, str],
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong is named, and nothing is sent."""
    for name in ("LEAD_BASE_URL", "LEAD_CLIENT_ID", "LEAD_CLIENT_SECRET", "LEAD_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    if environment:
        environment |= {"LEAD_CLIENT_ID": "me", "LEAD_CLIENT_SECRET": "s3cret"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert says in error
    assert error.count("\n") == 1
