"""Receive webhooks without a web framework: ``uv run python examples/bare_asyncio.py``.

Run it behind a proxy that terminates TLS.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from email.parser import BytesParser
from functools import partial
from http import HTTPStatus

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.sandbox import Sandbox

router = WebhookRouter()
READ_TIMEOUT = 10  # seconds; the bank sends a webhook in far less


@router.posted(direction="incoming")
async def credit(event: InstantPaymentEvent) -> None:
    print("credit", event.payment.amount, "cents")


async def receive(receiver: WebhookReceiver, reader: StreamReader) -> int:
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            request, _, lines = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            headers = BytesParser().parsebytes(lines, headersonly=True)
            length = int(headers.get("Content-Length", ""))
            if not request.startswith(b"POST /webhooks/lead "):
                return HTTPStatus.NOT_FOUND
            if not 0 <= length <= receiver.max_body_bytes:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            body = await reader.readexactly(length)
    except (TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError):
        return HTTPStatus.BAD_REQUEST
    return await receiver.receive(body=body, headers=dict(headers.items()))


async def serve(receiver: WebhookReceiver, reader: StreamReader, writer: StreamWriter) -> None:
    status = HTTPStatus(await receive(receiver, reader))
    writer.write(f"HTTP/1.1 {status} {status.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    writer.close()


async def main() -> None:
    async with Sandbox(delay=0) as bank, bank.client() as lead:
        receiver = WebhookReceiver(router, secrets=[bank.webhook_secret])
        async with receiver, await asyncio.start_server(partial(serve, receiver), "127.0.0.1", 0) as server:
            bank.webhook_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks/lead"
            debtor, agent = Party(name="Alex Smith", account_number="1234567890"), Agent(routing_number="111000111")
            await lead.simulate.incoming(
                account_number_id="account_number_xyz123", amount=5000, debtor=debtor, debtor_agent=agent
            )
            await bank.wait_idle()


asyncio.run(main())
