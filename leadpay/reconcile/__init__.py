"""Reconcile a day: the outbox, the inbox and the bank's lists side by side.

::

    report = await reconcile(lead, inbox=inbox, outbox=outbox, start=start, end=end)
    for finding in report.findings:
        print(finding.kind, finding.evidence, finding.remedy)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from leadpay.business_days import NEW_YORK
from leadpay.client import LeadClient
from leadpay.clock import Clock, SystemClock, utc_datetime
from leadpay.converter import encode, unstructure
from leadpay.enums import CounterpartyStatus, Status
from leadpay.errors import (
    ConfigurationError,
    InstructionStateError,
    MalformedEventError,
    MalformedResponseError,
    NotFoundError,
)
from leadpay.inbox import Inbox, StoredEvent
from leadpay.inbox.store import DEFAULT
from leadpay.models import Event, InstantPayment, InstantPaymentEvent
from leadpay.outbox import Instruction, Outbox
from leadpay.reconcile.findings import (
    Finding,
    Total,
    compare_events,
    compare_outbox,
    compare_sums,
    in_order,
    overdue,
    totals,
)
from leadpay.reconcile.workspace import Workspace, payment_words, told_row
from leadpay.webhooks.event import parse

T = TypeVar("T")

RETURN_DAYS: Final = 5
"""How many business days the money of a payment may take to come back that was rejected after it posted."""

LOOK_BACK: Final = timedelta(days=30)
"""How far before the report's time such payments are looked for."""

RETENTION: Final = timedelta(days=90)
"""How long the bank lists events."""

EARLY: Final = timedelta(hours=1)
"""How much earlier than it was created an event may have been received, since clocks differ."""

SKEW: Final = timedelta(minutes=5)
"""How far the bank's clock may be behind ours when a payment is looked for that may have been sent."""

PAGE: Final = 100
"""How many objects are read and stored at a time."""

Progress: TypeAlias = Callable[[str, int], object]
"""Is called with the name of a list and how much of it has been read."""


@attrs.frozen(kw_only=True)
class Report:
    """What a day's lists say."""

    start: datetime
    end: datetime
    account_number_id: str | None
    payments: int
    """How many payments the bank lists."""
    events: int
    """How many events the bank lists."""
    instructions: int
    """How many instructions of the outbox were compared."""
    findings: tuple[Finding, ...]
    """What differs, in an order that is the same every time."""
    repaired: tuple[Finding, ...]
    """What a repair has repaired, and is in ``findings`` no more."""
    totals: tuple[Total, ...]
    """What moved, by account number."""
    unknown: tuple[str, ...]
    """What could not be told, and why."""


def day_of(day: date) -> tuple[datetime, datetime]:
    """Give the start and the end of a day in New York, where the bank's days begin."""
    return (
        datetime.combine(day, time(), NEW_YORK),
        datetime.combine(day + timedelta(days=1), time(), NEW_YORK),
    )


async def reconcile(
    lead: LeadClient,
    *,
    start: datetime,
    end: datetime,
    inbox: Inbox | None = None,
    outbox: Outbox | None = None,
    account_number_id: str | None = None,
    consumer: str = DEFAULT,
    return_days: int = RETURN_DAYS,
    repair: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare what the bank lists with what the inbox and the outbox hold.

    Two runs over the same time give the same report, if nothing has changed meanwhile. Memory grows with the number of
    findings only.

    Args:
        lead: a client with the scope ``event/read``.
        start: payments that were created at this time or later; an aware time.
        end: payments that were created before; see :func:`day_of`.
        inbox: an open inbox, or None to leave it out.
        outbox: an open outbox, or None to leave it out.
        account_number_id: only payments of this account number.
        consumer: the consumer of the inbox whose progress is looked at.
        return_days: how many business days a return may take.
        repair: fetch missing events into the inbox, and resolve instructions in doubt whose payment is found. Nothing
            is ever sent.
        clock: what tells the time.
        progress: is called while lists are read.

    Returns:
        The differences, and the totals.

    Raises:
        ConfigurationError: a time has no time zone, or the end is not after the start.
        LeadError: the bank, the inbox or the outbox failed: nothing can be told.
    """
    if start.tzinfo is None or end.tzinfo is None or end <= start:
        raise ConfigurationError("start and end must be aware times, and end must be later")
    given = _Reconciliation(lead, inbox, outbox, start, end, account_number_id, consumer, return_days, progress)
    now = utc_datetime((clock or SystemClock()).now())
    report = await given.run(now)
    if not repair:
        return report
    repaired = await given.repair(report.findings, now)
    return attrs.evolve(await given.run(now), repaired=in_order(repaired)) if repaired else report


@attrs.define
class _Reconciliation:
    """One comparison."""

    lead: LeadClient
    inbox: Inbox | None
    outbox: Outbox | None
    start: datetime
    end: datetime
    account: str | None
    consumer: str
    return_days: int
    progress: Progress | None
    _fits: dict[str, str] = attrs.field(factory=dict)
    """Instructions in doubt, by reference, with the only payment that fits."""

    async def run(self, now: datetime) -> Report:
        """Read the lists, compare them, and report."""
        unknown: list[str] = []
        if self.start < now - RETENTION and self.inbox is not None:
            unknown.append(f"the bank lists events of the last {RETENTION.days} days only")
        with closing(Workspace()) as space:
            found = await self._load_payments(space, unknown)
            if self.inbox is not None:
                await self._load_told(space, unknown)
                await self._load_inbox(space, self.inbox, unknown)
                found += await asyncio.to_thread(lambda: [*compare_events(space), *compare_sums(space)])
                found += await self._unknown_to_bank(space, "events", "id", "inside")
            if self.outbox is not None:
                await self._load_outbox(space, self.outbox)
                self._fits = await asyncio.to_thread(_fits, space)
                space.add("checked", ((payment_id,) for payment_id in self._fits.values()))
                found += await asyncio.to_thread(lambda: list(compare_outbox(space, self._fits)))
                found += await self._unknown_to_bank(space, "sent", "reference", "operation IN ('send', 'return')")
            return Report(
                start=self.start,
                end=self.end,
                account_number_id=self.account,
                payments=space.count("known"),
                events=space.count("told"),
                instructions=space.count("sent"),
                findings=in_order(found),
                repaired=(),
                totals=tuple(totals(space)),
                unknown=tuple(unknown),
            )

    def _is_inside(self, payment: InstantPayment) -> bool:
        return self.start <= payment.created_at < self.end and self.account in (None, payment.account_number_id)

    async def _load_payments(self, space: Workspace, unknown: list[str]) -> list[Finding]:
        """Read the bank's payments; find returns without an original, and returns that are overdue."""
        found = []
        pager = self.lead.instant_payments.list(
            account_number_id=self.account, created_on_or_after=self.start, created_before=self.end, limit=PAGE
        )
        async for page in self._pages(pager, "payments", unknown):
            space.add("known", map(space.known_row, page))
            for payment in page:
                if payment.is_return and not await self._exists(payment.original_payment_id):
                    evidence = f"its original is {payment.original_payment_id or 'not named'}, and the bank has none"
                    found.append(_about(payment, "return_without_original", evidence))
        rejected = self.lead.instant_payments.list(
            account_number_id=self.account,
            direction="outgoing",
            counterparty_status=CounterpartyStatus.REJECTED,
            created_on_or_after=self.start - LOOK_BACK,
            created_before=self.end,
            limit=PAGE,
        )
        async for page in self._pages(rejected, "rejected payments", unknown):
            for payment in page:
                if payment.status == Status.POSTED and not payment.return_payment_ids:
                    late = overdue(payment, self.end, self.return_days)
                    found += [late] if late else []
        return found

    async def _load_told(self, space: Workspace, unknown: list[str]) -> None:
        """Read the bank's events."""
        pager = self.lead.events.list(created_on_or_after=self.start, created_before=self.end, limit=PAGE)
        async for page in self._pages(pager, "events", unknown):
            space.add("told", (told_row(event) for event in page if self._is_ours(event)))

    def _is_ours(self, event: Event) -> bool:
        if self.account is None:
            return True
        return isinstance(event, InstantPaymentEvent) and event.payment.account_number_id == self.account

    async def _load_inbox(self, space: Workspace, inbox: Inbox, unknown: list[str]) -> None:
        """Read what was received since the start, newest first."""
        rows = []
        count = 0
        async for stored in inbox.events(consumer=self.consumer):
            if stored.received_at < self.start - EARLY:
                break
            rows.append(self._event_row(stored))
            count += 1
            if len(rows) == PAGE:
                space.add("events", rows)
                rows = []
                self._tell("inbox", count)
        space.add("events", rows)
        # An event may have been received long before: by the clock of a receiver that was wrong.
        early = []
        for event_id, *_ in space.stream("SELECT id FROM told WHERE id NOT IN (SELECT id FROM events)"):
            if await inbox.get(event_id, consumer=self.consumer) is not None:
                early.append((event_id,))
        space.add("checked", early)
        purged = sum(
            1
            for _ in space.stream(
                "SELECT 1 FROM events WHERE inside AND amount IS NULL AND payment <> id AND state <> 'unreadable'"
            )
        )
        if purged:
            unknown.append(f"{purged} events in the inbox have no readable body, so their amounts cannot be compared")

    def _event_row(self, stored: StoredEvent) -> tuple[Any, ...]:
        recent = self.start <= stored.created_at < self.end
        inside = recent and self.account is None
        blank = (stored.event_id, stored.type, stored.ordering_key, stored.state, *[None] * 6, inside, inside)
        try:
            event = parse(stored.body or b"")
        except MalformedEventError:
            return blank
        if not isinstance(event, InstantPaymentEvent):
            return (*blank[:2], stored.event_id, *blank[3:])
        words = payment_words(event.payment)
        recent = recent and self._is_ours(event)
        inside = self._is_inside(event.payment)
        return (stored.event_id, stored.type, event.payment.id, stored.state, *words, inside, recent)

    async def _load_outbox(self, space: Workspace, outbox: Outbox) -> None:
        """Read the instructions of the time, and those of other times that became payments of the time."""
        rows: list[tuple[Any, ...]] = []
        instructions = outbox.instructions(created_from=self.start, created_before=self.end, after=0)
        count = 0
        async for instruction in instructions:
            if self.account in (None, instruction.account_number_id) or instruction.account_number_id is None:
                rows.append(_sent_row(space, instruction))
            count += 1
            if len(rows) == PAGE:
                space.add("sent", rows)
                rows = []
                self._tell("outbox", count)
        space.add("sent", rows)
        others = (
            "SELECT id FROM known WHERE direction = 'outgoing'"
            " AND id NOT IN (SELECT payment FROM sent WHERE payment IS NOT NULL)"
        )
        late = []
        for payment_id, *_ in list(space.stream(others)):
            late += [_sent_row(space, one) async for one in outbox.instructions(payment_id=payment_id)]
        space.add("sent", late)

    async def _unknown_to_bank(self, space: Workspace, table: str, name: str, where: str) -> list[Finding]:
        """Look up payments that we know and that the bank's list lacks; their time may be another one."""
        found = []
        missing = (
            f"SELECT payment, min({name}), account, max(amount) FROM {table} WHERE {where}"  # noqa: S608 - our own columns
            " AND payment LIKE 'instant\\_payment\\_%' ESCAPE '\\'"
            " AND payment NOT IN (SELECT id FROM known) GROUP BY payment"
        )
        for payment_id, key, account, amount in list(space.stream(missing)):
            if not await self._exists(payment_id):
                finding = Finding(
                    kind="unknown_to_bank",
                    payment_id=payment_id,
                    account_number_id=account,
                    amount=None if amount is None else int(amount),
                    evidence=f"known to the {'inbox' if table == 'events' else 'outbox'}, and not to the bank",
                )
                found.append(attrs.evolve(finding, **{"event_id" if table == "events" else "reference": key}))
        return found

    async def _exists(self, payment_id: str | None) -> bool:
        if payment_id is None:
            return False
        try:
            await self.lead.instant_payments.retrieve(payment_id)
        except NotFoundError:
            return False
        except MalformedResponseError:
            return True  # it cannot be read, and it is there
        return True

    async def _pages(self, pager: Any, name: str, unknown: list[str]) -> AsyncIterator[Sequence[Any]]:
        """Read a list page by page; what cannot be read is a question that stays open."""
        count = unreadable = 0
        async for page in pager.pages():
            count += len(page.objects)
            unreadable += len(page.unreadable)
            self._tell(name, count)
            yield page.objects
        if unreadable:
            unknown.append(f"{unreadable} of the bank's {name} cannot be read")

    def _tell(self, name: str, count: int) -> None:
        if self.progress is not None:
            self.progress(name, count)

    async def repair(self, found: Sequence[Finding], now: datetime) -> list[Finding]:
        """Fetch missing events, and resolve what is in doubt and has one payment that fits."""
        repaired = []
        for finding in found:
            if finding.kind == "event_missing" and self.inbox is not None and finding.event_id is not None:
                event = await self.lead.events.retrieve(finding.event_id)
                await self.inbox.add(event, encode(unstructure(event)), received_at=now)
                repaired.append(finding)
            elif finding.kind == "in_doubt" and finding.reference in self._fits and await self._resolve(finding):
                repaired.append(finding)
        return repaired

    async def _resolve(self, finding: Finding) -> bool:
        """Resolve an instruction by the payment that fits; one that a sender still asks for is left to it."""
        assert self.outbox is not None  # noqa: S101 - its findings come from an outbox
        assert finding.reference is not None  # noqa: S101 - the same
        payment_id = self._fits[finding.reference]
        try:
            await self.outbox.resolve(
                finding.reference,
                by="leadpay reconcile",
                payment_id=payment_id,
                reason="the only payment at the bank that fits",
            )
        except InstructionStateError:
            return False
        return True


def _sent_row(space: Workspace, instruction: Instruction) -> tuple[Any, ...]:
    payment, content = instruction.payment, instruction.content or {}
    seen = (None, None, None) if payment is None else payment_words(payment)[2:4] + payment_words(payment)[5:]
    digest = None
    if instruction.operation == "send" and content:
        digest = space.order_digest(
            instruction.account_number_id, instruction.amount, content["creditor"], content["creditor_agent"]
        )
    first = instruction.first_attempt_at
    return (
        instruction.number,
        instruction.reference,
        instruction.operation,
        instruction.state,
        instruction.outcome,
        instruction.payment_id,
        instruction.account_number_id,
        None if instruction.amount is None else str(instruction.amount),
        *seen,
        digest,
        space.digest(instruction.idempotency_key),
        None if first is None else (first - SKEW).astimezone(UTC).isoformat(),
    )


def _fits(space: Workspace) -> dict[str, str]:
    """Find the payment of each instruction in doubt: the only one of its kind, for the only instruction of its kind."""
    pairs: Iterator[tuple[Any, ...]] = space.stream(
        "SELECT reference, min(id) FROM (SELECT * FROM sent WHERE state = 'in_doubt' AND digest IS NOT NULL"
        "  AND digest NOT IN (SELECT digest FROM sent WHERE state = 'in_doubt' AND digest IS NOT NULL"
        "    GROUP BY digest HAVING count(*) > 1)) AS s"
        " JOIN (SELECT * FROM known WHERE direction = 'outgoing' AND NOT is_return"
        "  AND id NOT IN (SELECT payment FROM sent WHERE payment IS NOT NULL)) AS k"
        " ON k.digest = s.digest AND k.created >= s.attempted GROUP BY reference HAVING count(*) = 1"
    )
    return dict(pairs)


def _about(payment: InstantPayment, kind: Any, evidence: str) -> Finding:
    return Finding(
        kind=kind,
        payment_id=payment.id,
        account_number_id=payment.account_number_id,
        amount=payment.amount,
        evidence=evidence,
    )
