"""A payment's whole life: calls, webhooks, handlers, an inbox and its dead letters; nothing of it gets out."""

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
from tests.privacy.net import (
    AGENT,
    CLIENT_SECRET,
    DETAILS,
    MESSAGE,
    OTHER,
    PAYMENT,
    REASON,
    WEBHOOK_SECRET,
    Net,
    caught,
)


def make_router(net: Net) -> WebhookRouter:
    """Handlers that end in every way there is, and show what they were given."""
    router = WebhookRouter("canaries")

    @router.posted(direction="outgoing", retries=())
    async def fail(event: InstantPaymentEvent, context: Context) -> None:
        net.show(event=event, context=context)
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
        net.show(refreshed=await context.refresh())

    @router.return_request_response_needed(timeout=0.01, retries=())
    async def hang(event: InstantPaymentEvent) -> None:
        await asyncio.Event().wait()

    return router


async def live(lead: LeadClient, clock: ManualClock, net: Net) -> None:
    """Do all that can be done with payments."""
    why: dict[str, str] = {"reason": "narrative", "additional_information": DETAILS}
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
    turned_down = await calls.reject_return_request(received.id, **why)
    returned = await calls.return_payment(received.id, **why)
    canceled = await calls.cancel((await calls.send(**PAYMENT)).id)
    await clock.advance(60)
    net.show(sent=sent, asked=asked, received=received, turned_down=turned_down, returned=returned, canceled=canceled)
    net.show(available=await calls.check_availability("111000111"), read=await calls.retrieve(sent.id))
    page, events = await calls.list(), await lead.events.list()
    net.show(page=page, pages=calls.list(), events=events, event=await lead.events.retrieve(events.objects[0].id))
    # The net has holes of the right size: what the program itself gets has it all.
    assert {"name", "account number", "description"} <= caught(
        str([one.creditor.name for one in page.objects])
        + str([(one.creditor.account_number, one.description) for one in page.objects])
    )


@pytest.mark.asyncio
async def test_a_payment_s_whole_life_leaves_nothing_where_it_does_not_belong(net: Net, tmp_path: Path) -> None:
    """Only the inbox has names and numbers, in the bodies of events, and once they are purged not even its file."""
    clock, path = ManualClock(), tmp_path / "inbox.db"
    settings: dict[str, Any] = {"client_secret": CLIENT_SECRET, "webhook_secret": WEBHOOK_SECRET}
    async with (
        Sandbox(clock=clock, delay=1, faults=["answer_lost:send:1"], **settings) as bank,
        SqliteInbox(path) as inbox,
        bank.client(observer=net.observe, clock=_Leaping(clock)) as lead,
    ):
        secrets = [WEBHOOK_SECRET]
        receiver = WebhookReceiver(
            make_router(net),
            secrets=secrets,
            inbox=inbox,
            client=lead,
            clock=clock,
            work=False,
            observer=net.observe,
        )
        async with listening(receiver) as bank.webhook_url:
            await live(lead, clock, net)
        worker = Worker(inbox, receiver.dispatcher, client=lead)
        await worker.run_due()
        net.canaries |= {f"token {number}": token for number, token in enumerate(bank.tokens._grants)}
        net.show(lead=lead, receiver=receiver, bank=bank, inbox=inbox, worker=worker, router=receiver.router)
        kept = [one async for one in inbox.events()]
        await look_at(kept, net)
        net.show(stats=await inbox.stats())
        assert sum(count for count, _ in net.told.points()["lead.inbox.dead_letters"]) == 3
        for one in kept:
            await inbox.discard(one.event_id, reason="", now=clock.now())
        await inbox.purge(before=datetime.max.replace(tzinfo=UTC))
    assert caught(path.read_bytes().decode("latin-1")) == {"discarding"}


async def look_at(kept: list[Any], net: Net) -> None:
    """Show what is known of dead letters; a body is where the rest belongs."""
    ended = [(one.state, handling.error) for one in kept for handling in one.handler_runs.values()]
    assert {state for state, _ in ended} >= {"dead", "waiting"}
    assert REASON in [error for _, error in ended]
    errors = [error for _, error in ended if error not in {None, REASON}]
    assert any("ValueError" in str(error) for error in errors)
    assert any("TimeoutError" in str(error) for error in errors)
    net.show(dead_letters="\n".join(map(str, errors)))
    assert {"name", "other account number", "details"} <= caught(b"".join(one.body for one in kept).decode())
    net.show(events=[attrs.evolve(one, handler_runs={}) for one in kept])


class _Leaping:
    """The bank's own time; whoever waits moves on at once."""

    def __init__(self, clock: ManualClock) -> None:
        self.now, self.monotonic = clock.now, clock.monotonic

    async def sleep(self, seconds: float) -> None:
        """Move on."""
