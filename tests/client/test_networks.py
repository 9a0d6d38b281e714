"""What docs/howto/networks.md says: a proxy, a private certificate authority and a client certificate."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from leadpay.client import LeadClient
from leadpay.errors import RequestNotSentError
from tests.support.scripted import response

BODY = {"available": True, "routing_number": "111000111"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, and certificates of it for a server and a client."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    new = [openssl, "req", "-newkey", "rsa:2048", "-nodes", "-batch"]

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603 - our own command

    run(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        run(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = [openssl, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        run(*sign, "-out", f"{name}.pem", "-days", "2", "-extfile", "names")
    return folder


@asynccontextmanager
async def serving(certificates: Path, *, client_certificate: bool = False) -> AsyncIterator[int]:
    """Respond over TLS on a free port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
                writer.write(response(200, BODY))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED if client_certificate else ssl.CERT_NONE
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, **session_settings: Any) -> bool:
    """Ask for an availability, through a session of our own."""
    async with (
        aiohttp.ClientSession(**session_settings) as session,
        LeadClient(base_url=f"https://127.0.0.1:{port}", token="t", session=session) as lead,
    ):
        return (await lead.instant_payments.check_availability("111000111")).available


@pytest.mark.asyncio
async def test_a_private_authority_is_trusted_once_it_is_added(certificates: Path) -> None:
    """Without it, the error says so at once, and names the host and the reason."""
    async with serving(certificates) as port:
        with pytest.raises(RequestNotSentError, match=r"certificate of 127\.0\.0\.1.* is not trusted: .+") as caught:
            await ask(port)
        assert caught.value.attempts == 1
        context = ssl.create_default_context()
        context.load_verify_locations(certificates / "ca.pem")
        assert await ask(port, connector=aiohttp.TCPConnector(ssl=context))


@pytest.mark.asyncio
async def test_a_client_certificate_is_shown(certificates: Path) -> None:
    """To a server that asks for it."""
    async with serving(certificates, client_certificate=True) as port:
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        assert await ask(port, connector=aiohttp.TCPConnector(ssl=context))


@pytest.mark.asyncio
@pytest.mark.parametrize("refuses", [False, True])
async def test_a_proxy_is_a_tunnel(certificates: Path, *, refuses: bool) -> None:
    """A 407 of the proxy is no connection, and is not repeated."""
    asked: list[bytes] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b" ")[0])
        if refuses:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        to, out = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(copy(reader, out), copy(to, writer), return_exceptions=True)

    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    async with serving(certificates) as port:
        proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with proxy:
            call = ask(port, connector=aiohttp.TCPConnector(ssl=context), proxy=url)
            if refuses:
                with pytest.raises(RequestNotSentError, match="proxy responded with HTTP 407"):
                    await call
            else:
                assert await call
        assert asked == [b"CONNECT"]
