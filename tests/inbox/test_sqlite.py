"""What is SQLite's own: one commit for many, failing files, upgrades, and what a handler may say."""

import asyncio
import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox import open_inbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.context import Context
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.inbox.story import NOW, RECEIVED, Bench, HandClock, event_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.db"


async def add(inbox: SqliteInbox, event_id: str) -> bool:
    """Accept an event."""
    event, body = event_of(event_id)
    return await inbox.add(event, body, received_at=RECEIVED)


@pytest.mark.asyncio
async def test_an_event_outlives_the_process(path: Path) -> None:
    """What was accepted is in the file, which only its owner can read; repr names it."""
    async with SqliteInbox(path) as inbox:
        await add(inbox, "event_1")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - one look, in no hurry
    async with SqliteInbox(path) as inbox:
        assert not await add(inbox, "event_1")
        assert repr(inbox) == f"SqliteInbox({str(path)!r})"


@pytest.mark.asyncio
async def test_many_waiting_operations_share_a_commit(path: Path) -> None:
    """Two hundred events that come at once cost a few commits, not two hundred."""
    async with SqliteInbox(path) as inbox:
        await add(inbox, "event_first")
        before = path.with_name("inbox.db-wal").stat().st_size
        await asyncio.gather(*(add(inbox, f"event_{number}") for number in range(200)))
        # Each commit writes each page that it touched once more: alone, every event would write six or more.
        pages = (path.with_name("inbox.db-wal").stat().st_size - before) / 4096
        assert pages < 2 * 200
        assert (await inbox.stats()).by_state == {"waiting": 201}


@pytest.mark.asyncio
async def test_an_operation_that_fails_is_undone_alone(path: Path) -> None:
    """Others of its group are kept."""

    def fails(connection: Any) -> None:
        connection.execute("UPDATE leadpay_subjects SET due_at = NULL")
        raise ZeroDivisionError

    async with SqliteInbox(path) as inbox:
        results = await asyncio.gather(
            add(inbox, "event_1"), inbox._desk.do(fails), add(inbox, "event_2"), return_exceptions=True
        )
        assert [type(result) for result in results] == [bool, ZeroDivisionError, bool]
        assert len(await inbox.claim(5, now=NOW, lease=10)) == 2


@pytest.mark.asyncio
async def test_a_locked_file_fails_and_recovers(path: Path) -> None:
    """While somebody else holds the file nothing is accepted; afterwards everything is, by itself."""
    async with SqliteInbox(path, busy_seconds=0.01) as inbox:
        await add(inbox, "event_1")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for event_id in ("event_1", "event_2"):
            with pytest.raises(InboxError, match="locked"):
                await add(inbox, event_id)
        assert (await inbox.stats()).by_state == {"waiting": 1}
        other.execute("ROLLBACK")
        other.close()
        assert await add(inbox, "event_2")
        assert not await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_a_full_disk_fails_and_recovers(path: Path) -> None:
    """Who came too late is told; what was accepted stays; with room again it goes on by itself."""
    pages = 30
    prepare = lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}")  # noqa: E731 - a line
    async with SqliteInbox(path, prepare=prepare) as inbox:
        accepted = []
        for number in range(0, 500, 10):
            group = (add(inbox, f"event_{one}") for one in range(number, number + 10))
            accepted += [result is True for result in await asyncio.gather(*group, return_exceptions=True)]
        assert 0 < sum(accepted) < 500
        assert (await inbox.stats()).by_state == {"waiting": sum(accepted)}
        pages = 10_000
        # A connection that is still open knows nothing of the new disk; its failure makes room for one that does.
        more = await asyncio.gather(*(add(inbox, f"event_more_{one}") for one in range(500)), return_exceptions=True)
        assert all("full" in str(one) for one in more if isinstance(one, InboxError))
        assert [not await add(inbox, f"event_{one}") for one in range(500)] == accepted


@pytest.mark.asyncio
async def test_the_bank_is_told_503_as_long_as_nothing_can_be_stored(path: Path) -> None:
    """Never 2xx for what isn't on disk: locked, and closed; 200 as soon as it works again."""
    clock = HandClock()
    inbox = SqliteInbox(path, busy_seconds=0.01)
    receiver = WebhookReceiver(WebhookRouter("empty"), secrets=["whsec"], inbox=inbox, work=False, clock=clock)
    _, body = event_of("event_1")
    headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
    assert await receiver.receive(body=body, headers=headers) == 503
    async with inbox:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await receiver.receive(body=body, headers=headers) == 503
        other.close()
        assert await receiver.receive(body=body, headers=headers) == 200
        assert await receiver.receive(body=body, headers=headers) == 200
        assert (receiver.counts["accepted"], receiver.counts["duplicate"]) == (1, 1)
    assert await receiver.receive(body=body, headers=headers) == 503


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    """Entering fails, and leaves no thread behind."""
    inbox = SqliteInbox(tmp_path / "nowhere" / "inbox.db")
    with pytest.raises(InboxError, match="unable to open"):
        await inbox.__aenter__()
    with pytest.raises(InboxError, match="async with"):
        await inbox.stats()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_replaced", [True, False])
async def test_a_file_that_was_taken_away_is_a_failure_and_then_a_new_file(path: Path, is_replaced: bool) -> None:
    """SQLite would go on with what has no name any more; the bank is not told 200 for what is nowhere."""
    async with SqliteInbox(path) as inbox:
        await add(inbox, "event_1")
        os.rename(path, f"{path}.moved")  # noqa: PTH104 - at once, in no hurry
        if is_replaced:
            os.close(os.open(path, os.O_CREAT))
        with pytest.raises(InboxError, match="removed or replaced"):
            await add(inbox, "event_2")
        assert await add(inbox, "event_2")
    async with SqliteInbox(path) as inbox:
        assert (await inbox.stats()).by_state == {"waiting": 1}


@pytest.mark.asyncio
async def test_a_newer_schema_is_refused(path: Path) -> None:
    """An older program does not touch what a newer one has upgraded."""
    async with SqliteInbox(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO leadpay_schema VALUES (9999)")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"schema 9999.*upgrade"):
        await SqliteInbox(path).__aenter__()


@pytest.mark.asyncio
async def test_an_older_schema_is_upgraded(path: Path) -> None:
    """A file that has seen fewer of the numbered files gets the others."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE leadpay_schema (version INTEGER PRIMARY KEY)")
    connection.close()
    async with SqliteInbox(path) as inbox:
        assert await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_many_processes_open_a_new_file_at_once(path: Path) -> None:
    """Whoever is first makes the schema, and nobody fails."""
    inboxes = [SqliteInbox(path) for _ in range(8)]
    await asyncio.gather(*(inbox.__aenter__() for inbox in inboxes))
    await asyncio.gather(*(add(inbox, f"event_{number}") for number, inbox in enumerate(inboxes)))
    assert (await inboxes[0].stats()).by_state == {"waiting": 8}
    await asyncio.gather(*(inbox.__aexit__() for inbox in inboxes))


CONTROL = ["BEGIN", "commit", "END", " \n-- so\n/* and so */ ROLLBACK TO x", "SAVEPOINT x", "RELEASE x"]


@pytest.mark.asyncio
async def test_a_handler_has_no_say_over_its_transaction() -> None:
    """Statements that would begin or end it are refused, and so is its success if one did it all the same."""
    refused: list[str] = []

    async def controls(event: InstantPaymentEvent, context: Context) -> None:
        for sql in CONTROL:
            with pytest.raises(InboxError, match="by itself"):
                await context.transaction.execute(sql)
            refused.append(sql)
        await context.transaction.execute("CREATE TABLE numbers (number INTEGER UNIQUE ON CONFLICT ROLLBACK)")
        await context.transaction.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
        assert await context.transaction.execute("SELECT number FROM numbers") == [(1,), (2,)]
        with pytest.raises(sqlite3.IntegrityError):
            await context.transaction.execute("INSERT INTO numbers VALUES (:number)", {"number": 2})

    async with SqliteInbox(":memory:") as inbox:
        bench = Bench(inbox)
        bench.router.posted(retries=())(controls)
        await bench.receive("event_1", payment="instant_payment_1")
        await bench.work()
        assert refused == CONTROL
        (handling,) = (await bench.kept("event_1")).handlings.values()
        assert handling.state == "dead"
        assert "InboxError" in str(handling.error)


@pytest.mark.asyncio
async def test_a_transaction_on_a_locked_file_fails_and_is_tried_again(path: Path) -> None:
    """The handler gets the library's error, its attempt is counted, and the next one works."""

    async def books(event: Event, context: Context) -> None:
        if context.attempt == 1:
            other.execute("BEGIN IMMEDIATE")
        try:
            await context.transaction.execute("CREATE TABLE numbers (number INTEGER)")
            await context.transaction.execute("SELECT 1")
        finally:
            if context.attempt == 1:
                other.execute("ROLLBACK")

    async with SqliteInbox(path, busy_seconds=0.01) as inbox:
        other = sqlite3.connect(path, isolation_level=None)
        bench = Bench(inbox)
        bench.router.on("*")(books)
        await bench.receive("event_1")
        await bench.work()
        (handling,) = (await bench.kept("event_1")).handlings.values()
        assert str(handling.error).endswith("sqlite3.OperationalError")
        bench.clock.move(1)
        await bench.work()
        assert await bench.state("event_1") == "done"
        other.close()


@pytest.mark.asyncio
async def test_a_commit_that_fails_is_a_failed_attempt(path: Path) -> None:
    """Deferred constraints speak at the commit: nothing is kept, and the handler is tried again."""

    async def books(event: Event, context: Context) -> None:
        run = context.transaction.execute
        await run("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        await run("CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
        await run("INSERT INTO children VALUES (1)")
        if context.attempt == 2:
            await run("INSERT INTO parents VALUES (1)")

    prepare = lambda connection: connection.execute("PRAGMA foreign_keys = ON")  # noqa: E731 - a line
    async with SqliteInbox(path, prepare=prepare) as inbox:
        bench = Bench(inbox)
        bench.router.on("*")(books)
        await bench.receive("event_1")
        await bench.work()
        (handling,) = (await bench.kept("event_1")).handlings.values()
        assert (handling.state, handling.attempts) == ("waiting", 1)
        bench.clock.move(1)
        await bench.work()
        assert await bench.state("event_1") == "done"


@pytest.mark.asyncio
async def test_memory_survives_a_failure() -> None:
    """A store in memory is not opened anew, since that would be another one."""
    async with SqliteInbox(":memory:") as inbox:
        await add(inbox, "event_1")
        with pytest.raises(InboxError):
            await inbox._desk.do(lambda connection: connection.execute("COMMIT"))
        assert not await add(inbox, "event_1")


@pytest.mark.asyncio
async def test_who_stops_waiting_is_not_in_the_way(path: Path) -> None:
    """A cancelled operation is done or not, and the next ones work."""
    async with SqliteInbox(path) as inbox:
        impatient = asyncio.ensure_future(add(inbox, "event_1"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await asyncio.gather(add(inbox, "event_2"), impatient, return_exceptions=True)
        assert (await inbox.stats()).by_state["waiting"] >= 1


def test_an_event_loop_that_is_gone_has_nobody_to_tell(path: Path) -> None:
    """The thread doesn't mind, and closing from another loop works, even twice."""
    inbox = SqliteInbox(path)
    gone = threading.Event()
    asyncio.run(_open_and_leave(inbox, gone))
    gone.set()
    asyncio.run(inbox.__aexit__())
    asyncio.run(inbox.__aexit__())


async def _open_and_leave(inbox: SqliteInbox, gone: threading.Event) -> None:
    await inbox.__aenter__()
    work = asyncio.ensure_future(inbox._desk.do(lambda _: gone.wait(5)))
    await asyncio.sleep(0)
    work.cancel()


@pytest.mark.asyncio
async def test_a_flood_is_committed_in_groups() -> None:
    """However much waits, each commit has an end."""
    async with SqliteInbox(":memory:") as inbox:
        assert all(await asyncio.gather(*(add(inbox, f"event_{number}") for number in range(1_500))))


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "mysql://root:hunter2@host/x", "inbox.db"])
def test_urls_that_name_no_store_are_refused(url: str) -> None:
    """What was meant may hold a password, so it is not quoted."""
    with pytest.raises(ConfigurationError, match="must begin with") as raised:
        open_inbox(url)
    assert "hunter2" not in str(raised.value)


def test_urls_name_files_relative_and_absolute() -> None:
    """Three slashes and a path, or four for an absolute one; percent signs as in any URL."""
    for url, path in (("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b%20c.db", "/a/b c.db")):
        inbox = open_inbox(url)
        assert isinstance(inbox, SqliteInbox)
        assert inbox.path == path
