"""A bank that responds at once and always the same, in a process of its own on the first core."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import orjson

from benchmarks.samples import payment

_TOKEN: Final = orjson.dumps({"access_token": "token", "token_type": "Bearer", "expires_in": 3600})
PAGE: Final = 100


class _Bank(asyncio.Protocol):
    """As much of HTTP as the contestants speak."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, length = head.lower().partition(b"content-length: ")
        size = int(length.split(b"\r\n", 1)[0]) if length else 0
        if len(rest) >= size:
            self._buffer = rest[size:]
            self._transport.write(_response(head.split(b" ", 2)[1]))


def _response(path: bytes) -> bytes:
    if b"oauth" in path:
        body = _TOKEN
    elif b"limit=" in path:
        last = int(path.partition(b"starting_after=")[2][-6:] or b"0")
        objects = [payment(number) for number in range(last + 1, last + 1 + PAGE)]
        body = orjson.dumps({"objects": objects, "has_more": last + PAGE < int(os.environ["PAYMENTS"])})
    else:
        body = _PAYMENT
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_PAYMENT: Final = orjson.dumps(payment())


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Bank, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def running(payments: int = 0) -> AsyncIterator[str]:
    """Run it, and give its address."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "benchmarks.bank"]
    environment = {**os.environ, "PAYMENTS": str(payments)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve())
