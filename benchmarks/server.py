"""Webhooks per second through an aiohttp server on one core, as wrk counts them."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from benchmarks.receivers import PEERS, Receiver, bare, leadpay_receive, present
from benchmarks.rounds import Report, compare

GOAL: Final = ">= 0.85"
INBOX_GOAL: Final = ">= 0.5"
CONNECTIONS: Final = 50
EVENTS: Final = 20_000
"""More than a receiver remembers, and than an inbox stores meanwhile: no webhook counts as a duplicate."""

_LUA: Final = """
local file = io.open(os.getenv("REQUESTS"), "rb")
local requests, at = {}, tonumber(os.getenv("START"))
while true do
  local size = file:read(8)
  if not size then break end
  requests[#requests + 1] = file:read(tonumber(size))
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"""


def serve(name: str, port: int) -> None:
    """Serve one contestant until the process is ended; called in a process of its own."""
    from aiohttp import web

    app = web.Application()
    if name.startswith("leadpay"):
        _mount_leadpay(app, name)
    else:
        receive = next(one for make in (bare, *PEERS) for one in present((make,)) if one.name == name).receive

        async def handle(request: web.Request) -> web.Response:
            await receive(await request.read(), request.headers)
            return web.Response()

        app.router.add_post("/webhooks/lead", handle)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def _mount_leadpay(app: Any, name: str) -> None:
    from aiohttp import web

    from benchmarks.samples import SECRET
    from leadpay.inbox import open_inbox
    from leadpay.models import InstantPaymentEvent
    from leadpay.webhooks.aiohttp import mount
    from leadpay.webhooks.receiver import WebhookReceiver
    from leadpay.webhooks.router import WebhookRouter

    router = WebhookRouter("benchmark")

    @router.return_request_response_needed(direction="incoming")
    async def handle(_: InstantPaymentEvent) -> None: ...

    path = os.environ.get("INBOX")
    inbox = open_inbox(f"sqlite:///{path}") if path else None

    async def opened(_: web.Application) -> AsyncIterator[None]:
        async with inbox or nullcontext():
            yield

    app.cleanup_ctx.append(opened)
    mount(app, WebhookReceiver(router, secrets=SECRET, inbox=inbox, work="worked on" in name))


@cache
def _bodies(make: Callable[[int], bytes]) -> list[bytes]:
    return [make(number) for number in range(EVENTS)]


def _write_requests(one: Receiver, path: Path) -> None:
    """Sign all requests anew: a signature holds for five minutes, and the rounds take longer."""
    with path.open("wb") as file:
        for body in _bodies(one.body):
            headers = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **one.sign(body)}
            head = "POST /webhooks/lead HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in headers.items())
            request = f"{head}\r\n".encode() + body
            file.write(b"%8d" % len(request) + request)


class _Server:
    """A contestant in a process of its own, on the first core."""

    def __init__(self, name: str, port: int, inbox: str | None) -> None:
        self.port = port
        self._sent = 0
        code = f"from benchmarks.server import serve; serve({name!r}, {port})"
        environment = {**os.environ, **({"INBOX": inbox} if inbox else {})}
        self._process = subprocess.Popen(
            ["taskset", "-c", "0", sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL
        )
        asyncio.run(self._started())

    def wrk(self, script: Path, requests: Path, seconds: int) -> tuple[float, float]:
        """Give received webhooks per second, and the server's CPU seconds for each."""
        before = self._cpu()
        url = f"http://127.0.0.1:{self.port}/webhooks/lead"
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url]
        environment = {**os.environ, "REQUESTS": str(requests), "START": str(self._sent)}
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        if refused:
            raise RuntimeError(f"{refused[0]}\n{out}")
        count = int(_found(r"(\d+) requests in", out))
        self._sent += count + CONNECTIONS
        rate = float(_found(r"Requests/sec:\s+([\d.]+)", out))
        return rate, (self._cpu() - before) / count

    @property
    def is_fresh(self) -> bool:
        """Whether it has not been asked anything yet."""
        return self._sent == 0

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _started(self) -> None:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise RuntimeError("the server did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said something else:\n{text}")
    return found[1]


def measure(*, quick: bool) -> list[Report]:
    """Measure, if wrk is here."""
    if not shutil.which("wrk"):
        return [Report("webhooks through a server", "requests per second", (), ("wrk is not installed",))]
    ours = leadpay_receive()
    entries: list[tuple[Receiver, str]] = [(bare()._replace(name="bare aiohttp handler"), "")]
    entries += [(ours._replace(name="leadpay, mounted"), GOAL)]
    entries += [(ours._replace(name="leadpay, SQLite inbox, stored"), INBOX_GOAL)]
    entries += [(ours._replace(name="leadpay, SQLite inbox, stored and worked on"), "")]
    entries += [(one, "") for one in present(PEERS)]
    with tempfile.TemporaryDirectory() as folder:
        rates, costs = _rounds(entries, Path(folder), rounds=2 if quick else 12)
    names, goals = [one.name for one, _ in entries], [goal for _, goal in entries]
    note = f"wrk with {CONNECTIONS} connections on the second core, the server on the first"
    return [
        Report("webhooks through a server", "requests per second", compare(names, rates, goals), (note,)),
        Report("its CPU for each webhook", "seconds", compare(names, costs, [""] * len(names)), (note,)),
    ]


def _rounds(
    entries: list[tuple[Receiver, str]], folder: Path, *, rounds: int
) -> tuple[list[list[float]], list[list[float]]]:
    (folder / "requests.lua").write_text(_LUA)
    rates, costs = [], []
    with ExitStack() as stack:
        servers = [stack.enter_context(_serving(one, index)) for index, (one, _) in enumerate(entries)]
        for number in range(rounds):
            row = [(0.0, 0.0)] * len(entries)
            for turn in range(len(entries)):
                index = (turn + number) % len(entries)
                row[index] = _turn(entries[index][0], servers[index], folder)
            rates.append([rate for rate, _ in row])
            costs.append([cost for _, cost in row])
    return rates, costs


def _turn(one: Receiver, server: _Server | None, folder: Path) -> tuple[float, float]:
    """Let one run for a second, and another to get warm if it has just started."""
    requests = folder / "requests"
    _write_requests(one, requests)
    with nullcontext(server) if server else _Server(one.name, _PORT - 1, str(folder / uuid4().hex)) as running:
        if running.is_fresh:
            running.wrk(folder / "requests.lua", requests, 1)
        return running.wrk(folder / "requests.lua", requests, 1)


def _serving(one: Receiver, index: int) -> AbstractContextManager[_Server | None]:
    """Start a server for all rounds; but with an inbox every webhook adds to the file, so each turn has its own."""
    if "inbox" in one.name:
        return nullcontext(None)
    return _Server("hmac.digest + orjson.loads" if one.name.startswith("bare") else one.name, _PORT + index, None)


_PORT: Final = 18_080
