"""Bodies within limits of size, time and number."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadpay.webhooks.body import BodyReader, BodyRefusedError


class Sender:
    """Sends chunks when a test says so."""

    def __init__(self, reader: BodyReader) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task = asyncio.ensure_future(reader.read(self._chunks()))

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self.queue.get()) is not None:
            yield chunk

    async def send(self, *chunks: bytes | None) -> None:
        """Send; None is the end."""
        for chunk in chunks:
            self.queue.put_nowait(chunk)
        for _ in range(10):
            await asyncio.sleep(0)

    async def result(self) -> Any:
        """The body, or what it counts as if it was refused."""
        try:
            return await self.task
        except BodyRefusedError as error:
            return error.status, error.result


@pytest.mark.asyncio
async def test_a_body_is_put_together() -> None:
    """From no chunk, one or several."""
    reader = BodyReader(max_bytes=4)
    for chunks, body in (((), b""), ((b"abcd",), b"abcd"), ((b"ab", b"", b"cd"), b"abcd")):
        sender = Sender(reader)
        await sender.send(*chunks, None)
        assert await sender.result() == body


@pytest.mark.asyncio
async def test_a_body_is_read_up_to_its_limit() -> None:
    """One byte more is 413, before it is kept."""
    sender = Sender(BodyReader(max_bytes=4))
    await sender.send(b"abc", b"de")
    assert await sender.result() == (413, "too_large")


@pytest.mark.asyncio
async def test_a_slow_body_is_given_up() -> None:
    """It has so many seconds as a whole."""
    sender = Sender(BodyReader(seconds=0.01))
    await sender.send(b"a")
    assert await sender.result() == (408, "too_slow")


@pytest.mark.asyncio
async def test_one_body_too_many_displaces_the_longest_reading() -> None:
    """The newest is read: a stranger who sends nothing cannot hold the places."""
    reader = BodyReader(max_bodies=2)
    senders = [Sender(reader) for _ in range(3)]
    await senders[2].send(b"real", None)
    assert await senders[0].result() == (503, "crowded")
    assert await senders[2].result() == b"real"
    await senders[1].send(b"too", None)
    assert await senders[1].result() == b"too"


@pytest.mark.asyncio
async def test_one_byte_too_many_displaces_the_largest_body() -> None:
    """Small bodies are not touched by large ones, and the place is free at once."""
    reader = BodyReader(max_bytes_in_flight=10)
    large, small = Sender(reader), Sender(reader)
    await large.send(b"x" * 8)
    await small.send(b"abc")
    assert await large.result() == (503, "crowded")
    last = Sender(reader)
    await last.send(b"x" * 7)
    await last.send(b"x", b"more", None)
    assert await last.result() == (503, "crowded")
    await small.send(b"d", None)
    assert await small.result() == b"abcd"


@pytest.mark.asyncio
async def test_a_body_that_was_given_up_reads_no_more() -> None:
    """Also if its next chunks are there already, so that its task never waits."""
    reader = BodyReader(max_bodies=1)
    first = Sender(reader)
    await first.send(b"a")
    second = Sender(reader)
    await first.send(b"b", None)
    assert await first.result() == (503, "crowded")
    await second.send(b"c", None)
    assert await second.result() == b"c"


@pytest.mark.asyncio
async def test_a_body_can_be_late_and_given_up_at_once() -> None:
    """Its time is over before its task has noticed."""
    reader = BodyReader(max_bodies=1, seconds=0)
    first = Sender(reader)
    await asyncio.sleep(0)
    second = Sender(reader)
    assert await first.result() == (503, "crowded")
    assert await second.result() == (408, "too_slow")


@pytest.mark.asyncio
async def test_what_the_sender_raises_comes_through_and_frees_the_place() -> None:
    """A connection that is lost is no error of the reader."""
    reader = BodyReader(max_bodies=1)

    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await reader.read(broken())
    sender = Sender(reader)
    await sender.send(b"a", None)
    assert await sender.result() == b"a"
