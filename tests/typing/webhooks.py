"""Never run, only read by type checkers: every decorator, with and without parentheses and context."""

from typing import assert_type

from leadpay.models import Event, InstantPayment, InstantPaymentEvent
from leadpay.webhooks import Context, Plugin, WebhookReceiver, WebhookRouter, load_plugins, parse, sign, verify

router = WebhookRouter()


@router.posted
async def bare(event: InstantPaymentEvent) -> None:
    """Take the payment."""
    assert_type(event.payment, InstantPayment)


@router.rejected
@router.under_review
@router.counterparty_status_update
@router.return_request_response_needed
@router.return_request_status_update
async def bare_with_context(event: InstantPaymentEvent, context: Context) -> None:
    """Take the context too."""
    assert_type(await context.refresh(), InstantPayment)


@router.posted(direction="incoming", is_return=False, account_id=["account_a", "account_b"])
@router.rejected(status="rejected")
@router.under_review()
@router.counterparty_status_update(counterparty_status={"posted", "rejected"})
@router.return_request_response_needed(account_number_id="account_number_a")
@router.return_request_status_update(where=lambda event: bool(event.id))
async def filtered(event: InstantPaymentEvent) -> None:
    """Take what the filters let through."""


@router.posted(retries=(1, 5, 60), timeout=10)
@router.rejected()
async def filtered_with_context(event: InstantPaymentEvent, context: Context) -> int:
    """Give something back, which nobody looks at."""
    return context.attempt


@router.on("ach.*", "wire.posted")
@router.unhandled
async def general(event: Event) -> None:
    """Take any event."""


@router.on("instant_payment.posted", direction="incoming", unlisted=False, retries=[0.5], timeout=1.5)
@router.unhandled(retries=(), timeout=10)
async def general_with_context(event: Event, context: Context) -> None:
    """Take any event and the context."""


async def receive(body: bytes) -> int:
    """Use what the front door gives."""
    assert_type(parse(body), Event)
    assert_type(sign(body, "secret", 0), str)
    assert_type(verify(body, None, ["secret"], now_ms=0).secret_index, int)
    assert_type(load_plugins(router, only=["ledger"], skip=["ledger:second"], on_error="skip"), tuple[Plugin, ...])
    receiver = WebhookReceiver(router, secrets=["secret"])
    return await receiver.receive(body=body, headers={})
