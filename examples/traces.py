"""Print the traces of a payment, from the call to the handlers: ``uv run python examples/traces.py``.

In production, configure OpenTelemetry's SDK as usual and use ``Telemetry()`` without arguments.
"""

import asyncio

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadpay import Agent, InstantPaymentEvent, Party, WebhookReceiver, WebhookRouter
from leadpay.otel import Telemetry
from leadpay.sandbox import Sandbox
from leadpay.webhooks.aiohttp import listening

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
telemetry = Telemetry(tracer_provider=provider)
router = WebhookRouter()


@router.posted(direction="outgoing")
@router.counterparty_status_update
async def book(event: InstantPaymentEvent) -> None:
    with provider.get_tracer("shop").start_as_current_span("book"):  # a child of the handler's span
        await asyncio.sleep(0.01 if event.payment.has_arrived else 0)


def tree(spans: list[ReadableSpan], parent: int | None = None, depth: int = 0) -> None:
    for span in spans:
        if (span.parent.span_id if span.parent else None) == parent:
            status = (span.attributes or {}).get("http.response.status_code", "")
            print("  " * depth + f"{span.name} {status}".rstrip())
            tree(spans, span.context.span_id, depth + 1)


async def main() -> None:
    async with Sandbox(faults=["rate_limited:send:1:value=0"]) as bank, bank.client(observer=telemetry) as lead:
        receiver = WebhookReceiver(router, secrets=[bank.webhook_secret], observer=telemetry)
        async with listening(receiver) as bank.webhook_url:
            await lead.instant_payments.send(
                account_number_id="account_number_xyz123",
                amount=5000,
                creditor=Party(name="Alex Smith", account_number="1234567890"),
                creditor_agent=Agent(routing_number="111000111"),
            )
            await bank.wait_idle()
    tree(sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0))


asyncio.run(main())
