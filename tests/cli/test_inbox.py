"""``leadpay inbox``: stored events are counted, listed, shown, replayed and discarded."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from leadpay.inbox import HandlerRun, open_inbox
from tests.cli.conftest import ExitCode
from tests.support.inbox import event_of

DEAD = "event_dead"
"""An event that one handler failed to handle and another handled."""


async def fill(url: str) -> None:
    """Store a dead letter, and a waiting event whose body is not JSON."""
    async with open_inbox(url) as inbox:
        event, body = event_of(DEAD, payment="instant_payment_1")
        await inbox.register("default", {"shop:book": ["*"], "shop:sound": ["*"]}, aliases={})
        await inbox.add(event, body, received_at=datetime.now(UTC))
        (claim,) = await inbox.claim(1, now=time.time(), lease=60)
        done = HandlerRun(handler="shop:sound", state="done", attempts=1)
        dead = HandlerRun(handler="shop:book", state="dead", attempts=12, error="File shop.py, line 7\nOSError")
        await inbox.record_result(claim.lease, DEAD, done, closes=None, now=time.time())
        await inbox.record_result(claim.lease, DEAD, dead, closes="dead", now=time.time())
        await inbox.release(claim.lease, due_at=None, now=time.time())
        event, _ = event_of("event_waiting")
        await inbox.add(event, b"not JSON", received_at=datetime.now(UTC))


@pytest.mark.asyncio
async def test_events_are_counted(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By type and state, with the age of the oldest waiting event."""
    async with open_inbox(inbox_url):
        pass
    await invoke("inbox", "stats")
    assert "oldest" not in capsys.readouterr().out
    await fill(inbox_url)
    await invoke("inbox", "stats")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:4] == [
        ["TYPE", "WAITING", "DEAD", "UNHANDLED", "UNREADABLE", "DONE", "DISCARDED"],
        ["account.created", "1", "0", "0", "0", "0", "0"],
        ["instant_payment.posted", "0", "1", "0", "0", "0", "0"],
        ["all", "1", "1", "0", "0", "0", "0"],
    ]
    assert rows[4][:4] == ["the", "oldest", "waiting", "event"]
    await invoke("inbox", "stats", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["by_state"] == {"dead": 1, "waiting": 1}
    assert 0 <= found["oldest_waiting_seconds"] < 60


@pytest.mark.asyncio
async def test_events_are_listed(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The last received is first; filters choose some; bodies are left out."""
    await fill(inbox_url)
    await invoke("inbox", "list", "--limit", "0")
    _, *rows = [line.split()[2:] for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["event_waiting", "account.created", "waiting"],
        [DEAD, "instant_payment.posted", "dead", "instant_payment_1"],
    ]
    await invoke("inbox", "list", "--state", "dead", "--type", "instant_payment.posted", "--json")
    (one,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (one["id"], one["ordering_key"], one["state"]) == (DEAD, "instant_payment_1", "dead")
    assert "body" not in one
    assert {run["handler"]: run["attempts"] for run in one["handler_runs"]} == {"shop:book": 12, "shop:sound": 1}


@pytest.mark.asyncio
async def test_an_event_is_shown_with_its_errors(
    inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and account numbers are masked, except in JSON."""
    await fill(inbox_url)
    assert await invoke("inbox", "show", DEAD) == 0
    out = capsys.readouterr().out
    assert "shop:book: dead after 12 attempts\nFile shop.py, line 7\nOSError\n" in out
    assert "ordering_key                              instant_payment_1\n" in out
    assert "body.object.debtor.name" in out
    assert "Gertrude" not in out
    assert await invoke("inbox", "show", DEAD, "--json") == 0
    assert json.loads(capsys.readouterr().out)["body"]["object"]["debtor"]["name"] == "Gertrude Bell"
    assert await invoke("inbox", "show", "event_waiting") == 0
    assert "(cannot be read)" in capsys.readouterr().out
    assert await invoke("inbox", "show", "event_none") == 1
    assert capsys.readouterr().out == "event_none: not found in this inbox\n"


@pytest.mark.asyncio
async def test_a_purged_event_is_shown(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its row is still there, its body is not."""
    await fill(inbox_url)
    async with open_inbox(inbox_url) as inbox:
        await inbox.discard(DEAD, reason="a test", now=time.time())
        await inbox.purge(before=datetime.now(UTC))
    assert await invoke("inbox", "show", DEAD) == 0
    out = capsys.readouterr().out
    assert "(purged)" in out
    assert "a test" in out


@pytest.mark.asyncio
async def test_dead_letters_are_replayed_and_discarded(
    inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One by one, or all dead letters; an event that cannot be is exit code 1."""
    await fill(inbox_url)
    assert await invoke("inbox", "replay", "--dead") == 0
    assert capsys.readouterr().out == f"{DEAD}: will be handled again\n"
    assert await invoke("inbox", "replay", DEAD) == 1
    assert await invoke("inbox", "replay", DEAD, "--handler", "shop:sound") == 0
    assert await invoke("inbox", "discard", DEAD, "event_none", "--reason", "a test") == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{DEAD}: discarded",
        "event_none: is not waiting, dead or unhandled",
    ]
    async with open_inbox(inbox_url) as inbox:
        assert {one.event_id: one.state async for one in inbox.events()} == {
            DEAD: "discarded",
            "event_waiting": "waiting",
        }


@pytest.mark.asyncio
async def test_replay_and_discard_print_json(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One object for each event, and the same exit code."""
    await fill(inbox_url)
    assert await invoke("inbox", "replay", DEAD, "event_none", "--json") == 1
    assert await invoke("inbox", "discard", "event_none", DEAD, "--reason", "a test", "--json") == 1
    assert await invoke("inbox", "replay", DEAD, "--json") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"id": DEAD, "replayed": True},
        {"id": "event_none", "replayed": False},
        {"id": "event_none", "discarded": False},
        {"id": DEAD, "discarded": True},
        {"id": DEAD, "replayed": True},
    ]


def test_a_missing_inbox_is_not_created(
    tmp_path: Path, exit_code_of: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong path, or none, is one line and exit code 2."""
    path = tmp_path / "missing.db"
    for arguments in (["inbox", "stats", "--inbox", f"sqlite:///{path}"], ["inbox", "stats", "--inbox", ""]):
        assert exit_code_of(*arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not path.exists()


@pytest.mark.asyncio
async def test_events_are_replayed_by_filter(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By state, type and handler; without any filter it is an error, and so is a name that is misspelled."""
    await fill(inbox_url)
    assert await invoke("inbox", "replay", "--state", "dead", "--type", "instant_payment.posted") == 0
    assert await invoke("inbox", "replay", "--state", "dead", "--json") == 1
    assert await invoke("inbox", "replay", "--handler", "shop:book") == 1
    out = capsys.readouterr().out
    assert out == '1 events will be handled again\n{"replayed":0}\n0 events will be handled again\n'
    for arguments, problem in (((), "choose them"), (("--handler", "shop:bok"), "no handler 'shop:bok'")):
        with pytest.raises(ConfigurationError, match=problem):
            await invoke("inbox", "replay", *arguments)


@pytest.mark.asyncio
async def test_consumers_are_listed_and_handlers_forgotten(
    inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what waits for each."""
    await fill(inbox_url)
    await invoke("inbox", "consumers")
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["default", "1", "1", "0", "shop:book,", "shop:sound"]
    assert await invoke("inbox", "forget", "shop:sound") == 0
    assert await invoke("inbox", "forget", "shop:sound") == 1
    assert capsys.readouterr().out == "shop:sound: forgotten\nshop:sound: is not known\n"
    await invoke("inbox", "consumers", "--json")
    assert json.loads(capsys.readouterr().out)["handlers"] == ["shop:book"]


@pytest.mark.asyncio
async def test_a_schema_is_printed_and_made(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By this command only, and by programs that work."""
    await invoke("inbox", "migrate", "--print")
    assert "CREATE TABLE leadpay_events" in capsys.readouterr().out
    await invoke("inbox", "migrate")
    assert capsys.readouterr().out.endswith(" schema files applied\n")
    await invoke("inbox", "migrate")
    assert capsys.readouterr().out == "0 schema files applied\n"


@pytest.mark.asyncio
async def test_bodies_are_purged_and_erased(inbox_url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of old events, or of one payment."""
    await fill(inbox_url)
    await invoke("inbox", "purge", "--days", "90")
    assert await invoke("inbox", "erase", "instant_payment_1") == 0
    assert await invoke("inbox", "erase", "instant_payment_1") == 1
    assert capsys.readouterr().out.split(" events")[0] == "the bodies of 0"
