"""Strangers without the secret, before ``leadpay serve`` in a process of its own: real webhooks must not wait."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from leadpay.webhooks.signature import HEADER, sign
from tests.support.inbox import event_of
from tests.support.strangers import KINDS

FULL = os.environ.get("LEADPAY_PROOFS") == "all"
CONNECTIONS = 1000 if FULL else 300
SECONDS = 30.0 if FULL else 1.5
HEAD = b"POST /webhooks/lead HTTP/1.1\r\nHost: bank\r\n"
MEGABYTE = 1_000_000


class Server:
    """The process under attack."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process, self.port, self.log = process, port, log
        self._number = 0

    async def real(self) -> tuple[int, float]:
        """Send a real webhook; its status, 0 without one, and how long it took."""
        self._number += 1
        _, body = event_of(f"event_{self._number}")
        signature = sign(body, "whsec_1", int(time.time() * 1000))
        head = HEAD + f"{HEADER}: {signature}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        start = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head + body)
        try:
            return int((await reader.readline())[9:12] or 0), time.monotonic() - start
        except ConnectionError:
            return 0, time.monotonic() - start
        finally:
            writer.close()

    def memory(self) -> int:
        """The most memory that the process has had, in megabytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) // 1000


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Server]:
    (folder / "handlers.py").write_text(
        'from leadpay import WebhookRouter\nrouter = WebhookRouter("ledger")\n'
        '@router.on("*", mandatory=True)\nasync def note(event): ...\n',
        encoding="ascii",
    )
    log = folder / "log"
    options = ("--port", "0", "--secret", "whsec_1", "--inbox", "sqlite:///inbox.db")
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "leadpay", "serve", "handlers:router", *options),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield Server(process, int(line.rpartition(":")[2].partition("/")[0]), log)
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def attacked(server: Server, kind: str) -> AsyncIterator[None]:
    """Let strangers at it, from another process, so that their work is not measured."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.strangers", kind, str(server.port), str(CONNECTIONS)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"started\n"
        yield
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("stranger", KINDS)
@pytest.mark.asyncio
async def test_real_webhooks_do_not_wait_for_strangers(stranger: str, tmp_path: Path) -> None:
    """Each gets its response within a second; memory and log stay small."""
    async with served(tmp_path) as server:
        assert (await server.real())[0] == 200
        async with attacked(server, stranger):
            end = time.monotonic() + SECONDS
            results = []
            while time.monotonic() < end:
                results.append(await server.real())
                await asyncio.sleep(0.05)
        slowest = max(seconds for _, seconds in results)
        logged = server.log.stat().st_size
        sys.stdout.write(
            f"{stranger}: {len(results)} webhooks, slowest {slowest:.2f} s, {server.memory()} MB, {logged} bytes\n"
        )
        assert {status for status, _ in results} == {200}
        assert slowest < 1
        assert server.memory() < 200
        assert logged < MEGABYTE
