"""``leadpay account-numbers``."""

import io
import json
from typing import Any

import pytest

from tests.support.scene import Scene

ID = "account_number_1"
ENTRY = ("--direction", "incoming", "--routing-number", "111000111", "--account-number")

pytestmark = pytest.mark.asyncio


async def test_account_numbers_are_a_table(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A row has the filters, with the length of a list that counts, and no number."""
    await invoke("account-numbers", "allow", ID, *ENTRY, "1234567890", "--filter", "allowlist_only")
    number = (await online.lead.account_numbers.retrieve(ID)).account_number or ""
    await online.lead.account_numbers.retrieve("account_number_2")
    capsys.readouterr()
    await invoke("account-numbers", "list")
    text = capsys.readouterr().out
    header, *rows = text.splitlines()
    assert header.split() == ["ID", "ACCOUNT", "STATUS", "INCOMING", "OUTGOING"]
    assert [row.split() for row in rows] == [
        ["account_number_2", "account_2", "active", "accept_all", "accept_all"],
        ["account_number_1", "account_1", "active", "allowlist_only", "(1)", "accept_all"],
    ]
    assert number not in text
    await invoke("account-numbers", "list", "--account-id", "account_1", "--json")
    [shown] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert shown["account_number"] == number


async def test_an_unreadable_account_number_is_a_row_of_its_own(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what cannot be read, and the command succeeds."""
    await online.lead.account_numbers.retrieve(ID)
    online.bank.faults.add("unreadable_object")
    await invoke("account-numbers", "list")
    assert " unreadable " in capsys.readouterr().out


async def test_an_account_number_is_shown(online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Filters in full, numbers by their last four digits, metadata by its names; all of it with --json."""
    await online.lead.account_numbers.update(ID, metadata={"contact_id": "Gertrude"})
    await invoke("account-numbers", "allow", ID, *ENTRY, "1234567890")
    capsys.readouterr()
    await invoke("account-numbers", "show", ID)
    text = capsys.readouterr().out
    assert "instant_payment_controls.incoming.counterparty_filter" in text
    assert "accept_all" in text
    assert "…7890" in text
    assert "1234567890" not in text
    assert "metadata.contact_id" in text
    assert "Gertrude" not in text
    await invoke("account-numbers", "show", ID, "--json")
    assert json.loads(capsys.readouterr().out)["metadata"] == {"contact_id": "Gertrude"}


async def test_allow_says_whether_it_has_an_effect(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has with allowlist_only; it is needless with accept_all, and useless with reject_all."""
    assert await invoke("account-numbers", "allow", ID, *ENTRY, "1234567890") == 0
    assert "the list has no effect" in capsys.readouterr().err
    assert await invoke("account-numbers", "allow", ID, *ENTRY, "1234567890", "--filter", "reject_all") == 1
    assert "incoming payments are still rejected" in capsys.readouterr().err
    assert await invoke("account-numbers", "allow", ID, *ENTRY, "1234567890", "--filter", "allowlist_only") == 0
    assert capsys.readouterr().err == ""
    assert (await online.receive()).status == "posted"


async def test_deny_says_whether_it_has_an_effect(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has none with accept_all; the number can come from standard input."""
    await invoke("account-numbers", "allow", ID, *ENTRY, "1234567890")
    capsys.readouterr()
    assert await invoke("account-numbers", "deny", ID, *ENTRY, "1234567890", "--json") == 1
    told = capsys.readouterr()
    assert "the counterparty is still admitted" in told.err
    assert json.loads(told.out)["id"] == ID
    monkeypatch.setattr("sys.stdin", io.StringIO("1234567890\n"))
    assert await invoke("account-numbers", "deny", ID, *ENTRY[:-1], "--filter", "allowlist_only") == 0
    assert (await online.receive()).status == "rejected"


class Keyboard(io.StringIO):
    """A terminal at which a person types."""

    def isatty(self) -> bool:
        """It is one."""
        return True


async def test_a_person_is_asked_for_the_number(
    online: Scene, invoke: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, so that the output can be used."""
    monkeypatch.setattr("sys.stdin", Keyboard("1234567890\n"))
    assert await invoke("account-numbers", "allow", ID, *ENTRY[:-1], "--filter", "allowlist_only") == 0
    assert capsys.readouterr().err == "account number:\n"
    assert (await online.receive()).status == "posted"
