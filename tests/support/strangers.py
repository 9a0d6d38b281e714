"""Strangers before a webhook endpoint, as a process: ``python -m tests.support.strangers KIND PORT CONNECTIONS``."""

import asyncio
import gzip
import sys
from contextlib import suppress

HEAD = b"POST /webhooks/lead HTTP/1.1\r\nHost: bank\r\n"
SHAPED = b"Lead-Signature: t=1,v0=AAAA\r\n"
MEGABYTE = 1_000_000
KINDS = ("silent", "half_open", "bodies", "bombs", "garbage", "forged")


async def main(kind: str, port: int, connections: int) -> None:
    """Keep connections open, and send at most a megabyte a second over all of them."""
    first, piece, number = _attack(kind, connections)
    pause = max(0.1, (len(piece) or len(first)) * number / MEGABYTE)
    tasks = [asyncio.create_task(_hold(port, first, piece, pause)) for _ in range(number)]
    await asyncio.sleep(0.3)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    await asyncio.gather(*tasks)


def _attack(kind: str, connections: int) -> tuple[bytes, bytes, int]:
    """Choose what is sent first, what is sent again and again, and over how many connections."""
    match kind:
        case "silent":
            return b"", b"", connections
        case "half_open":
            return HEAD, b"X: y\r\n", connections
        case "bodies":
            return HEAD + SHAPED + b"Content-Length: 1000000\r\n\r\n", b"x" * 500, connections
        case "bombs":
            bomb = gzip.compress(b"\0" * 200 * MEGABYTE, 9)
            encoded = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
            return HEAD + SHAPED + encoded + bomb, b"", 6
        case "garbage":
            return b"GET / HTTP/1.1\r\nHost x\r\n\r\n" + b"x" * 5000, b"", 20
        case _:
            return HEAD + SHAPED + b"Content-Length: 1000000\r\n\r\n" + b"x" * MEGABYTE, b"", 4


async def _hold(port: int, first: bytes, piece: bytes, pause: float) -> None:
    """Keep one connection: send something, and then pieces; connect again when it is closed."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(first)
                await writer.drain()
                while piece and not reader.at_eof():
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                await reader.read()
            finally:
                writer.close()
        await asyncio.sleep(pause)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
