"""Connections of strangers, on a real loopback server."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from leadpay.webhooks.http_server import MAX_HEAD_BYTES, Connections, ServerLimits, _within_descriptors, serving

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes = GET) -> bytes:
        """Send a request and return the status line and the rest of what comes in one piece."""
        self._writer.write(request)
        return await self._reader.readuntil(b"\r\n")

    async def send(self, data: bytes) -> None:
        """Send a part of a request."""
        self._writer.write(data)
        await self._writer.drain()

    async def rest(self) -> bytes:
        """Read until the server closes the connection."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b"reset"

    async def status(self) -> bytes:
        """Read a status line; nothing if the server has closed the connection."""
        try:
            return await self._reader.readline()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Scene:
    """A server whose handlers a test can hold up."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        """Open a connection."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()


@asynccontextmanager
async def scene_of(handler: Any = None, **limits: Any) -> AsyncIterator[Scene]:
    async def respond(request: web.Request) -> web.Response:
        if handler is not None:
            await handler(request)
        return web.Response(headers={"X-End": "1"})

    app = web.Application()
    app.router.add_route("*", "/", respond)
    async with serving(app, limits=ServerLimits(**limits)) as url:
        scene = Scene(url)
        try:
            yield scene
        finally:
            scene.close()


@pytest.mark.asyncio
async def test_a_silent_connection_is_closed() -> None:
    """One that sends no request, or half of one, has so many seconds."""
    async with scene_of(header_seconds=0.05) as scene:
        silent, half = await scene.connect(), await scene.connect()
        await half.send(GET[:-3])
        assert await silent.rest() in (b"", b"reset")
        assert await half.rest() in (b"", b"reset")


@pytest.mark.asyncio
async def test_a_connection_serves_many_requests_and_may_rest_between_them() -> None:
    """It is closed when it has rested too long, and the next request's headers have their own time."""
    async with scene_of(header_seconds=0.05, keepalive_seconds=0.3) as scene:
        client = await scene.connect()
        assert b"200" in await client.ask()
        await asyncio.sleep(0.1)
        assert b"X-End" in await client._reader.readuntil(b"\r\n\r\n")
        assert b"200" in await client.ask(GET[:10] + GET[10:])
        await client._reader.readuntil(b"\r\n\r\n")
        assert await client.rest() in (b"", b"reset")
        late = await scene.connect()
        assert b"200" in await late.ask()
        await late._reader.readuntil(b"\r\n\r\n")
        await late.send(b"GET")
        assert await late.rest() in (b"", b"reset")


@pytest.mark.parametrize(("size", "allowed"), [(MAX_HEAD_BYTES, True), (MAX_HEAD_BYTES + 1, False)])
@pytest.mark.parametrize("step", [1000, 100_000])
@pytest.mark.asyncio
async def test_a_head_has_a_limit(size: int, allowed: bool, step: int) -> None:
    """It is counted across the pieces in which it comes, and the body after it is not."""
    lines = b"".join(b"X-%04d: %s\r\n" % (number, b"x" * 1000) for number in range(15))
    start = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n" + lines + b"X: "
    head = start + b"x" * (size - len(start)) + b"\r\n\r\n"
    request = head + b"b" * 50_000

    async def read(request: web.Request) -> None:
        await request.read()

    async with scene_of(read) as scene:
        client = await scene.connect()
        with suppress(ConnectionError):
            for first in range(0, len(request), step):
                await client.send(request[first : first + step])
        assert (await client.status() == b"HTTP/1.1 200 OK\r\n") is allowed


@pytest.mark.asyncio
async def test_a_request_may_be_sent_early_and_in_pieces() -> None:
    """Its first bytes came while the request before it was handled; the end of its head comes alone."""
    gate, started = asyncio.Event(), asyncio.Event()

    async def wait(_: web.Request) -> None:
        started.set()
        await gate.wait()

    async with scene_of(wait) as scene:
        client = await scene.connect()
        await client.send(GET)
        await started.wait()
        await client.send(GET[:-1])
        await asyncio.sleep(0.01)
        gate.set()
        assert b"200" in await client.status()
        await client._reader.readuntil(b"\r\n\r\n")
        assert b"200" in await client.ask(GET[-1:])


@pytest.mark.asyncio
async def test_one_connection_too_many_displaces_the_longest_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """The newest is served: a stranger who only connects cannot hold the places, nor fill the log."""
    async with scene_of(max_connections=2) as scene:
        strangers = [await scene.connect() for _ in range(20)]
        real = await scene.connect()
        assert b"200" in await real.ask()
        for stranger in strangers[:-1]:
            assert await stranger.rest() in (b"", b"reset")
    assert 0 < caplog.text.count("more than 2 connections") <= 10


@pytest.mark.asyncio
async def test_a_connection_at_work_is_not_displaced() -> None:
    """If all are at work, the newest is closed."""
    gate = asyncio.Event()
    started = asyncio.Semaphore(0)

    async def wait(_: web.Request) -> None:
        started.release()
        await gate.wait()

    async with scene_of(wait, max_connections=1) as scene:
        busy = await scene.connect()
        await busy.send(GET)
        await started.acquire()
        late = await scene.connect()
        assert await late.rest() in (b"", b"reset")
        gate.set()
        assert b"200" in await busy.status()


@pytest.mark.asyncio
async def test_the_body_of_a_refused_request_is_dropped_for_a_moment() -> None:
    """Its sender sees the response; a sender that goes on is cut off."""
    async with scene_of(linger_seconds=0.2) as scene:
        sender, stuck = await scene.connect(), await scene.connect()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        assert b"200" in await stuck.ask(head)
        assert b"200" in await sender.ask(head)
        await sender.send(b"x" * 100_000)
        await sender._reader.readuntil(b"\r\n\r\n")
        assert b"200" in await sender.ask()
        await stuck._reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await stuck.rest() in (b"", b"reset")


@pytest.mark.asyncio
async def test_malformed_requests_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One traceback for each of them would be logged, and ten a minute are enough."""
    async with scene_of() as scene:
        for _ in range(15):
            client = await scene.connect()
            assert b"400" in await client.ask(b"GET / HTTP/1.1\r\nHost x\r\n\r\n")
    records = [record for record in caplog.records if record.name == "leadpay.webhooks.http.parser"]
    assert len(records) == 10


@pytest.mark.asyncio
async def test_a_sender_that_closes_its_side_is_gone() -> None:
    """The library is told, and closes the connection."""
    async with scene_of() as scene:
        client = await scene.connect()
        client._writer.write_eof()
        assert await client.rest() == b""


@pytest.mark.asyncio
async def test_a_request_whose_sender_is_gone_is_handled_to_its_end() -> None:
    """Nothing waits for another request of it."""
    gate, started, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(_: web.Request) -> None:
        started.set()
        await gate.wait()
        ended.set()

    async with scene_of(wait, max_connections=1) as scene:
        client = await scene.connect()
        await client.send(GET)
        await started.wait()
        client.close()
        await client._writer.wait_closed()
        await asyncio.sleep(0.01)
        gate.set()
        await ended.wait()
        assert b"200" in await (await scene.connect()).ask()


@pytest.mark.asyncio
async def test_the_limit_leaves_file_descriptors_for_the_rest() -> None:
    """A process that may have few takes fewer connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        assert _within_descriptors(ServerLimits()).max_connections == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert _within_descriptors(ServerLimits(max_connections=3)).max_connections == 3


@pytest.mark.asyncio
async def test_a_request_that_came_on_no_connection_of_ours_is_handled() -> None:
    """Its sender may have hung up before its handler started."""
    connections = Connections(ServerLimits())

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    response = await connections.middleware(make_mocked_request("GET", "/"), respond)
    connections.stop()
    assert response.status == 204


class Inner(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def pause_writing(self) -> None:
        """Note."""
        self.steps.append("pause")

    def resume_writing(self) -> None:
        """Note."""
        self.steps.append("resume")


class Transport(asyncio.Transport):
    """Goes nowhere."""

    def abort(self) -> None:
        """Close."""


@pytest.mark.asyncio
async def test_what_a_transport_says_is_passed_on_while_it_is_connected() -> None:
    """A connection that was not admitted, or is lost, tells its inner protocol nothing."""
    connections, inner, refused = Connections(ServerLimits(max_connections=0)), Inner(), Inner()
    try:
        connection = connections.wrap(inner)
        connection.pause_writing()
        connection.resume_writing()
        assert inner.steps == ["pause", "resume"]
        other = connections.wrap(refused)
        other.connection_made(Transport())
        other.data_received(GET)
        other.pause_writing()
        other.resume_writing()
        assert other.eof_received() is None
        other.connection_lost(None)
        assert refused.steps == []
        assert connections.closed == {"crowded": 1}
    finally:
        connections.stop()
