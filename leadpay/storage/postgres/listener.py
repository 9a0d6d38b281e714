"""Wait for notifications that another process sends: a hint that there is work, and no more."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psycopg
from psycopg import sql

from leadpay.clock import Clock

LISTEN_AGAIN_SECONDS: Final = 5.0
"""How long to wait before a lost connection is replaced; meanwhile workers poll."""


class Listener:
    """Sets an event at each notification on a channel.

    Args:
        dsn: a DSN that leads to the server and not to a pooler in transaction mode.
        channel: the channel's name.
        hint: the event to set.
        clock: waits before a lost connection is replaced.
        notified: is called with the payload of each notification, and with an empty one when some may have been missed.
    """

    def __init__(
        self,
        dsn: str,
        channel: str,
        hint: asyncio.Event,
        clock: Clock,
        *,
        notified: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._channel = channel
        self._hint = hint
        self._clock = clock
        self._notified = notified
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen from now on, if it doesn't yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _listen(self) -> None:
        while True:
            with suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    self._hint.set()  # Something may have come before.
                    self._notified("")
                    async for notification in connection.notifies():
                        self._hint.set()
                        self._notified(notification.payload)
            await self._clock.sleep(LISTEN_AGAIN_SECONDS)
