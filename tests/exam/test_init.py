"""An exam finds what is wrong with handlers, and passes those that are right."""

import asyncio
import importlib
import runpy
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from leadpay import Context, Defer, Event, InstantPaymentEvent, WebhookRouter
from leadpay.errors import ConfigurationError, RouterError
from leadpay.exam import examine
from leadpay.inbox.sqlite import SqliteInbox
from tests.exam.broken import BROKEN, CREDIT, TABLES, Broken, adds_to_a_balance
from tests.support.inbox import event_of
from tests.support.postgres import manual_inbox

ROOT = Path(__file__).parents[2]


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of the handlers."""
    for table in TABLES:
        connection.execute(table)


def store() -> SqliteInbox:
    """Make a throw-away store."""
    return SqliteInbox(":memory:", prepare=prepare)


@pytest.mark.asyncio
@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
async def test_a_broken_handler_is_found(make: Callable[[], Broken]) -> None:
    """By its kind, with the sequence that shows it, and for nothing else."""
    broken = make()
    async with store() as inbox:
        report = await examine(broken.router, observe=broken.observe, inbox=inbox)
    assert {one.kind for one in report.findings} == {broken.kind}, list(map(str, report.findings))
    assert all(one.sequence and one.detail for one in report.findings)
    with pytest.raises(RouterError, match=broken.kind):
        report.raise_for_findings()


@pytest.mark.asyncio
async def test_a_handler_that_blocks_the_loop_is_found() -> None:
    """The timer moves while the handler computes."""
    router, now = WebhookRouter("broken"), [0.0]

    @router.posted(direction="incoming")
    async def compute(event: InstantPaymentEvent) -> None:
        now[0] += 0.5

    report = await examine(router, timer=lambda: now[0])
    assert [(one.kind, one.detail) for one in report.findings] == [
        ("blocks_the_loop", "it kept the event loop for 0.5 seconds")
    ]


@pytest.mark.asyncio
async def test_sound_handlers_pass() -> None:
    """With a key, in the transaction, deferring until an earlier event has come, and asking the bank."""
    router = WebhookRouter("sound")
    refreshed: dict[str, str] = {}

    @router.posted(direction="incoming", account_number_id="account_number_mine")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(CREDIT, (event.payment.id, event.payment.amount))

    @router.on("instant_payment.under_review", "wire.posted")
    async def follow(event: Event, context: Context) -> None:
        amount = (await context.refresh()).amount if isinstance(event, InstantPaymentEvent) else 0
        refreshed[event.payment_id or event.id] = str(amount)

    @router.rejected
    async def third_time(event: InstantPaymentEvent, context: Context) -> None:
        if context.attempt < 3:
            raise ConnectionError
        await context.transaction.execute(CREDIT, (event.payment.id, 0))

    async with store() as inbox:
        report = await examine(router, observe=lambda: dict(refreshed), inbox=inbox)
    assert list(map(str, report.findings)) == []
    assert report.handlers[0].endswith("follow")
    assert len(report.handlers) == 3
    assert report.runs > 20
    report.raise_for_findings()


@pytest.mark.asyncio
async def test_a_handler_that_waits_for_ever_is_found() -> None:
    """Deferring is no end."""
    router = WebhookRouter("broken")

    @router.rejected(direction="incoming")
    async def wait(event: InstantPaymentEvent) -> None:
        raise Defer(5)

    [finding] = (await examine(router)).findings
    assert (finding.kind, finding.detail) == ("fails", "it is never done: Defer: deferred for 5 s")


@pytest.mark.asyncio
async def test_what_differs_from_plain_run_to_plain_run_is_no_verdict() -> None:
    """An observation that counts runs says nothing about handlers."""
    router, runs = WebhookRouter("odd"), [0]

    @router.rejected(direction="incoming")
    async def count(event: InstantPaymentEvent) -> None:
        runs[0] += 1

    report = await examine(router, observe=lambda: [str(runs[0])])
    assert [one.kind for one in report.findings] == ["is_not_repeatable"]


@pytest.mark.asyncio
async def test_the_client_of_an_exam_makes_no_calls() -> None:
    """Any other call than asking for the payment needs a client of one's own."""
    router, calls = WebhookRouter("calling"), list[str]()

    @router.posted(direction="incoming")
    async def give_back(event: InstantPaymentEvent, context: Context) -> None:
        await context.client.instant_payments.return_payment(event.payment.id, reason="duplication")

    [finding] = (await examine(router)).findings
    assert finding.kind == "fails"
    assert "the exam has no bank: return_payment needs client=" in finding.detail

    class Client:
        instant_payments: Any

        async def return_payment(self, payment_id: str, *, reason: str) -> None:
            calls.append(payment_id)

    client = Client()
    client.instant_payments = client
    assert [one.kind for one in (await examine(router, client=client)).findings] == []
    assert calls


@pytest.mark.asyncio
async def test_an_inbox_with_events_is_refused() -> None:
    """It may be the inbox of production."""
    async with store() as inbox:
        event, body = event_of("event_1")
        await inbox.add(event, body, received_at=event.created_at)
        with pytest.raises(ConfigurationError, match="must be empty"):
            await examine(adds_to_a_balance().router, inbox=inbox)


# psycopg's pipeline complains when a connection is closed under it, as a simulated crash does.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.asyncio
async def test_an_exam_works_in_postgresql(postgres_url: str) -> None:
    """Where handlers write PostgreSQL's dialect: one is sound, one has no key."""
    router, sent = WebhookRouter("postgres"), list[str]()

    @router.rejected(direction="incoming")
    async def note(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute("INSERT INTO notes VALUES (%s)", (event.payment.id,))

    @router.rejected(direction="incoming")
    async def send(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute("SELECT 1")
        sent.append(event.payment.id)

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (payment_id text)")
    async with manual_inbox(postgres_url, listen=False) as inbox:
        found = (await examine(router, observe=lambda: list(sent), inbox=inbox)).findings
    # A task of the driver may still be ending when a handler returns, on a busy machine.
    [finding] = [one for one in found if one.kind != "leaves_work_behind"]
    assert (finding.kind, finding.handlers[0].endswith("send")) == ("not_idempotent", True)


EXAMPLES = ("aiohttp_app", "bare_asyncio", "durable", "fastapi_app", "traces", "two_programs", "aws_lambda")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_examples_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every router of every example."""
    monkeypatch.setenv("LEAD_WEBHOOK_SECRETS", "whsec_1")
    names = await asyncio.to_thread(runpy.run_path, str(ROOT / "examples" / f"{name}.py"))
    routers = [one for one in names.values() if isinstance(one, WebhookRouter)]
    assert routers
    table = names.get("TABLE", "SELECT 1")
    for router in routers:
        async with SqliteInbox(":memory:", prepare=lambda connection: connection.execute(table)) as inbox:
            assert list(map(str, (await examine(router, inbox=inbox)).findings)) == []


@pytest.mark.asyncio
async def test_the_plugin_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ledger is a database of its own, which is observed."""
    database = tmp_path / "ledger.db"
    monkeypatch.setenv("LEDGER_DATABASE", str(database))
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "plugin"))
    plugin: Any = importlib.import_module("leadpay_ledger")

    def entries() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(database)) as connection:
            return connection.execute("SELECT * FROM entries").fetchall()

    report = await examine(plugin.router, observe=entries)
    assert list(map(str, report.findings)) == []
    assert len(report.handlers) == 2
