"""A proxy before PostgreSQL that counts messages, and at one of them disconnects, or has the client killed."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

PORT: Final = 5432
"""PostgreSQL names its socket after it."""


class DatabaseProxy:
    """Forwards messages, and ends one connection at the strike.

    Args:
        server: the URL of a server that listens on a Unix socket.
        strike: at which message from the client to strike, counted from one; None to count only.
        aim: which kind of message is counted; None for all.
        when: ``before`` it is forwarded, ``during`` (half of it was), or ``after`` (the response is kept back).
    """

    def __init__(self, server: str, *, strike: int | None = None, aim: str | None = None, when: str = "before") -> None:
        found = re.search(r"host=([^&]+)", server)
        assert found
        self._server, self._home = server, found[1]
        self.strike = strike
        self._aim = aim
        self.is_down = False
        """Whether new connections are turned away."""
        self._when = when
        self.hit: Callable[[], object] = lambda: None
        """Called at the strike."""
        self.struck: str | None = None
        """The kind of message that was struck."""
        self.kinds: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Give the URL by which the server is reached through this proxy."""
        with tempfile.TemporaryDirectory(prefix="leadpay-") as home:
            server = await asyncio.start_unix_server(self._serve, Path(home) / f".s.PGSQL.{PORT}")
            try:
                yield self._server.replace(self._home, home)
            finally:
                server.close()
                for writer in self._writers:
                    writer.close()
                if self._tasks:
                    await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        if self.is_down:
            writer.close()
            return
        there, here = await asyncio.open_unix_connection(f"{self._home}/.s.PGSQL.{PORT}")
        self._writers += [here, writer]
        back = asyncio.create_task(self._bring_back(there, writer))
        struck = await self._bring(reader, here)
        if struck is not None:
            if self._when == "after":
                back.cancel()
                await asyncio.wait([back])
                await there.read(1)
            self.struck = struck
            self.hit()
        here.close()
        writer.close()
        await asyncio.wait([back])

    async def _bring(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> str | None:
        """Forward what the client sends; give the kind of message at which the strike was."""
        with suppress(OSError):
            while data := await client.read(1 << 16):
                self.kinds.append(kind := _kind(data))
                if is_hit(self.kinds, self.strike, self._aim):
                    server.write({"before": b"", "during": data[: len(data) // 2], "after": data}[self._when])
                    return kind
                server.write(data)
        return None

    async def _bring_back(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await server.read(1 << 16):
                client.write(data)
        client.close()


def is_hit(kinds: list[str], strike: int | None, aim: str | None) -> bool:
    """Tell whether the last message is the one to strike at."""
    if aim is None:
        return len(kinds) == strike
    return kinds[-1] == aim and kinds.count(aim) == strike


def _kind(data: bytes) -> str:
    """Name a message by the keywords of the statement in it."""
    found = re.findall(rb"\b(?:[A-Z]{3,}|leadpay_\w+|effects)\b", data[:4_000])
    return b" ".join(found).decode()[:60]
