"""Live pages: the stream says when something has changed, and ends with the program."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from leadpay.console import loopback
from leadpay.console.app import Console, Pages, listening
from leadpay.console.changes import HEARTBEAT, INTERVAL, LIFETIME, MAX_STREAMS, Changes
from leadpay.sandbox import ManualClock


class Source:
    """Something that changes."""

    def __init__(self) -> None:
        self.value = 0
        self.looks = 0

    async def look(self) -> object:
        """Give the value."""
        self.looks += 1
        return self.value


@pytest.mark.asyncio
async def test_one_look_serves_all_pages() -> None:
    """The version changes with the source, and the source is asked once in an interval."""
    clock, source = ManualClock(), Source()
    changes = Changes([source.look], clock)
    first = await changes.version()
    source.value = 1
    assert await changes.version() == first
    assert source.looks == 1
    await clock.advance(INTERVAL)
    assert await changes.version() != first


class Stream(Pages):
    """A console with one source, and a page that listens."""

    def __init__(self) -> None:
        self.clock, self.source = ManualClock(), Source()
        self.sources = (self.source.look,)
        self.console = Console(loopback, clock=self.clock)
        self.console.add(self)

    def routes(self) -> list[web.RouteDef]:
        """No page of its own."""
        return []

    async def line(self, response: aiohttp.ClientResponse, step: float) -> bytes:
        """Turn the clock until a line comes."""
        reading = asyncio.create_task(response.content.readuntil(b"\n\n"))
        for _ in range(1000):
            await asyncio.wait([reading], timeout=0.002)
            if reading.done():
                return await reading
            await self.clock.advance(step)
        raise AssertionError


@pytest.mark.asyncio
async def test_a_page_is_told() -> None:
    """First the version, then each new one; in between a line keeps the connection, and after a while it ends."""
    one = Stream()
    async with (
        listening(one.console) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}changes") as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["X-Frame-Options"] == "DENY"
        first = await one.line(response, 0)
        assert first.startswith(b"data: ")
        one.source.value = 1
        second = await one.line(response, INTERVAL)
        assert second.startswith(b"data: ")
        assert second != first
        assert await one.line(response, HEARTBEAT) == b": still here\n\n"
        reading = asyncio.create_task(response.read())
        await one.clock.advance(LIFETIME)
        assert (await reading).replace(b": still here\n\n", b"") == b""


@pytest.mark.asyncio
async def test_the_program_ends_with_pages_open() -> None:
    """And a page that is closed ends its stream."""
    one = Stream()
    async with aiohttp.ClientSession() as session:
        async with listening(one.console) as url:
            closed = await session.get(f"{url}changes")
            await one.line(closed, 0)
            closed.close()
            for value in range(1, 4):
                one.source.value = value
                await one.clock.advance(INTERVAL)
            response = await session.get(f"{url}changes")
            await one.line(response, 0)
        assert await response.read() == b""
        response.close()


@pytest.mark.asyncio
async def test_there_are_not_too_many_streams() -> None:
    """A further page works without being live."""
    one = Stream()
    async with listening(one.console) as url, aiohttp.ClientSession() as session:
        one.console._changes._streams.update(asyncio.create_task(asyncio.sleep(0)) for _ in range(MAX_STREAMS))
        async with session.get(f"{url}changes") as response:
            assert response.status == 503
        one.console._changes._streams.add(None)
