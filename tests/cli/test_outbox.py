"""``leadpay outbox``: instructions are counted, listed, shown, approved, withdrawn, resolved and sent."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from leadpay.cli.outbox import evidence_lines
from leadpay.errors import ConfigurationError, InstructionStateError
from leadpay.outbox import Limits, Outbox, open_outbox
from leadpay.outbox.store import Plan, Statement
from tests.cli.processes import running
from tests.outbox.test_store import instruction
from tests.support.outbox import payment
from tests.support.scene import Scene


@pytest.fixture
def outbox_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set LEAD_OUTBOX to a file that does not exist yet."""
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    monkeypatch.setenv("LEAD_OUTBOX", url)
    return url


def guarded(url: str) -> Outbox:
    """Open the outbox with a limit and two people."""
    return open_outbox(url, limits=Limits(per_payment=1000), two_people=True)


def out(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Give the words of each line that was printed."""
    return [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.asyncio
async def test_looking_makes_no_outbox(outbox_url: str, invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there is an error, and so is no file."""
    with pytest.raises(ConfigurationError):
        await invoke("outbox", "stats")
    monkeypatch.delenv("LEAD_OUTBOX")
    with pytest.raises(ConfigurationError, match="no outbox given"):
        await invoke("outbox", "list")


@pytest.mark.asyncio
async def test_instructions_are_counted_and_listed(
    outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without names and account numbers."""
    async with guarded(outbox_url) as outbox:
        await outbox.send(**payment(reference="small", amount=1000))
        await outbox.send(**payment(reference="large"))
        await outbox.cancel("instant_payment_1", reference="cancel")
        await outbox.store.run(worrying)
    await invoke("outbox", "stats")
    text = capsys.readouterr().out
    assert "1 in doubt need a person" in text
    assert "oldest queued instruction" in text
    assert "senders pause until" in text
    await invoke("outbox", "stats", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["by_state"] == {"held": 1, "in_doubt": 1, "queued": 1}
    assert found["oldest_queued_seconds"] >= 0
    await invoke("outbox", "list")
    header, *rows = out(capsys)
    assert header[:3] == ["QUEUED", "REFERENCE", "OPERATION"]
    assert [row[2] for row in rows] == ["cancel", "large", "small"]
    await invoke("outbox", "list", "--state", "held", "--json")
    assert json.loads(capsys.readouterr().out)["reference"] == "large"
    await invoke("outbox", "list", "--needs-person", "--limit", "0")
    assert len(out(capsys)) == 2


def worrying() -> Plan[None]:
    """Have a cancellation in doubt, and a bank that is away."""
    yield Statement(
        "UPDATE leadpay_instructions SET state = 'in_doubt', needs_person = 1 WHERE reference = 'cancel'", {}
    )
    yield Statement("UPDATE leadpay_outbox_bank SET paused_until = 4503599627370496", {})


@pytest.mark.asyncio
async def test_empty_stats_are_short(outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing waits."""
    async with guarded(outbox_url):
        pass
    await invoke("outbox", "stats")
    assert out(capsys) == [["STATE", "OR", "OUTCOME", "INSTRUCTIONS"]]
    await invoke("outbox", "stats", "--json")
    assert json.loads(capsys.readouterr().out)["oldest_queued_seconds"] is None


@pytest.mark.asyncio
async def test_an_instruction_is_shown(outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With its audit trail; names and account numbers are masked, except in JSON."""
    async with guarded(outbox_url) as outbox:
        await outbox.send(**payment(by="ada"))
    assert await invoke("outbox", "show", "invoice-1") == 0
    text = capsys.readouterr().out
    assert "held" in text
    assert "ada" in text
    assert "Lovelace" not in text
    assert "123456789" not in text
    assert await invoke("outbox", "show", "invoice-1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["content"]["creditor"]["name"] == "Ada Lovelace"
    assert found["history"][0]["by"] == "ada"
    assert "idempotency_key" not in found
    assert await invoke("outbox", "show", "nothing") == 1


def test_evidence_is_shown_with_what_a_person_may_do() -> None:
    """The payments that fit, and the two commands."""
    assert evidence_lines(instruction()) == []
    payments = [
        {"id": "instant_payment_1", "status": "posted", "created_at": "now", "belongs_to_another": True},
        {"id": "instant_payment_2", "status": "posted", "created_at": "now", "belongs_to_another": False},
    ]
    evidence = {"looked_at": "then", "payments": payments, "others_in_doubt": 1}
    lines = evidence_lines(instruction(evidence=evidence, needs_person=True))
    assert lines[2] == "  instant_payment_1, posted, created at now, belongs to another instruction"
    assert lines[3] == "  instant_payment_2, posted, created at now"
    assert lines[-1] == "it did not: leadpay outbox resolve a --by NAME --nothing-happened"
    assert "  no payment fits" in evidence_lines(instruction(evidence={**evidence, "payments": []}))


@pytest.mark.asyncio
async def test_people_approve_withdraw_and_resolve(
    outbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two people approve where the outbox that held it says so, although the command is not told."""
    async with guarded(outbox_url) as outbox:
        await outbox.send(**payment())
        await outbox.cancel("instant_payment_1", reference="cancel")
    assert await invoke("outbox", "approve", "invoice-1", "--by", "ada") == 1
    with pytest.raises(InstructionStateError, match="another person"):
        await invoke("outbox", "approve", "invoice-1", "--by", "Ada")
    assert await invoke("outbox", "approve", "invoice-1", "--by", "bob", "--reason", "checked") == 0
    await invoke("outbox", "withdraw", "invoice-1", "--by", "bob")
    async with guarded(outbox_url) as outbox:
        await outbox.store.run(worrying)
    await invoke("outbox", "resolve", "cancel", "--by", "ada", "--nothing-happened")
    assert out(capsys)[-1] == ["cancel:", "refused"]


@pytest.mark.asyncio
async def test_a_sender_runs_until_sigterm(online: Scene, outbox_url: str) -> None:
    """With an inbox in the same file, too."""
    arguments = ("outbox", "run", "--concurrency", "2", "--inbox", outbox_url)
    async with open_outbox(outbox_url) as outbox:
        await outbox.send(**payment())
        context = running(*arguments)
        await asyncio.to_thread(context.__enter__)
        try:
            assert (await outbox.wait("invoice-1", until="accepted", timeout=20)).state == "accepted"
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
