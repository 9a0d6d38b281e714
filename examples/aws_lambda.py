"""Receive webhooks in AWS Lambda: ``uv run python examples/aws_lambda.py``.

No process lives between two calls, so there is no worker for an inbox: the response is 200 after the handlers have
succeeded, or else 500, and the bank sends the event again. Other instances receive duplicates: handlers must
recognise them by ``event.payment.id``.
"""

import asyncio
import base64
import json
import os
import time
import uuid
from functools import cache
from typing import Any

from leadpay import InstantPaymentEvent, WebhookReceiver, WebhookRouter
from leadpay.sandbox import sample
from leadpay.webhooks import HEADER, sign

router = WebhookRouter()


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None:
    print("credit", event.payment.amount, "cents")


@cache
def receiver() -> WebhookReceiver:
    return WebhookReceiver(router, secrets=os.environ["LEAD_WEBHOOK_SECRETS"].split(","), handler_timeout=20)


async def receive(event: dict[str, Any]) -> int:
    body = event.get("body") or ""
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    async with receiver() as entered:  # starts and ends the routers' lifespans
        return await entered.receive(body=raw, headers=event["headers"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - what AWS calls
    return {"statusCode": asyncio.run(receive(event))}


def main() -> None:
    os.environ["LEAD_WEBHOOK_SECRETS"] = "whsec_example"
    webhook = sample("posted", now=time.time(), new_uuid=uuid.uuid4, direction="incoming")
    body = json.dumps(webhook).encode()
    headers = {HEADER.lower(): sign(body, "whsec_example", int(time.time() * 1000))}
    call = {"headers": headers, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    print(handler(call, None))
    print(handler({**call, "headers": {}}, None))


main()
