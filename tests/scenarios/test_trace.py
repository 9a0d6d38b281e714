"""One trace contains a payment from the call to its handler, with and without an inbox."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from leadpay.inbox.sqlite import SqliteInbox
from leadpay.models import Agent, InstantPaymentEvent, Party
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from tests.support.telemetry import RecordedTelemetry

POSTED = "instant_payment.posted"


@pytest_asyncio.fixture(params=["at once", "inbox"])
async def inbox(request: pytest.FixtureRequest) -> AsyncIterator[SqliteInbox | None]:
    async with AsyncExitStack() as stack:
        yield None if request.param == "at once" else await stack.enter_async_context(SqliteInbox(":memory:"))


@pytest.mark.asyncio
async def test_one_trace_links_a_send_with_its_retries_webhook_and_handler(inbox: Any) -> None:
    """Two lost responses, the payment, its webhook, the handler, and the handler's own call are linked."""
    told = RecordedTelemetry()
    telemetry = told.telemetry
    clock, handled = ManualClock(), asyncio.Event()
    router = WebhookRouter("traced")

    @router.posted(direction="outgoing")
    async def refresh(event: InstantPaymentEvent, context: Any) -> None:
        await context.refresh()
        handled.set()

    async with (
        Sandbox(clock=clock, delay=1, seed=7, faults=["response_lost:send:2"]) as bank,
        bank.client(observer=telemetry, clock=clock) as lead,
    ):
        receiver = WebhookReceiver(
            router, secrets=bank.webhook_secret, inbox=inbox, client=lead, clock=clock, observer=telemetry
        )
        async with listening(receiver) as bank.webhook_url:
            sending = asyncio.create_task(
                lead.instant_payments.send(
                    account_number_id="account_number_1",
                    amount=5000,
                    creditor=Party(name="Alex Smith", account_number="1234567890"),
                    creditor_agent=Agent(routing_number="111000111"),
                )
            )
            while not sending.done():
                await clock.advance(0.25)
            payment = await sending
            await clock.advance(60)
            await asyncio.wait_for(handled.wait(), 5)

    spans = told.spans
    call = next(span for span in spans if span.name == "lead.send")
    trace = [span for span in spans if span.context.trace_id == call.context.trace_id]
    parts = {span.context.span_id: span.name for span in spans}
    family = Counter((span.name, parts[span.parent.span_id] if span.parent else None) for span in trace)
    del family["receive instant_payment.counterparty_status_updated", "lead.send"]
    assert family == Counter(
        [
            ("lead.send", None),
            ("lead.token", "lead.send"),
            ("POST /v1/oauth/token", "lead.token"),
            *[("POST /v1/instant_payments", "lead.send")] * 3,
            (f"receive {POSTED}", "lead.send"),
            (f"process {POSTED}", "lead.send"),
            ("lead.retrieve", f"process {POSTED}"),
            ("GET /v1/instant_payments/{id}", "lead.retrieve"),
        ]
    )
    for name in (f"receive {POSTED}", f"process {POSTED}"):
        span = next(span for span in spans if span.name == name)
        assert [link.context.span_id for link in span.links] == [call.context.span_id]
        assert (span.attributes or {})["lead.payment.id"] == payment.id
    points = told.points()
    assert points["lead.call.retries"] == [(2, {"lead.operation": "send"})]
    assert sum(count for count, _ in points["lead.webhooks"]) == 2
    if inbox is not None:
        # Measured once, as the worker began.
        assert points["lead.inbox.waiting"] == [(0, {})]
        assert points["lead.inbox.oldest_waiting.age"] == [(0.0, {})]
    told.close()
