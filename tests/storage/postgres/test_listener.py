"""Notifications from another process."""

import asyncio
from typing import Any

import pytest

from leadpay.storage.postgres.listener import LISTEN_AGAIN_SECONDS
from tests.support.gates import until
from tests.support.inbox import HandClock, add
from tests.support.postgres import cut, manual_inbox


@pytest.mark.asyncio
async def test_a_notification_wakes_up_another_process_also_after_a_lost_connection(
    postgres_url: str, admin: Any
) -> None:
    """Waiting ends early although nothing was added here."""
    clock = HandClock()
    async with manual_inbox(postgres_url, clock=clock) as listener, manual_inbox(postgres_url, listen=False) as adder:
        await listener.wait_for_work(5)  # It listens now, and says that something may have come before.
        for event_id in ("event_1", "event_2"):
            waiting = asyncio.create_task(listener.wait_for_work(30))
            await asyncio.sleep(0)
            await add(adder, event_id)
            await asyncio.wait_for(waiting, 30)
            if event_id == "event_1":
                await cut(admin)
                await until(lambda: clock.sleepers)
                clock.move(LISTEN_AGAIN_SECONDS)
                await listener.wait_for_work(5)
        await adder.wait_for_work(0.001)
