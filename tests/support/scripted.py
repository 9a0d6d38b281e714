"""A bank of a few lines on a real port, which responds from a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest_asyncio

from leadpay.client import LeadClient
from tests.support.rng import FixedRandom
from tests.support.scripted_transport import Clock


class ScriptedBank:
    """Responds to each request with the next line of a script, and then always with the last one.

    A line is bytes to write before the connection is cut, ``(status, data)``, ``(status, data, headers)``, or one of
    the words ``drop``, ``hang`` and ``drop and leave``.
    """

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.clock = Clock()
        self.arrived = asyncio.Event()
        self.url = ""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Stop listening, and cut every connection."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    @property
    def lines(self) -> list[str]:
        """The requests, such as ``POST /v1/instant_payments``."""
        return [f"{method} {path}" for method, path, _ in self.requests]

    @property
    def keys(self) -> set[str]:
        """The idempotency keys that arrived."""
        return {headers["idempotency-key"] for _, _, headers in self.requests if "idempotency-key" in headers}

    def client(self, **settings: Any) -> LeadClient:
        """Make a client of this bank with a fixed token, keys ``key-1`` and so on, and a clock that never waits."""
        keys = iter(f"key-{number}" for number in range(1, 1000))
        known = {
            "base_url": self.url,
            "clock": self.clock,
            "rng": FixedRandom(),
            "new_idempotency_key": lambda: next(keys),
        }
        if "client_id" not in settings:
            known["token"] = "token-1"
        return LeadClient(**{**known, **settings})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = head[0].split(" ")
                self.requests.append((method, path, headers))
                self.arrived.set()
                line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if line == "hang":
                    await reader.read()
                if not isinstance(line, tuple):
                    if line == "drop and leave":
                        self.stop()
                    writer.write(line if isinstance(line, bytes) else b"")
                    return
                writer.write(response(*line))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def response(status: int, data: Any, headers: dict[str, str] | None = None) -> bytes:
    """Write a response; an error without data gets the bank's problem JSON."""
    data = {"code": "some_code"} if status >= 400 and data == {} else data
    body = data if isinstance(data, bytes) else orjson.dumps(data)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


@pytest_asyncio.fixture
async def new_bank() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def start(*script: Any) -> ScriptedBank:
            bank = ScriptedBank()
            bank.script = list(script)
            await bank.start()
            stack.callback(bank.stop)
            return bank

        yield start
