"""How many of our functions a webhook passes: a short way is easy to read, and to step through."""

import time
from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from leadpay.models import InstantPaymentEvent
from leadpay.webhooks.aiohttp import mount
from leadpay.webhooks.receiver import PATH, WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from tests.support.call_counting import CountedCalls, counting_calls


@pytest.mark.asyncio
async def test_a_webhook_passes_few_functions_before_its_handler(
    make_body: Callable[..., bytes], signed: Callable[..., dict[str, str]]
) -> None:
    """From the mount to a filtered handler: at most 22 calls of our own, in at most 9 files."""
    router, app = WebhookRouter("counted"), web.Application()
    seen: list[tuple[CountedCalls, int, set[str]]] = []

    @router.posted(direction="incoming")
    async def handle(event: InstantPaymentEvent) -> None:
        seen.append((calls, len(calls), calls.files))

    mount(app, WebhookReceiver(router, secrets="whsec_current"))
    async with TestClient(TestServer(app)) as client:
        for number in range(3):  # The first ones warm up what is made once.
            body = make_body(event_id=f"event_{number}")
            headers = signed(body, at=time.time())
            with counting_calls() as calls:
                async with client.post(PATH, data=body, headers=headers) as response:
                    assert response.status == 200
    calls, count, files = seen[-1]
    assert count <= 22, calls
    assert len(files) <= 9, calls
