"""A receiver on somebody else's aiohttp application, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from leadpay.errors import ConfigurationError
from leadpay.models import Event
from leadpay.webhooks.addresses import AllowList
from leadpay.webhooks.aiohttp import mount
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import sign

NOW_MS = 1_700_000_000_000
BODY = json.dumps({"id": "event_1", "event": "ach.posted", "created_at": "2026-01-01T00:00:00Z", "object": {}}).encode()


class StoppedClock:
    """Time that stands still."""

    def now(self) -> float:
        """Seconds since 1970."""
        return NOW_MS / 1000

    def monotonic(self) -> float:
        """Seconds that don't pass."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps here."""


def recording(secret: str, **options: Any) -> tuple[WebhookReceiver, list[str]]:
    """A receiver, and what its handler saw."""
    router = WebhookRouter()
    seen: list[str] = []

    @router.on("*")
    async def handler(event: Event) -> None:
        seen.append(event.id)

    del handler
    return WebhookReceiver(router, secrets=secret, clock=StoppedClock(), **options), seen


def headers(secret: str, **more: str) -> dict[str, str]:
    """A signature, and what else is sent."""
    return {"Lead-Signature": sign(BODY, secret, NOW_MS), **more}


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Run an application on a free port."""
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def post(url: str, *, data: object = BODY, headers: dict[str, str]) -> int:
    """Post once and give the status."""
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as response:
        return response.status


@pytest.mark.asyncio
async def test_two_mounts_with_two_secrets_keep_apart() -> None:
    """Each takes its own program's webhooks and refuses the other's."""
    app = web.Application()
    first, first_seen = recording("whsec_1")
    second, second_seen = recording("whsec_2")
    mount(app, first, path="/one")
    mount(app, second, path="/two")
    async with serving(app) as url:
        assert await post(f"{url}/one", headers=headers("whsec_1")) == 200
        assert await post(f"{url}/one", headers=headers("whsec_2")) == 401
        assert await post(f"{url}/two", headers=headers("whsec_2")) == 200
    assert (first_seen, second_seen) == (["event_1"], ["event_1"])


@pytest.mark.asyncio
async def test_a_large_body_is_413_however_it_is_sent() -> None:
    """With a length or in chunks, above the receiver's own limit, whatever the application's is."""
    app = web.Application(client_max_size=10)
    receiver, seen = recording("whsec_1", max_body_bytes=len(BODY))
    mount(app, receiver, path="/hooks")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield BODY

    async with serving(app) as url:
        assert await post(f"{url}/hooks", headers=headers("whsec_1")) == 200
        assert await post(f"{url}/hooks", data=BODY * 2, headers=headers("whsec_1")) == 413
        assert await post(f"{url}/hooks", data=chunks(), headers=headers("whsec_1")) == 413
    assert seen == ["event_1"]
    assert receiver.counts["too_large"] == 2


@pytest.mark.asyncio
async def test_a_body_in_chunks_is_put_together() -> None:
    """The raw bytes are verified, in however many pieces they came."""
    app = web.Application()
    receiver, seen = recording("whsec_1")
    mount(app, receiver)
    pieces = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield BODY[:20]
        await asyncio.sleep(0)
        pieces.set()
        yield BODY[20:]

    async with serving(app) as url:
        assert await post(f"{url}/webhooks/lead", data=chunks(), headers=headers("whsec_1")) == 200
    assert pieces.is_set()
    assert seen == ["event_1"]


@pytest.mark.asyncio
async def test_a_body_that_cannot_be_decoded_is_400_and_breaks_nothing() -> None:
    """A sender that says gzip and sends something else is not our error."""
    app = web.Application()
    receiver, seen = recording("whsec_1")
    mount(app, receiver, path="/hooks")
    async with serving(app) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")
        await writer.drain()
        assert b" 400 " in await reader.readline()
        writer.close()
        assert await post(f"{url}/hooks", headers=headers("whsec_1")) == 200
    assert receiver.counts["cut_off"] == 1
    assert seen == ["event_1"]


@pytest.mark.asyncio
async def test_an_address_that_is_not_on_the_list_is_403() -> None:
    """A forged X-Forwarded-For does not help; behind a trusted proxy it counts."""
    app = web.Application()
    receiver, seen = recording("whsec_1")
    mount(app, receiver, path="/closed", allow=["34.234.237.195"])
    mount(app, receiver, path="/proxied", allow=["34.234.237.195"], trusted_proxies=["127.0.0.0/8"])
    forged = headers("whsec_1", **{"X-Forwarded-For": "34.234.237.195"})
    async with serving(app) as url:
        assert await post(f"{url}/closed", headers=forged) == 403
        assert await post(f"{url}/proxied", headers=forged) == 200
    assert receiver.counts["address"] == 1
    assert seen == ["event_1"]


@pytest.mark.asyncio
async def test_a_proxy_on_a_unix_socket_can_be_trusted(tmp_path: Path) -> None:
    """Such a peer has no address, and is named "unix"."""
    app = web.Application()
    receiver, _ = recording("whsec_1")
    mount(app, receiver, path="/hooks", allow=["34.234.237.195"], trusted_proxies=["unix"])
    runner = web.AppRunner(app)
    await runner.setup()
    path = str(tmp_path / "s")
    await web.UnixSite(runner, path).start()
    forwarded = headers("whsec_1", **{"X-Forwarded-For": "34.234.237.195"})
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session,
        session.post("http://here/hooks", data=BODY, headers=forwarded) as response,
    ):
        assert response.status == 200
    await runner.cleanup()


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "allowed"),
    [
        ("34.0.0.1", [], [], True),
        ("34.0.0.2", [], [], False),
        ("::ffff:34.0.0.1", [], [], True),
        ("2001:db8::1", [], [], False),
        ("junk", [], [], False),
        ("34.0.0.2", ["34.0.0.1"], [], False),
        ("10.0.0.1", ["34.0.0.1"], ["10.0.0.0/8"], True),
        ("10.0.0.1", ["34.0.0.1, 9.9.9.9"], ["10.0.0.0/8"], False),
        ("10.0.0.1", ["9.9.9.9", "34.0.0.1,10.0.0.2"], ["10.0.0.0/8"], True),
        ("10.0.0.1", ["34.0.0.1, junk"], ["10.0.0.0/8"], False),
        ("10.0.0.1", ["10.0.0.3"], ["10.0.0.0/8"], False),
        ("10.0.0.1", [], ["10.0.0.0/8"], False),
        (None, ["34.0.0.1"], [], False),
        (None, ["34.0.0.1"], ["unix"], True),
    ],
)
def test_the_caller_is_the_first_hop_that_is_no_trusted_proxy(
    peer: str | None, forwarded: list[str], proxies: list[str], allowed: bool
) -> None:
    """Read from the right, as far as trusted proxies wrote it."""
    assert AllowList.of(["34.0.0.1"], proxies).allows(peer, forwarded) is allowed


@pytest.mark.parametrize(("allow", "proxies"), [(["nonsense"], []), (["10.0.0.1/8"], []), ([], ["x"])])
def test_a_wrong_address_in_a_list_is_an_error_at_once(allow: list[str], proxies: list[str]) -> None:
    """Not when the first webhook comes."""
    with pytest.raises(ConfigurationError, match="addresses or networks"):
        AllowList.of(allow, proxies)
