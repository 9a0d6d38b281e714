"""Server-sent events: tell the pages that are open that something has changed."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from aiohttp import web

from leadpay.clock import Clock
from leadpay.console.guard import HEADERS

INTERVAL: Final = 1.0
"""Seconds between two looks at the stores: what a person takes for at once, and a load that does not show."""

HEARTBEAT: Final = 15.0
"""Seconds after which a line is sent in any case, so that proxies keep the connection."""

LIFETIME: Final = 600.0
"""Seconds after which the browser has to connect, and sign in, again."""

MAX_STREAMS: Final = 100
"""Pages that are live at the same time; further ones work without it."""

Source: TypeAlias = Callable[[], Awaitable[object]]
"""Gives something whose repr differs once something has changed."""


class Changes:
    """What all pages listen to: one look at the stores serves them all.

    Args:
        sources: what to look at.
        clock: to wait with.
    """

    def __init__(self, sources: Sequence[Source], clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._streams: set[asyncio.Task[Any] | None] = set()
        self._looked_at = float("-inf")
        self._version = ""
        self._lock = asyncio.Lock()

    async def version(self) -> str:
        """Give a text that changes with what the stores hold, at most once in an interval."""
        async with self._lock:
            now = self._clock.monotonic()
            if now - self._looked_at < INTERVAL:
                return self._version
            found = [await source() for source in self._sources]
            self._version = hashlib.sha256(repr(found).encode(errors="replace")).hexdigest()[:16]
            self._looked_at = now
            return self._version

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send the version to a page whenever it has changed."""
        if len(self._streams) >= MAX_STREAMS:
            raise web.HTTPServiceUnavailable
        response = web.StreamResponse(headers={**HEADERS, "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        task = asyncio.current_task()
        self._streams.add(task)
        try:
            await self._send(response)
        except (asyncio.CancelledError, ConnectionError):
            pass  # the program ends, or the page was closed
        finally:
            self._streams.discard(task)
        return response

    async def close(self, _: web.Application) -> None:
        """End every stream, so that the program can end."""
        for task in tuple(self._streams):
            if task is not None:
                task.cancel()

    async def _send(self, response: web.StreamResponse) -> None:
        sent, sent_at = "", self._clock.monotonic()
        end = sent_at + LIFETIME
        while (now := self._clock.monotonic()) < end:
            version = await self.version()
            if version != sent or now - sent_at >= HEARTBEAT:
                await response.write(b": still here\n\n" if version == sent else f"data: {version}\n\n".encode())
                sent, sent_at = version, now
            await self._clock.sleep(INTERVAL)
