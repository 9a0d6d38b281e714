"""Handlers that are wrong, each in one way, and what an exam must say of it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from leadpay import Context, Event, InstantPaymentEvent, WebhookRouter
from leadpay.enums import CounterpartyStatus, Status

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS credits (payment_id TEXT, cents INTEGER)",
    "CREATE TABLE IF NOT EXISTS statuses (payment_id TEXT PRIMARY KEY, status TEXT)",
)
CREDIT: Final = "INSERT INTO credits VALUES (?, ?)"
SET: Final = "INSERT INTO statuses VALUES (?, ?) ON CONFLICT (payment_id) DO UPDATE SET status = excluded.status"


class Broken(NamedTuple):
    """A router, what an exam observes, and the kind of finding."""

    router: WebhookRouter
    observe: Callable[[], Any] | None
    kind: str


def adds_to_a_balance() -> Broken:
    """A total outside of the transaction grows with every attempt."""
    router, balance = WebhookRouter("broken"), Counter[str]()

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent) -> None:
        balance["cents"] += event.payment.amount

    return Broken(router, lambda: dict(balance), "not_idempotent")


def appends_outside_the_transaction() -> Broken:
    """A list outside of the transaction gets a second entry after a crash."""
    router, sent = WebhookRouter("broken"), list[str]()

    @router.rejected
    async def notify(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(CREDIT, (event.payment.id, 0))
        sent.append(event.payment.id)

    return Broken(router, lambda: list(sent), "not_idempotent")


def remembers_before_it_acts() -> Broken:
    """It marks the event as seen in memory, and then the effect is rolled back."""
    router, seen = WebhookRouter("broken"), set[str]()

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        if event.id not in seen:
            seen.add(event.id)
            await context.transaction.execute(CREDIT, (event.payment.id, event.payment.amount))

    return Broken(router, None, "not_idempotent")


def lets_the_last_event_win() -> Broken:
    """It writes each event's status, also one that is older than what it wrote before."""
    router = WebhookRouter("broken")

    @router.on("instant_payment.*")
    async def write(event: Event, context: Context) -> None:
        assert isinstance(event, InstantPaymentEvent)
        await context.transaction.execute(SET, (event.payment.id, str(event.payment.status)))

    return Broken(router, None, "depends_on_the_order")


def needs_an_earlier_event() -> Broken:
    """It updates a row that another handler has not made yet if the events come in another order."""
    router = WebhookRouter("broken")

    @router.posted(direction="outgoing", is_return=False)
    async def first(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute(SET, (event.payment.id, "posted"))

    @router.counterparty_status_updated
    async def then(event: InstantPaymentEvent, context: Context) -> None:
        if event.payment.counterparty_status == CounterpartyStatus.POSTED:
            update = "UPDATE statuses SET status = 'arrived' WHERE payment_id = ?"
            await context.transaction.execute(update, (event.payment.id,))

    return Broken(router, None, "depends_on_the_order")


def fails_without_an_earlier_event() -> Broken:
    """It reads what an earlier event has written, and there is nothing yet."""
    router = WebhookRouter("broken")
    known: dict[str, int] = {}

    @router.posted(direction="incoming", is_return=False)
    async def first(event: InstantPaymentEvent) -> None:
        known[event.payment.id] = event.payment.amount

    @router.return_request_response_needed
    async def then(event: InstantPaymentEvent) -> None:
        known[event.payment.id] += 0

    return Broken(router, lambda: dict(known), "depends_on_the_order")


def refunds_twice() -> Broken:
    """Two handlers look at the same field of the newest object."""
    router = WebhookRouter("broken")

    async def refund(event: InstantPaymentEvent, context: Context) -> None:
        if event.payment.counterparty_status == CounterpartyStatus.REJECTED:
            await context.transaction.execute(CREDIT, (event.payment.id, event.payment.amount))

    router.posted(
        refund,
    )
    router.counterparty_status_updated(refund)
    return Broken(router, None, "takes_the_object_for_a_snapshot")


def takes_an_unknown_word_for_no() -> Broken:
    """Whatever is not posted and not under review is refunded."""
    router = WebhookRouter("broken")

    @router.counterparty_status_updated
    async def decide(event: InstantPaymentEvent, context: Context) -> None:
        known = (CounterpartyStatus.POSTED, CounterpartyStatus.UNDER_REVIEW)
        if event.payment.counterparty_status not in known and not context.is_stale:
            await context.transaction.execute(SET, (event.payment.id, "refunded"))

    return Broken(router, None, "misreads_unknown_words")


def fails_on_an_unknown_word() -> Broken:
    """A table of words without a default."""
    router, seen = WebhookRouter("broken"), dict[str, str]()
    words = {Status.POSTED: "paid", Status.REJECTED: "failed", Status.UNDER_REVIEW: "waiting"}

    @router.rejected
    async def translate(event: InstantPaymentEvent) -> None:
        seen[event.payment.id] = words[event.payment.status]

    return Broken(router, lambda: dict(seen), "misreads_unknown_words")


def hides_errors() -> Broken:
    """Whatever goes wrong, the event is done."""
    router = WebhookRouter("broken")

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        with contextlib.suppress(Exception):
            await context.transaction.execute(CREDIT, (event.payment.id, event.payment.amount))

    return Broken(router, None, "swallows_errors")


def hides_cancellations() -> Broken:
    """A timeout or a shutdown counts as a success."""
    router = WebhookRouter("broken")

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await context.transaction.execute(CREDIT, (event.payment.id, event.payment.amount))

    return Broken(router, None, "swallows_errors")


def never_runs() -> Broken:
    """Its filter asks for what no payment is."""
    router = WebhookRouter("broken")

    @router.posted(where=lambda event: event.payment.status == "paid")
    async def credit(event: InstantPaymentEvent) -> None: ...

    return Broken(router, None, "takes_no_part")


def works_on_after_its_end() -> Broken:
    """A task that it doesn't wait for is lost with the process."""
    router, tasks = WebhookRouter("broken"), set[asyncio.Task[None]]()

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent) -> None:
        tasks.add(asyncio.create_task(asyncio.sleep(60)))

    return Broken(router, None, "leaves_work_behind")


def fails_always() -> Broken:
    """There is no such table."""
    router = WebhookRouter("broken")

    @router.posted(direction="incoming")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute("INSERT INTO debits VALUES (?)", (event.payment.amount,))

    return Broken(router, None, "fails")


BROKEN: Final = (
    adds_to_a_balance,
    appends_outside_the_transaction,
    remembers_before_it_acts,
    lets_the_last_event_win,
    needs_an_earlier_event,
    fails_without_an_earlier_event,
    refunds_twice,
    takes_an_unknown_word_for_no,
    fails_on_an_unknown_word,
    hides_errors,
    hides_cancellations,
    never_runs,
    works_on_after_its_end,
    fails_always,
)
