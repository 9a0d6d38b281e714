"""A store that fails: the bank is told 503, never 2xx for what isn't there, and everything recovers by itself."""

from pathlib import Path
from typing import Any, Final

import pytest

from leadpay.inbox import Inbox
from leadpay.inbox.postgres import PostgresInbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.crash.victim import WHEN
from tests.crash.wire import Wire
from tests.inbox.story import NOW, HandClock, event_of
from tests.support.postgres import cut, fresh_schema, impatient

STATEMENTS: Final = 3
"""How many messages in a row are cut off: one accepts, and what follows is its second and third attempt."""


class ConnectionThread:
    """A receiver, and what it answered."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._receiver = WebhookReceiver(
            WebhookRouter("empty"), secrets=["whsec"], inbox=inbox, work=False, clock=HandClock()
        )
        self.answers: dict[str, int] = {}

    async def receive(self, event_id: str) -> int:
        """Bring one webhook."""
        _, body = event_of(event_id)
        headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
        self.answers[event_id] = await self._receiver.receive(body=body, headers=headers)
        return self.answers[event_id]

    async def check(self) -> None:
        """Nothing that was answered 2xx is missing."""
        kept = {one.event_id async for one in self._inbox.events()}
        accepted = {event_id for event_id, answer in self.answers.items() if answer == 200}
        assert accepted <= kept
        assert set(self.answers.values()) <= {200, 503}


@pytest.mark.asyncio
async def test_a_disk_that_is_full_is_503_until_there_is_room(tmp_path: Path) -> None:
    """What was accepted stays; what was refused is accepted when it comes again."""
    pages = 30
    prepare = lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}")  # noqa: E731 - a line
    async with SqliteInbox(tmp_path / "inbox.db", prepare=prepare) as inbox:
        desk = ConnectionThread(inbox)
        number = 0
        while await desk.receive(f"event_{number}") == 200:
            number += 1
        assert number > 10
        await desk.check()
        pages = 10_000
        # A connection that is still open knows nothing of the new disk; its failure makes room for one that does.
        assert await desk.receive(f"event_{number}") in (200, 503)
        assert await desk.receive(f"event_{number}") == 200
        await desk.check()


@pytest.mark.asyncio
@pytest.mark.parametrize("code", ["disk_full", "lock_not_available", "read_only_sql_transaction", "out_of_memory"])
async def test_a_server_that_cannot_write_is_503_until_it_can(postgres_url: str, admin: Any, code: str) -> None:
    """By PostgreSQL's own names for it."""
    async with PostgresInbox(postgres_url) as inbox:
        desk = ConnectionThread(inbox)
        await admin.execute(
            f"""
            CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$;
            CREATE TRIGGER fail BEFORE INSERT ON leadpay_events EXECUTE FUNCTION fail()"""
        )
        assert await desk.receive("event_1") == 503
        await admin.execute("DROP TRIGGER fail ON leadpay_events")
        assert await desk.receive("event_1") == 200
        await desk.check()


@pytest.mark.asyncio
@pytest.mark.parametrize("when", WHEN)
async def test_a_connection_that_is_cut_at_any_message_is_replaced(postgres_server: str, when: str) -> None:
    """Before it, within it, and after it was obeyed: accepted at once by another connection, and kept once."""
    with fresh_schema(postgres_server) as url:
        wire = Wire(url, when=when)
        async with wire.listening() as through, PostgresInbox(through) as inbox:
            desk = ConnectionThread(inbox)
            for number in range(STATEMENTS):
                wire.strike, wire.struck = len(wire.kinds) + 1, None
                assert await desk.receive(f"event_{number}") == 200
                assert wire.struck is not None
            await desk.check()
            assert (await inbox.stats()).by_state == {"waiting": STATEMENTS}


@pytest.mark.asyncio
async def test_a_server_that_is_gone_is_503_until_it_is_back(postgres_url: str, admin: Any) -> None:
    """Connections that are cut and not to be had again."""
    wire = Wire(postgres_url)
    async with wire.listening() as through, PostgresInbox(through) as inbox:
        desk = ConnectionThread(inbox)
        assert await desk.receive("event_1") == 200
        wire.is_down = True
        await cut(admin)
        with impatient(inbox):
            assert await desk.receive("event_2") == 503
        wire.is_down = False
        assert await desk.receive("event_2") == 200
        await desk.check()
