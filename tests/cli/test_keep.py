"""``leadpay inbox``, ``leadpay backfill`` and ``leadpay serve --inbox``: what is kept, looked at and set right."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from leadpay.cli import run
from leadpay.errors import ConfigurationError
from leadpay.inbox import HandlerRun, Inbox, open_inbox
from leadpay.webhooks.signature import HEADER, sign
from tests.cli import shop
from tests.support.gates import until
from tests.support.inbox import event_of
from tests.support.scene import Scene

DEAD = "event_dead"
"""An event that one handler gave up, beside one that is done with it."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    found = f"sqlite:///{tmp_path / 'inbox.db'}"
    monkeypatch.setenv("LEAD_INBOX", found)
    return found


async def fill(url: str) -> None:
    """Put a dead letter, a waiting event and an unreadable one into an inbox."""
    async with open_inbox(url) as inbox:
        event, body = event_of(DEAD, payment="instant_payment_1")
        await inbox.add(event, body, received_at=datetime.now(UTC))
        (claim,) = await inbox.claim(1, now=time.time(), lease=60)
        done = HandlerRun(handler="shop:sound", state="done", attempts=1)
        dead = HandlerRun(handler="shop:book", state="dead", attempts=12, error="File shop.py, line 7\nOSError")
        await inbox.record_result(claim.lease, DEAD, done, closes=None, now=time.time())
        await inbox.record_result(claim.lease, DEAD, dead, closes="dead", now=time.time())
        await inbox.release(claim.lease, due_at=None)
        event, _ = event_of("event_waiting")
        await inbox.add(event, b"not JSON", received_at=datetime.now(UTC))


async def kept(inbox: Inbox) -> dict[str, str]:
    """Map events to states."""
    return {one.event_id: one.state async for one in inbox.events()}


@pytest.mark.asyncio
async def test_stats_count_what_is_there(url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """By type and state, with the age of the oldest waiting one; as a table or as JSON."""
    async with open_inbox(url):
        pass
    await invoke("inbox", "stats")
    assert "oldest" not in capsys.readouterr().out
    await fill(url)
    await invoke("inbox", "stats")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:4] == [
        ["TYPE", "WAITING", "DEAD", "DONE", "DISCARDED"],
        ["account.created", "1", "0", "0", "0"],
        ["instant_payment.posted", "0", "1", "0", "0"],
        ["all", "1", "1", "0", "0"],
    ]
    assert rows[4][:4] == ["the", "oldest", "waiting", "event"]
    await invoke("inbox", "stats", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["by_state"] == {"dead": 1, "waiting": 1}
    assert 0 <= found["oldest_waiting_seconds"] < 60


@pytest.mark.asyncio
async def test_events_are_listed(url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, all or some, without bodies."""
    await fill(url)
    await invoke("inbox", "list", "--limit", "0")
    _, *rows = [line.split()[2:] for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["event_waiting", "account.created", "waiting"],
        [DEAD, "instant_payment.posted", "dead", "instant_payment_1"],
    ]
    await invoke("inbox", "list", "--state", "dead", "--type", "instant_payment.posted", "--json")
    (one,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (one["id"], one["state"], "body" in one) == (DEAD, "dead", False)
    assert {handling["handler"]: handling["attempts"] for handling in one["handler_runs"]} == {
        "shop:book": 12,
        "shop:sound": 1,
    }


@pytest.mark.asyncio
async def test_an_event_is_shown_with_its_errors(url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Names and account numbers are masked, or whole in JSON."""
    await fill(url)
    assert await invoke("inbox", "show", DEAD) == 0
    out = capsys.readouterr().out
    assert "shop:book: dead after 12 attempts\nFile shop.py, line 7\nOSError\n" in out
    assert "body.object.debtor.name" in out
    assert "Gertrude" not in out
    assert await invoke("inbox", "show", DEAD, "--json") == 0
    assert json.loads(capsys.readouterr().out)["body"]["object"]["debtor"]["name"] == "Gertrude Bell"
    assert await invoke("inbox", "show", "event_waiting") == 0
    assert "(cannot be read)" in capsys.readouterr().out
    assert await invoke("inbox", "show", "event_none") == 1
    assert capsys.readouterr().out == "event_none: there is no such event here\n"


@pytest.mark.asyncio
async def test_a_purged_event_says_so(url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its row is still there, its body is not."""
    await fill(url)
    async with open_inbox(url) as inbox:
        await inbox.discard(DEAD, reason="a test", now=time.time())
        await inbox.purge(before=datetime.now(UTC))
    assert await invoke("inbox", "show", DEAD) == 0
    out = capsys.readouterr().out
    assert "(purged)" in out
    assert "a test" in out


@pytest.mark.asyncio
async def test_dead_letters_are_replayed_and_discarded(
    url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One by one or all that are dead; what cannot be is exit status 1."""
    await fill(url)
    assert await invoke("inbox", "replay", "--dead") == 0
    assert capsys.readouterr().out == f"{DEAD}: will be handled again\n"
    assert await invoke("inbox", "replay", DEAD) == 1
    assert await invoke("inbox", "replay", DEAD, "--handler", "shop:sound") == 0
    assert await invoke("inbox", "discard", DEAD, "event_none", "--reason", "a test") == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{DEAD}: discarded",
        "event_none: it is neither waiting nor dead",
    ]
    async with open_inbox(url) as inbox:
        assert await kept(inbox) == {DEAD: "discarded", "event_waiting": "waiting"}


@pytest.mark.asyncio
async def test_what_was_set_right_speaks_json(url: str, invoke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An object for each event, and the same exit status."""
    await fill(url)
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


def test_looking_makes_no_inbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip in the path, or none at all, is a sentence and exit status 2."""
    path = tmp_path / "slip.db"
    for arguments in (["inbox", "stats", "--inbox", f"sqlite:///{path}"], ["inbox", "stats", "--inbox", ""]):
        with pytest.raises(SystemExit) as ended:
            run(arguments)
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not path.exists()


@pytest.mark.asyncio
async def test_backfill_fetches_what_was_missed(
    online: Scene, url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into an inbox that may be new; a second walk finds nothing more; a long gap is said to be one."""
    online.clock._now = time.time() - 7200  # the command's time is the machine's
    for _ in range(3):
        await online.receive()
    since = datetime.fromtimestamp(time.time() - 86_400, UTC).isoformat()
    await invoke("backfill", "--since", since)
    assert "lists 3 events\n3 of them were missing" in capsys.readouterr().out
    await invoke("backfill", "--since", "2020-01-01", "--json")
    done = json.loads(capsys.readouterr().out)
    assert (done["seen"], done["recovered"], done["near_limit"]) == (3, 0, True)
    await invoke("backfill", "--since", "2020-01-01")
    assert "WARNING" in capsys.readouterr().out
    async with open_inbox(url) as inbox:
        assert (await inbox.stats()).by_state == {"waiting": 3}


@asynccontextmanager
async def serving(invoke: Any, capsys: pytest.CaptureFixture[str], *options: str) -> AsyncIterator[str]:
    """Run ``serve`` until the context ends, as a signal ends it; gives what it printed."""
    task = asyncio.ensure_future(invoke("serve", "tests.cli.shop:router", "--port", "0", *options))
    out: list[str] = []
    try:
        await until(lambda: task.done() or out.append(capsys.readouterr().out) or "\n" in "".join(out))  # type: ignore[func-returns-value]
        yield "".join(out).strip()
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await task


async def send(url: str, secret: str, event_id: str) -> int:
    """Send a signed webhook."""
    _, body = event_of(event_id)
    headers = {HEADER: sign(body, secret, int(time.time() * 1000))}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


@pytest.mark.asyncio
async def test_serve_stores_first_and_handles_then(
    online: Scene, url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With credentials, handlers have a client."""
    shop.handled.clear()
    async with serving(invoke, capsys, "--backfill") as line:
        assert await send(line.split()[-1], online.bank.webhook_secret, "event_1") == 200
        await until(lambda: shop.handled == [("event_1", True)])
    async with open_inbox(url) as inbox:
        assert await kept(inbox) == {"event_1": "done"}
        assert await inbox.watermark() is not None


@pytest.mark.asyncio
async def test_one_process_receives_and_another_works(
    url: str, invoke: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """--receive stores and handles nothing; --work needs no secret and no port."""
    shop.handled.clear()
    async with serving(invoke, capsys, "--receive", "--secret", "whsec") as line:
        assert await send(line.split()[-1], "whsec", "event_1") == 200
    assert shop.handled == []
    async with serving(invoke, capsys, "--work") as line:
        assert line == "working on the inbox"
        await until(lambda: shop.handled == [("event_1", False)])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--work"], "need an inbox"),
        (["--inbox", "sqlite:///:memory:", "--work", "--receive"], "leave both out"),
        (["--inbox", "sqlite:///:memory:", "--backfill", "--work"], "LEAD_CLIENT_ID"),
    ],
)
@pytest.mark.asyncio
async def test_options_that_contradict_are_refused(options: list[str], word: str, invoke: Any) -> None:
    """With a sentence that says what to do."""
    with pytest.raises(ConfigurationError, match=word):
        await invoke("serve", "tests.cli.shop:router", *options)
