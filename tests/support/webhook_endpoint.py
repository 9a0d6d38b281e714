"""An endpoint for webhooks on a real port. It checks signatures with its own code."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class WebhookEndpoint:
    """What was received, and the statuses to respond with next; 200 once there are none."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.url = ""

    @property
    def types(self) -> list[str]:
        """The types of the events, without their prefix."""
        return [event["event"].removeprefix("instant_payment.") for event in self.events]

    @property
    def times(self) -> list[int]:
        """The time of each signature, in milliseconds since 1970."""
        return [int(headers["Lead-Signature"].split(",")[0].removeprefix("t=")) for headers in self.headers]

    def is_signed(self, secret: str) -> bool:
        """Whether each of them is signed with the secret, by the bank's rule."""
        for headers, body in zip(self.headers, self.bodies, strict=True):
            time, signature = headers["Lead-Signature"].split(",", 1)
            digest = hmac.new(secret.encode(), f"{time.removeprefix('t=')}.".encode() + body, hashlib.sha256).digest()
            if signature != f"v0={base64.b64encode(digest).decode()}":
                return False
        return True

    async def _receive(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.events.append(json.loads(body))
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["WebhookEndpoint"]:
        """Listen on a free port."""
        runner = web.ServerRunner(web.Server(self._receive), shutdown_timeout=0.01)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield self
        finally:
            await runner.cleanup()
