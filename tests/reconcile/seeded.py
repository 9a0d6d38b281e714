"""A day at the simulated bank, into which findings of every kind are put in random numbers."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import attrs

from leadpay.client import LeadClient
from leadpay.converter import encode, unstructure
from leadpay.inbox import Worker, open_inbox
from leadpay.models import Agent, Event, InstantPayment, Party
from leadpay.outbox import Outbox, open_outbox
from leadpay.outbox.store import Rows, Statement
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.sandbox.models import IncomingOrder, PaymentOrder, Reason
from leadpay.sandbox.models import Party as BankParty
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import WebhookRouter

NIGHT = datetime(2026, 11, 24, 5, tzinfo=UTC)
"""Midnight in New York."""

END = NIGHT + timedelta(days=1)
ACCOUNTS = ("account_number_1", "account_number_2")
OUTCOMES = ("posted", "rejected_by_counterparty:account_closed", "returned:account_closed", "silent", "reviewed")


class Day:
    """The bank, the inbox, the outbox, and what a report must find."""

    def __init__(
        self, *, seed: int, bank: Sandbox, lead: LeadClient, inbox: Any, outbox: Outbox, clock: ManualClock
    ) -> None:
        self.random = Random(seed)  # noqa: S311 - a test's
        self.bank = bank
        self.lead = lead
        self.inbox = inbox
        self.outbox = outbox
        self.clock = clock
        self.expected: Counter[tuple[str, str]] = Counter()
        """Kind and ID of each finding."""
        self.lost: set[str] = set()
        self.broken: dict[str, str] = {}
        """Event ID -> ``dead``, ``unhandled`` or ``unreadable``."""
        self.altered: dict[str, int] = {}
        """Event ID -> another amount."""
        self.references = iter(f"order-{number}" for number in range(10_000))

    # The day as it should be.

    async def send(self, outcome: str | None = None, *, queued: bool = True) -> str:
        """Send a payment, from the outbox or from elsewhere."""
        core = self.bank.bank
        core.next_payment(outcome or self.random.choice(OUTCOMES))
        account, amount = self.random.choice(ACCOUNTS), self.random.randrange(1, 10**6)
        holder = BankParty("Alex Smith", f"12345{self.random.randrange(10**6):06}")
        order = PaymentOrder(account_number_id=account, amount=amount, creditor=holder, creditor_agent="111000111")
        payment = core.send(order)
        if queued:
            await self.queue(payment.id, account, amount, holder)
        return payment.id

    async def queue(self, payment_id: str | None, account: str, amount: int, holder: BankParty) -> str:
        """Put the instruction of a payment into the outbox."""
        reference = next(self.references)
        await self.outbox.send(
            reference=reference,
            account_number_id=account,
            amount=amount,
            creditor=Party(name=holder.name, account_number=holder.account_number),
            creditor_agent=Agent(routing_number="111000111"),
        )
        if payment_id is not None:
            await self.mark(reference, state="accepted", payment_id=payment_id)
        return reference

    def receive(self) -> None:
        """Receive a payment."""
        self.bank.bank.simulate_incoming(
            IncomingOrder(
                creditor_account_number_id=self.random.choice(ACCOUNTS),
                amount=self.random.randrange(1, 10**6),
                debtor=BankParty("Robin Brown", "7654321"),
                debtor_agent="111000111",
            )
        )

    async def mark(self, reference: str, **columns: Any) -> None:
        """Write what a sender would write."""
        changes = ", ".join(f"{name} = :{name}" for name in columns)

        def plan() -> Generator[Statement, Rows, None]:
            sql = f"UPDATE leadpay_instructions SET {changes} WHERE reference = :reference"  # noqa: S608 - our own columns
            yield Statement(sql, {**columns, "reference": reference})

        await self.outbox.store.run(plan)

    async def track(self) -> None:
        """Move each instruction on to what the bank says, as events would."""
        async for one in self.outbox.instructions():
            if (
                one.payment_id is not None
                and one.payment is None
                and one.payment_id.startswith("instant_payment_x") is False
            ):
                payment = await self.lead.instant_payments.retrieve(one.payment_id)
                outcome = _outcome(payment)
                await self.mark(one.reference, outcome=outcome, payment=encode(unstructure(payment)))

    # What goes wrong.

    async def seed(self) -> None:
        """Put findings of every kind into the day."""
        wrongs: list[Callable[[], Any]] = [
            self.unknown_to_bank,
            self.in_doubt_with_a_payment,
            self.in_doubt_without_a_payment,
            self.not_from_here,
            self.amount_differs,
            self.outcome_differs,
            self.used_twice,
        ]
        for wrong in wrongs:
            for _ in range(self.random.randrange(3)):
                await wrong()

    async def seed_late(self) -> None:
        """Change what the bank says, once nothing moves any more."""
        for _ in range(self.random.randrange(3)):
            await self.without_original()

    async def unknown_to_bank(self) -> None:
        """The outbox believes in a payment that the bank does not have."""
        reference = await self.queue(f"instant_payment_x{self.random.randrange(10**9)}", ACCOUNTS[0], 5, HOLDER)
        found = await self.outbox.get(reference)
        assert found is not None
        self.expected["unknown_to_bank", str(found.payment_id)] += 1

    async def in_doubt_with_a_payment(self) -> None:
        """The bank has it, and the outbox does not know."""
        payment_id = await self.send("posted", queued=False)
        payment = self.bank.bank.retrieve(payment_id)
        reference = await self.queue(None, payment.account.id, payment.amount, payment.creditor)
        await self.mark(reference, state="in_doubt", needs_person=1, first_attempt_at=_micro(NIGHT))
        self.expected["in_doubt", reference] += 1

    async def in_doubt_without_a_payment(self) -> None:
        """Neither side can tell."""
        reference = await self.queue(None, ACCOUNTS[0], 10**7 + self.random.randrange(10**6), HOLDER)
        await self.mark(reference, state="in_doubt", needs_person=1, first_attempt_at=_micro(NIGHT))
        self.expected["in_doubt", reference] += 1

    async def not_from_here(self) -> None:
        """Another program has sent it."""
        payment_id = await self.send("posted", queued=False)
        self.expected["not_from_here", payment_id] += 1

    async def amount_differs(self) -> None:
        """The outbox has another amount."""
        payment_id = await self.send("posted")
        [one] = [one async for one in self.outbox.instructions(payment_id=payment_id)]
        await self.mark(one.reference, amount=(one.amount or 0) + 1)
        self.expected["differs", payment_id] += 1

    async def outcome_differs(self) -> None:
        """The outbox takes a returned payment for one that arrived."""
        payment_id = await self.send("returned:account_closed")
        [one] = [one async for one in self.outbox.instructions(payment_id=payment_id)]
        data = {**self.json(payment_id), "status": "posted", "counterparty_status": "posted"}
        await self.mark(one.reference, outcome="arrived", payment=json.dumps(data).encode())
        self.expected["differs", payment_id] += 1

    def json(self, payment_id: str) -> dict[str, Any]:
        """Give a payment as the bank shows it."""
        from leadpay.sandbox import serialization  # noqa: PLC0415 - of the bank's own

        return serialization.payment(self.bank.bank.retrieve(payment_id))

    async def without_original(self) -> None:
        """A return names no payment, or one that is gone."""
        incoming = [
            one
            for one in self.bank.bank.payments.all()
            if one.direction == "incoming" and one.return_ is None and one.created_at >= NIGHT
        ]
        payment = self.random.choice(incoming)
        gone = self.random.choice([None, "instant_payment_gone"])
        changed = attrs.evolve(payment, return_=Reason("duplication"), original_payment_id=gone)
        self.bank.bank.payments.put(changed)
        self.expected["return_without_original", payment.id] += 1

    async def used_twice(self) -> None:
        """Two instructions have one idempotency key."""
        payment_id = await self.send("posted")
        payment = self.bank.bank.retrieve(payment_id)
        [one] = [one async for one in self.outbox.instructions(payment_id=payment_id)]
        other = await self.queue(None, payment.account.id, payment.amount, payment.creditor)
        await self.mark(other, state="refused", outcome="refused", key=one.idempotency_key)
        self.expected["used_twice", payment_id] += 1

    async def overdue(self) -> None:
        """Have a payment rejected after it posted, and not come back."""
        payment_id = await self.send("posted", queued=False)
        await self.clock.advance(60)
        payment = self.bank.bank.retrieve(payment_id)
        self.bank.bank.payments.put(attrs.evolve(payment, status="posted", counterparty_status="rejected"))
        self.expected["return_overdue", payment_id] += 1

    # The inbox.

    async def deliver(self) -> None:
        """Deliver the day's events but for the lost ones, handle them, and leave some in each bad state."""
        events = [event async for event in self.lead.events.list(created_on_or_after=NIGHT, limit=100)]
        for event in reversed(events):
            chance = self.random.random()
            if chance < 0.1:
                self.lost.add(event.id)
                self.expected["event_missing", event.id] += 1
            elif chance < 0.2:
                self.broken[event.id] = self.random.choice(["dead", "unhandled", "unreadable"])
                self.expected["event_not_handled", event.id] += 1
            elif chance < 0.25:
                self.altered[event.id] = self.random.randrange(10**7, 10**8)
                self.expected["differs", str(event.payment_id)] += 1
        for event in reversed(events):
            if event.id not in self.lost:
                await self.add(event)
        worker = Worker(self.inbox, self.router(), clock=ManualClock(END.timestamp()), body_retention_days=None)
        await worker.run_due()
        self.expect_sums(events)

    async def add(self, event: Event) -> None:
        """Add one event, as it is, altered or unreadable."""
        if self.broken.get(event.id) == "unreadable":
            await self.inbox.add_unreadable(event.id, b"{}", ["$: unreadable"], received_at=event.created_at)
            return
        data: Any = unstructure(event)
        if event.id in self.altered:
            data = {**data, "object": {**data["object"], "amount": self.altered[event.id]}}
        body = encode(data)
        await self.inbox.add(parse(body), body, received_at=event.created_at)

    def router(self) -> WebhookRouter:
        """Make handlers that fail for dead events and take no unhandled ones."""
        router = WebhookRouter("seeded")

        @router.on("*", retries=(), where=lambda event: self.broken.get(event.id) != "unhandled")
        async def handle(event: Event) -> None:
            if self.broken.get(event.id) == "dead":
                raise ValueError

        return router

    def expect_sums(self, events: Sequence[Event]) -> None:
        """Add up what is known by the newest event of each payment, and compare it with the bank's own ledger."""
        ours, theirs = Counter[str](), Counter[str]()
        for payment in self.bank.bank.payments.all():
            if payment.created_at >= NIGHT and payment.status == "posted":
                theirs[payment.account.id] += payment.amount * (1 if payment.direction == "incoming" else -1)
        newest: dict[str, tuple[Any, ...]] = {}
        for event in events:
            known = event.id not in self.lost and self.broken.get(event.id) != "unreadable"
            if known and isinstance(event.object, InstantPayment):
                key = (-event.object.updated_at.timestamp(), event.id)
                newest[event.object.id] = min(
                    newest.get(event.object.id, (key, event)), (key, event), key=lambda one: one[0]
                )
        for _, event in newest.values():
            payment = event.object
            amount = self.altered.get(event.id, payment.amount)
            if payment.status == "posted":
                ours[payment.account_number_id] += amount * (1 if payment.direction == "incoming" else -1)
        for account in {*ours, *theirs}:
            if ours[account] != theirs[account]:
                self.expected["sum_differs", account] += 1


HOLDER = BankParty("Alex Smith", "1234567890")


def _outcome(payment: InstantPayment) -> str | None:
    if payment.status in ("rejected", "canceled"):
        return str(payment.status)
    if payment.counterparty_status == "rejected":
        return "returned" if payment.return_payment_ids else "rejected"
    return "arrived" if payment.has_arrived else None


def _micro(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000)


@asynccontextmanager
async def seeded_day(seed: int) -> AsyncIterator[Day]:
    """Let a day pass."""
    clock = ManualClock((NIGHT - timedelta(days=20)).timestamp())
    async with (
        Sandbox(clock=clock, delay=1, seed=seed) as bank,
        bank.client(clock=clock) as lead,
        open_inbox("sqlite:///:memory:") as inbox,
        open_outbox("sqlite:///:memory:", clock=clock) as outbox,
    ):
        day = Day(seed=seed, bank=bank, lead=lead, inbox=inbox, outbox=outbox, clock=clock)
        for _ in range(day.random.randrange(3)):
            await day.overdue()
        await clock.advance(20 * 86_400 + 3600)
        for _ in range(day.random.randrange(2, 6)):
            await day.send()
            day.receive()
            await clock.advance(day.random.randrange(60, 600))
        await day.seed()
        await clock.advance(3600)
        await day.seed_late()
        await day.track()
        await day.deliver()
        yield day


@asynccontextmanager
async def quiet_day(*, lost: bool = False) -> AsyncIterator[Day]:
    """Let a day pass on which one payment is sent and one comes in, and nothing goes wrong."""
    clock = ManualClock((NIGHT + timedelta(hours=1)).timestamp())
    async with (
        Sandbox(clock=clock, delay=1, seed=1) as bank,
        bank.client(clock=clock) as lead,
        open_inbox("sqlite:///:memory:") as inbox,
        open_outbox("sqlite:///:memory:", clock=clock) as outbox,
    ):
        day = Day(seed=1, bank=bank, lead=lead, inbox=inbox, outbox=outbox, clock=clock)
        order = PaymentOrder(account_number_id=ACCOUNTS[0], amount=500, creditor=HOLDER, creditor_agent="111000111")
        payment = bank.bank.send(order)
        await day.queue(payment.id, ACCOUNTS[0], 500, HOLDER)
        bank.bank.simulate_incoming(
            IncomingOrder(creditor_account_number_id=ACCOUNTS[0], amount=700, debtor=HOLDER, debtor_agent="111000111")
        )
        await clock.advance(600)
        await day.track()
        if not lost:
            for event in [event async for event in lead.events.list(limit=100)]:
                await day.add(event)
            await Worker(inbox, day.router(), clock=ManualClock(END.timestamp())).run_due()
        yield day
