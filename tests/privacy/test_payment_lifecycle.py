"""A payment from send to return, with webhooks, handlers, an inbox and dead letters: nothing leaks."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from leadpay.client import LeadClient
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker
from leadpay.models import InstantPaymentEvent
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.context import Context, Defer, Discard
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from tests.privacy.leaks import (
    AGENT,
    CLIENT_SECRET,
    DETAILS,
    MESSAGE,
    OTHER,
    PAYMENT,
    REASON,
    WEBHOOK_SECRET,
    LeakDetector,
    find_canaries,
)


def make_router(leaks: LeakDetector) -> WebhookRouter:
    """Handlers that end in every possible way, and record their arguments."""
    router = WebhookRouter("canaries")

    @router.posted(direction="outgoing", retries=())
    async def fail(event: InstantPaymentEvent, context: Context) -> None:
        leaks.record(event=event, context=context)
        raise ValueError(MESSAGE, event.payment.creditor.name)

    @router.posted(direction="incoming")
    async def discard(event: InstantPaymentEvent) -> None:
        raise Discard(REASON)

    @router.posted(direction="incoming")
    async def defer(event: InstantPaymentEvent, context: Context) -> None:
        if context.attempt == 1:
            raise Defer(3600)

    @router.counterparty_status_update
    async def refresh(event: InstantPaymentEvent, context: Context) -> None:
        leaks.record(refreshed=await context.refresh())

    @router.return_request_response_needed(timeout=0.01, retries=())
    async def hang(event: InstantPaymentEvent) -> None:
        await asyncio.Event().wait()

    return router


async def use_all_operations(lead: LeadClient, clock: ManualClock, leaks: LeakDetector) -> None:
    """Call every operation of payments and events."""
    why: dict[str, Any] = {"reason": "narrative", "additional_information": DETAILS}
    calls = lead.instant_payments
    sent = await calls.send(**PAYMENT)
    await clock.advance(60)
    asked = await calls.request_return(sent.id, **why)
    await lead.simulate.incoming_return_request_rejection(sent.id, **why)
    await clock.advance(60)
    await lead.simulate.incoming(account_number_id="account_number_1", amount=7, debtor=OTHER, debtor_agent=AGENT)
    await clock.advance(60)
    (received,) = (await calls.list(direction="incoming")).objects
    await lead.simulate.incoming_return_request(received.id, **why)
    await clock.advance(60)
    rejected = await calls.reject_return_request(received.id, **why)
    returned = await calls.return_payment(received.id, **why)
    canceled = await calls.cancel((await calls.send(**PAYMENT)).id)
    await clock.advance(60)
    leaks.record(sent=sent, asked=asked, received=received, rejected=rejected, returned=returned, canceled=canceled)
    leaks.record(available=await calls.check_availability("111000111"), read=await calls.retrieve(sent.id))
    page, events = await calls.list(), await lead.events.list()
    leaks.record(page=page, pages=calls.list(), events=events, event=await lead.events.retrieve(events.objects[0].id))
    # The detector finds canaries: the objects that the program gets have them.
    assert {"name", "account number", "description"} <= find_canaries(
        str([one.creditor.name for one in page.objects])
        + str([(one.creditor.account_number, one.description) for one in page.objects])
    )


@pytest.mark.asyncio
async def test_the_lifecycle_of_a_payment_leaks_no_personal_data(leaks: LeakDetector, tmp_path: Path) -> None:
    """Only bodies of stored events have names and numbers; after a purge, the database file has none."""
    clock, path = ManualClock(), tmp_path / "inbox.db"
    settings: dict[str, Any] = {"client_secret": CLIENT_SECRET, "webhook_secret": WEBHOOK_SECRET}
    async with (
        Sandbox(clock=clock, delay=1, faults=["response_lost:send:1"], **settings) as bank,
        SqliteInbox(path) as inbox,
        bank.client(observer=leaks.observe, clock=_InstantClock(clock)) as lead,
    ):
        secrets = [WEBHOOK_SECRET]
        receiver = WebhookReceiver(
            make_router(leaks),
            secrets=secrets,
            inbox=inbox,
            client=lead,
            clock=clock,
            work=False,
            observer=leaks.observe,
        )
        async with listening(receiver) as bank.webhook_url:
            await use_all_operations(lead, clock, leaks)
        worker = Worker(inbox, receiver.dispatcher, client=lead)
        await worker.run_due()
        leaks.canaries |= {f"token {number}": token for number, token in enumerate(bank.tokens._grants)}
        leaks.record(lead=lead, receiver=receiver, bank=bank, inbox=inbox, worker=worker, router=receiver.router)
        stored = [one async for one in inbox.events()]
        await record_dead_letters(stored, leaks)
        leaks.record(stats=await inbox.stats())
        assert sum(count for count, _ in leaks.told.points()["lead.inbox.dead_letters"]) == 3
        for one in stored:
            await inbox.discard(one.event_id, reason="", now=clock.now())
        await inbox.purge(before=datetime.max.replace(tzinfo=UTC))
    assert find_canaries(path.read_bytes().decode("latin-1")) == {"discarding"}


async def record_dead_letters(stored: list[Any], leaks: LeakDetector) -> None:
    """Record dead letters without their bodies, which are allowed to have personal data."""
    ended = [(one.state, handling.error) for one in stored for handling in one.handler_runs.values()]
    assert {state for state, _ in ended} >= {"dead", "waiting"}
    assert REASON in [error for _, error in ended]
    errors = [error for _, error in ended if error not in {None, REASON}]
    assert any("ValueError" in str(error) for error in errors)
    assert any("TimeoutError" in str(error) for error in errors)
    leaks.record(dead_letters="\n".join(map(str, errors)))
    assert {"name", "other account number", "details"} <= find_canaries(b"".join(one.body for one in stored).decode())
    leaks.record(stored=[attrs.evolve(one, handler_runs={}) for one in stored])


class _InstantClock:
    """The time of the bank; sleeping returns at once."""

    def __init__(self, clock: ManualClock) -> None:
        self.now, self.monotonic = clock.now, clock.monotonic

    async def sleep(self, seconds: float) -> None:
        """Return at once."""
