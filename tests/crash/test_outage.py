"""A store that fails: webhooks get 503, and never 2xx for what is not stored, and everything recovers by itself."""

from pathlib import Path
from typing import Any, Final

import pytest

from leadpay.inbox import Inbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.crash.child import WHEN
from tests.crash.proxy import DatabaseProxy
from tests.support.inbox import NOW, HandClock, event_of
from tests.support.postgres import cut, fresh_schema, impatient, manual_inbox

STATEMENTS: Final = 3
"""How many messages in a row are cut off: one accepts, and what follows is its second and third attempt."""


class ReceivingEnd:
    """A receiver, and its responses."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._receiver = WebhookReceiver(
            WebhookRouter("empty"), secrets=["whsec"], inbox=inbox, work=False, clock=HandClock()
        )
        self.statuses: dict[str, int] = {}

    async def receive(self, event_id: str) -> int:
        """Bring one webhook."""
        _, body = event_of(event_id)
        headers = {HEADER: sign(body, "whsec", int(NOW * 1000))}
        self.statuses[event_id] = await self._receiver.receive(body=body, headers=headers)
        return self.statuses[event_id]

    async def check(self) -> None:
        """No event that got a 2xx is missing."""
        kept = {one.event_id async for one in self._inbox.events()}
        accepted = {event_id for event_id, status in self.statuses.items() if status == 200}
        assert accepted <= kept
        assert set(self.statuses.values()) <= {200, 503}


@pytest.mark.asyncio
async def test_a_disk_that_is_full_is_503_until_there_is_room(tmp_path: Path) -> None:
    """What was accepted stays; what was refused is accepted when it comes again."""
    prepare = lambda connection: connection.execute("PRAGMA max_page_count = 30")  # noqa: E731 - a line
    async with SqliteInbox(tmp_path / "inbox.db", prepare=prepare) as inbox:
        receiving = ReceivingEnd(inbox)
        number = 0
        while await receiving.receive(f"event_{number}") == 200:
            number += 1
        assert number > 10
        await receiving.check()
        await inbox._accepting.run(lambda connection: connection.execute("PRAGMA max_page_count = 10000"))
        assert await receiving.receive(f"event_{number}") == 200
        await receiving.check()


@pytest.mark.asyncio
@pytest.mark.parametrize("code", ["disk_full", "lock_not_available", "read_only_sql_transaction", "out_of_memory"])
async def test_a_server_that_cannot_write_is_503_until_it_can(postgres_url: str, admin: Any, code: str) -> None:
    """By PostgreSQL's own names for it."""
    async with manual_inbox(postgres_url) as inbox:
        receiving = ReceivingEnd(inbox)
        await admin.execute(
            f"""
            CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$;
            CREATE TRIGGER fail BEFORE INSERT ON leadpay_events EXECUTE FUNCTION fail()"""
        )
        assert await receiving.receive("event_1") == 503
        await admin.execute("DROP TRIGGER fail ON leadpay_events")
        assert await receiving.receive("event_1") == 200
        await receiving.check()


@pytest.mark.asyncio
@pytest.mark.parametrize("when", WHEN)
async def test_a_connection_that_is_cut_at_any_message_is_replaced(postgres_server: str, when: str) -> None:
    """Before it, within it, and after it was executed: accepted at once by another connection, and kept once."""
    with fresh_schema(postgres_server) as url:
        proxy = DatabaseProxy(url, when=when)
        async with proxy.listening() as through, manual_inbox(through) as inbox:
            receiving = ReceivingEnd(inbox)
            for number in range(STATEMENTS):
                proxy.strike, proxy.struck = len(proxy.kinds) + 1, None
                assert await receiving.receive(f"event_{number}") == 200
                assert proxy.struck is not None
            await receiving.check()
            assert (await inbox.stats()).by_state == {"waiting": STATEMENTS}


@pytest.mark.asyncio
async def test_a_server_that_is_gone_is_503_until_it_is_back(postgres_url: str, admin: Any) -> None:
    """Connections that are cut and not to be had again."""
    proxy = DatabaseProxy(postgres_url)
    async with proxy.listening() as through, manual_inbox(through) as inbox:
        receiving = ReceivingEnd(inbox)
        assert await receiving.receive("event_1") == 200
        proxy.is_down = True
        await cut(admin)
        with impatient(inbox):
            assert await receiving.receive("event_2") == 503
        proxy.is_down = False
        assert await receiving.receive("event_2") == 200
        await receiving.check()
