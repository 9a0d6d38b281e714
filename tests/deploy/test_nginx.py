"""``nginx.conf`` with a real nginx in front of a mount."""

import asyncio
import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from leadpay.webhooks.aiohttp import mount
from leadpay.webhooks.receiver import PATH, WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.support.inbox import event_of

CONF = (Path(__file__).parents[2] / "deploy" / "nginx.conf").read_text(encoding="utf-8")
NGINX = os.environ.get("LEADPAY_NGINX") or shutil.which("nginx")
pytestmark = pytest.mark.skipif(
    NGINX is None, reason="NGINX IS MISSING: deploy/nginx.conf was not tried (apt-get install nginx-light)"
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def adapted(port: int, upstream: int, folder: Path) -> str:
    """The configuration with this machine's ports, without TLS, and with files of its own."""
    text = CONF.replace("server 127.0.0.1:8080;", f"server 127.0.0.1:{upstream};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace(
        "client_body_timeout 10s", "client_body_timeout 1s"
    )
    lines = [line for line in text.splitlines() if "ssl_certificate" not in line]
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return f"daemon off;\npid {folder}/pid;\n" + "\n".join(lines).replace("http {\n", f"http {{\n{paths}", 1)


@asynccontextmanager
async def proxied(receiver: WebhookReceiver, folder: Path) -> AsyncIterator[int]:
    """Run nginx in front of an application; yields nginx's port."""
    app = web.Application()
    mount(app, receiver, allow=["127.0.0.2"], trusted_proxies=["127.0.0.1"])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = free_port()
    (folder / "nginx.conf").write_text(adapted(port, runner.addresses[0][1], folder))
    process = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")])  # noqa: S603, ASYNC220 - a fixed tool
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()
        await runner.cleanup()


@pytest.mark.asyncio
async def test_nginx_stops_strangers_and_passes_webhooks_on(tmp_path: Path) -> None:
    """What it refuses, leadpay never sees; a webhook arrives byte for byte."""
    router = WebhookRouter("empty")
    receiver = WebhookReceiver(router, secrets="whsec_1")
    _, body = event_of("event_1")
    signed = {HEADER: sign(body, "whsec_1", int(time.time() * 1000))}
    # Another address than the proxy's own, so that the allow-list behind it is tried.
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with proxied(receiver, tmp_path) as port, aiohttp.ClientSession(connector=connector) as session:
        for method, path, headers, data, status in (
            ("POST", PATH, signed, body, 200),
            ("POST", PATH, {HEADER: "t=1,v0=AAAA"}, body, 401),
            ("POST", PATH, {}, body, 401),
            ("POST", PATH, signed | {"Content-Encoding": "gzip"}, body, 415),
            ("POST", PATH, signed, io.BytesIO(b"x" * 1_100_000), 413),
            ("GET", PATH, {}, b"", 405),
            ("POST", "/elsewhere", signed, body, 404),
        ):
            async with session.request(
                method, f"http://127.0.0.1:{port}{path}", data=data, headers=headers
            ) as response:
                assert response.status == status, (method, path, status)
        assert receiver.counts == {"accepted": 1, "mismatch": 1}
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{HEADER}: t=1,v0=AAAA\r\nContent-Length: 1000\r\n\r\nslow"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
        assert receiver.counts == {"accepted": 1, "mismatch": 1}
