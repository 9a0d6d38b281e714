"""Never run, only read by type checkers: what decorators and contexts accept, and what they refuse."""

from typing import Any, assert_type

from leadpay.client import LeadClient
from leadpay.enums import CounterpartyStatus, Direction, Status
from leadpay.models import Event, InstantPayment, InstantPaymentEvent
from leadpay.storage.postgres.transaction import PostgresConnection
from leadpay.storage.sqlite.transaction import SqliteConnection
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
    """Return something, which is ignored."""
    return context.attempt


@router.on("ach.*", "wire.posted")
@router.unhandled
async def general(event: Event) -> None:
    """Take any event."""


@router.on("instant_payment.posted", direction="incoming", unlisted=False, retries=[0.5], timeout=1.5)
@router.unhandled(retries=(), timeout=10)
async def general_with_context(event: Event, context: Context) -> None:
    """Take any event and the context."""


class Ledger:
    """What a lifespan yields."""

    async def credit(self, amount: int) -> None:
        """Credit."""


@router.posted
async def with_state(event: InstantPaymentEvent, context: Context[Ledger]) -> None:
    """Name the type of the state."""
    await context.state.credit(event.payment.amount)
    await context.state.debit(event.payment.amount)  # type: ignore[attr-defined]


@router.posted
async def with_connection(event: InstantPaymentEvent, context: Context[None, SqliteConnection]) -> None:
    """Name the type of the transaction."""
    assert_type(await context.transaction.execute("SELECT 1"), list[tuple[Any, ...]])
    assert_type(context.state, None)


@router.unhandled
async def plain(event: Event, context: Context) -> None:
    """Name no type: the transaction is that of one of our stores."""
    assert_type(context.transaction, SqliteConnection | PostgresConnection)
    assert_type(context.client, LeadClient)
    assert_type(await context.client.instant_payments.retrieve("instant_payment_a"), InstantPayment)
    await context.transaction.execute("SELECT 1")
    await context.transaction.comit()  # type: ignore[union-attr]
    context.client.instant_payment  # type: ignore[attr-defined]  # noqa: B018


@router.posted(direction=Direction.INCOMING, status=[Status.POSTED, "rejected"])
@router.rejected(counterparty_status=(CounterpartyStatus.POSTED,), where=lambda event: event.payment.is_return)
@router.on("instant_payment.*", direction=["incoming", "outgoing"], account_id="account_a")
async def enums(event: Event) -> None:
    """Take enums and their literals, one or several."""


async def handler(event: InstantPaymentEvent) -> None:
    """Take the payment."""


async def no_context(event: InstantPaymentEvent, retries: int) -> None:
    """Take a second argument that is no context."""


def not_async(event: InstantPaymentEvent) -> None:
    """Forget async."""


# What is refused when a program is imported is refused by type checkers, too.
router.posted(direction="inbound")(handler)  # type: ignore[arg-type]
router.posted(direction=["incoming", "sideways"])(handler)  # type: ignore[list-item]
router.posted(status="postd")(handler)  # type: ignore[arg-type]
router.posted(status=Direction.INCOMING)(handler)  # type: ignore[arg-type]
router.posted(counterparty_status="created")(handler)  # type: ignore[arg-type]
router.posted(is_return="no")(handler)  # type: ignore[call-overload]
router.posted(amount=5)(handler)  # type: ignore[call-overload]
router.posted(where=lambda event: event.payment.amont > 5)(handler)  # type: ignore[attr-defined]
router.on("ach.*", direction="inbound")(general)  # type: ignore[arg-type]
router.on("ach.*", where=lambda event: bool(event.payment))(general)  # type: ignore[attr-defined]
router.unhandled(direction="incoming")(general)  # type: ignore[call-overload]
router.posted(no_context)  # type: ignore[type-var]
router.posted(not_async)  # type: ignore[type-var]
router.posted(timeout=5)(not_async)  # type: ignore[type-var]


async def receive(body: bytes) -> int:
    """Use the functions of ``leadpay.webhooks``."""
    assert_type(parse(body), Event)
    assert_type(sign(body, "secret", 0), str)
    assert_type(verify(body, None, ["secret"], now_ms=0).secret_index, int)
    assert_type(load_plugins(router, only=["ledger"], skip=["ledger:second"], on_error="skip"), tuple[Plugin, ...])
    receiver = WebhookReceiver(router, secrets=["secret"])
    return await receiver.receive(body=body, headers={})
