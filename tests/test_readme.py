"""The README's code runs, and its commands are the ones that CI runs."""

import asyncio
import json
import re
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web

from leadpay.client import LeadClient
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker
from leadpay.sandbox import Sandbox
from leadpay.sandbox.outcomes import PREFIX, STORIES
from leadpay.testing import Deliver
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import WebhookRouter
from tests.fences import fences

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = [block.text for block in fences(README) if block.language == "python"]


def run_block(number: int) -> dict[str, object]:
    """Execute one block of code and give its names."""
    names: dict[str, object] = {"__name__": f"readme_{number}"}
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), names)  # noqa: S102 - our own README
    return names


def test_it_opens_with_the_two_commands() -> None:
    """A stranger finds them at the top."""
    assert README.index("pip install uv && uv run leadpay demo") < README.index("pip install uv && uv run pytest") < 200


def test_the_sending_block_sends(capsys: object) -> None:
    """The first block makes a payment at the pretend bank."""
    pay = run_block(0)["pay"]
    assert callable(pay)

    async def story() -> int:
        async with Sandbox(delay=0) as bank, bank.client() as lead:
            assert isinstance(lead, LeadClient)
            await pay(lead)
            return len(bank.bank.payments.all())

    assert asyncio.run(story()) == 1


def test_the_receiving_block_mounts() -> None:
    """The second block makes an application with the route."""
    app = run_block(1)["app"]
    assert isinstance(app, web.Application)
    assert [route.resource.canonical for route in app.router.routes() if route.resource] == ["/webhooks/lead"]


@pytest.mark.asyncio
async def test_the_keeping_block_keeps(tmp_path: Path) -> None:
    """The third block's handler writes its credit in the inbox's own transaction."""
    router = run_block(2)["router"]
    assert isinstance(router, WebhookRouter)
    data = {"id": "event_1", "created_at": "2024-03-01T09:30:00Z", "event": "instant_payment.posted"}
    payments = json.loads((ROOT / "tests" / "vectors" / "payments.json").read_text())
    body = json.dumps({**data, "object": payments["incoming, asked back"]}).encode()
    path = tmp_path / "inbox.db"
    table = "CREATE TABLE IF NOT EXISTS credits (payment TEXT, cents INTEGER)"
    async with SqliteInbox(path, prepare=lambda connection: connection.execute(table)) as inbox:
        await inbox.add(parse(body), body, received_at=datetime.now(UTC))
        await Worker(inbox, router).run_due()
    with closing(sqlite3.connect(path)) as connection:
        assert len(connection.execute("SELECT * FROM credits").fetchall()) == 1


@pytest.mark.asyncio
async def test_the_test_of_a_handler_passes(leadpay_deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth block tests the second, in under fifteen lines."""
    handlers = ModuleType("handlers")
    vars(handlers).update(run_block(1))
    monkeypatch.setitem(sys.modules, "handlers", handlers)
    test = run_block(3)["test_an_incoming_payment_is_credited_and_a_duplicate_does_no_harm"]
    assert callable(test)
    await test(leadpay_deliver)
    assert len(BLOCKS[3].splitlines()) < 15


def test_the_bank_in_code_is_a_bank() -> None:
    """The fifth block is a test that passes."""
    story = run_block(4)["test_a_payment_arrives"]
    assert callable(story)
    asyncio.run(story())


def test_the_table_of_outcomes_is_the_banks() -> None:
    """Every story is there with its number and in its own words."""
    rows = re.findall(r"^\| (\d{7})(\d{3}|RRR)( \*)? \| `(\w+)(:REASON)?` \|", README, re.MULTILINE)
    assert [(number, digits, bool(mark), name, bool(reason)) for number, digits, mark, name, reason in rows] == [
        (
            f"{PREFIX}{story.digit}",
            "RRR" if story.reasons else f"{story.variant:03}",
            story.incoming,
            story.name,
            story.reasons,
        )
        for story in STORIES
    ]
