"""A day that reconciles, or says exactly what differs."""

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, timedelta
from typing import Any

import attrs
import pytest

from leadpay.converter import encode, unstructure
from leadpay.errors import ConfigurationError, InstructionStateError
from leadpay.reconcile import Report, day_of, reconcile
from leadpay.sandbox import ManualClock
from leadpay.webhooks.event import parse
from tests.reconcile.seeded import ACCOUNTS, END, HOLDER, NIGHT, Day, quiet_day, seeded_day
from tests.support.inbox import event_of

SEEDS = range(200) if os.environ.get("LEADPAY_PROOFS") == "all" else range(4)


def found(report: Report) -> Counter[tuple[str, str]]:
    """Name each finding by its kind and ID, as the seeds do."""
    names: Counter[tuple[str, str]] = Counter()
    for one in report.findings:
        name = {
            "event_missing": one.event_id,
            "event_not_handled": one.event_id,
            "in_doubt": one.reference,
            "sum_differs": one.account_number_id,
        }.get(one.kind, one.payment_id)
        names[one.kind, str(name)] += 1
    return names


async def report_of(day: Day, **options: Any) -> Report:
    """Reconcile the seeded day."""
    known = {
        "inbox": day.inbox,
        "outbox": day.outbox,
        "start": NIGHT,
        "end": END,
        "clock": day.clock,
    }
    return await reconcile(day.lead, **{**known, **options})


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", SEEDS)
async def test_all_and_only_what_was_seeded_is_found(seed: int) -> None:
    """Twice the same; a repair fetches missing events and resolves what has a payment, and nothing else."""
    async with seeded_day(seed) as day:
        report = await report_of(day)
        assert found(report) == day.expected
        assert await report_of(day) == report
        assert report.unknown == ()
        movement = {one.account_number_id: one.net_cents for one in report.totals}
        posted = Counter[str]()
        for payment in day.bank.bank.payments.all():
            if payment.status == "posted" and payment.created_at >= NIGHT:
                posted[payment.account.id] += payment.amount * (1 if payment.direction == "incoming" else -1)
        assert movement == posted
        before = len(day.bank.bank.payments.all())
        after = await report_of(day, repair=True)
        assert len(day.bank.bank.payments.all()) == before
        fixed = [
            one
            for one in report.findings
            if one.kind == "event_missing" or (one.kind == "in_doubt" and one.payment_id is not None)
        ]
        assert list(after.repaired) == fixed
        # An event that is fetched may change what the events received say, and nothing else.
        by_events = {"sum_differs", "differs"}
        rest = [one for one in report.findings if one not in fixed and one.kind not in by_events]
        assert [one for one in after.findings if one.kind not in by_events] == rest


@pytest.mark.asyncio
async def test_a_day_agrees_and_progress_is_told() -> None:
    """Nothing is found, nothing is repaired, and the movement is that of the bank's ledger."""
    told: list[tuple[str, int]] = []
    async with quiet_day() as day:
        report = await report_of(day, repair=True, progress=lambda name, count: told.append((name, count)))
        assert (report.findings, report.repaired, report.unknown) == ((), (), ())
        assert (report.payments, report.instructions) == (2, 1)
        assert [(one.incoming, one.outgoing, one.net_cents) for one in report.totals] == [(1, 1, 700 - 500)]
        assert {name for name, _ in told} == {"payments", "rejected payments", "events"}
        only = await report_of(day, account_number_id=ACCOUNTS[0])
        assert (only.findings, only.payments, only.events) == ((), 2, report.events)
        other = await report_of(day, account_number_id=ACCOUNTS[1])
        assert (other.findings, other.payments, other.events, other.instructions) == ((), 0, 0, 0)
        bare = await reconcile(day.lead, start=NIGHT, end=END)
        assert (bare.findings, bare.payments, bare.events, bare.instructions) == ((), 2, 0, 0)


def test_a_day_is_a_day_in_new_york() -> None:
    """The one on which the clocks go back has 25 hours."""
    start, end = day_of(date(2026, 11, 1))
    assert (start.astimezone(UTC).hour, end.astimezone(UTC).hour) == (4, 5)
    assert day_of(date(2026, 11, 24)) == (NIGHT, END)


@pytest.mark.asyncio
@pytest.mark.parametrize("times", [{"end": NIGHT}, {"start": NIGHT.replace(tzinfo=None)}])
async def test_wrong_times_are_refused(times: dict[str, Any]) -> None:
    """Naive ones, and an end before the start."""
    async with quiet_day() as day:
        with pytest.raises(ConfigurationError, match="aware times"):
            await report_of(day, **times)


@pytest.mark.asyncio
async def test_what_cannot_be_told_is_said() -> None:
    """Days whose events the bank no longer lists, objects that cannot be read, bodies that were purged."""
    async with quiet_day() as day:
        await day.inbox.purge(before=END + timedelta(days=1))
        report = await report_of(day)
        assert report.unknown == ("3 events in the inbox have no readable body, so their amounts cannot be compared",)
        payment = day.bank.bank.payments.all()[0]
        day.bank.bank.payments.put(attrs.evolve(payment, uetr=7))  # type: ignore[arg-type]  # what is broken
        report = await report_of(day)
        assert "1 of the bank's payments cannot be read" in report.unknown
        later = ManualClock((END + timedelta(days=100)).timestamp())
        report = await report_of(day, inbox=None, clock=later)
        assert not any("90 days" in one for one in report.unknown)
        assert "the bank lists events of the last 90 days only" in (await report_of(day, clock=later)).unknown


@pytest.mark.asyncio
async def test_an_event_that_was_received_by_a_wrong_clock_is_found() -> None:
    """The inbox is asked for it."""
    async with quiet_day(lost=True) as day:
        [event] = [one async for one in day.lead.events.list(types=["instant_payment.posted"], limit=1)][:1]
        early = NIGHT - timedelta(days=3)
        await day.inbox.add(event, encode(unstructure(event)), received_at=early)
        report = await report_of(day)
        assert found(report)["event_missing", event.id] == 0
        assert sum(one.kind == "event_missing" for one in report.findings) == 2


@pytest.mark.asyncio
async def test_an_instruction_of_another_day_is_found_by_its_payment() -> None:
    """It was queued before midnight and sent after."""
    async with quiet_day() as day:
        [one] = [one async for one in day.outbox.instructions()]
        await day.mark(one.reference, created_at=int((NIGHT - timedelta(hours=1)).timestamp() * 1_000_000))
        report = await report_of(day)
        assert (report.findings, report.instructions) == ((), 1)


@pytest.mark.asyncio
async def test_an_event_about_a_payment_that_the_bank_does_not_have_is_found() -> None:
    """The inbox knows a payment of this day, and the bank has none of this ID."""
    async with quiet_day() as day:
        [event] = [one async for one in day.lead.events.list(types=["instant_payment.posted"], limit=1)][:1]
        data: Any = unstructure(event)
        body = encode({**data, "id": "event_odd", "object": {**data["object"], "id": "instant_payment_odd"}})
        await day.inbox.add(parse(body), body, received_at=event.created_at)
        kinds = found(await report_of(day))
        assert kinds["unknown_to_bank", "instant_payment_odd"] == 1


@pytest.mark.asyncio
async def test_what_a_sender_still_asks_for_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in doubt and cannot be resolved by hand yet stays a finding."""
    async with quiet_day() as day:
        await day.in_doubt_with_a_payment()
        await day.clock.advance(60)

        async def refuse(reference: str, **given: Any) -> None:
            raise InstructionStateError("is still asked again", reference=reference)

        monkeypatch.setattr(day.outbox, "resolve", refuse)
        report = await report_of(day, inbox=None, repair=True)
        assert [one.kind for one in report.findings] == ["in_doubt"]
        assert report.repaired == ()


@pytest.mark.asyncio
async def test_differences_of_status_and_account_are_found() -> None:
    """Each by its words: the same version with another status, and another account number."""
    changes: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any], str]] = [
        (lambda data: {**data, "status": "under_review"}, {}, "bank: posted/posted; outbox: under_review/posted"),
        (lambda data: data, {"account_number_id": ACCOUNTS[1]}, f"bank: {ACCOUNTS[0]}; outbox: {ACCOUNTS[1]}"),
        (lambda data: data, {"outcome": None}, "bank: arrived; outbox: open"),
    ]
    for change, columns, evidence in changes:
        async with quiet_day() as day:
            [one] = [one async for one in day.outbox.instructions()]
            assert one.payment is not None
            data: Any = unstructure(one.payment)
            await day.mark(one.reference, payment=encode(change(data)), **columns)
            [finding] = (await report_of(day)).findings
            assert (finding.kind, finding.evidence) == ("differs", evidence)


@pytest.mark.asyncio
async def test_lists_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an event of another product, and an instruction that is no payment."""
    monkeypatch.setattr("leadpay.reconcile.PAGE", 1)
    async with quiet_day() as day:
        event, body = event_of("event_other")
        await day.inbox.add(event, body, received_at=NIGHT)
        await day.outbox.cancel("instant_payment_1", reference="cancel-1")
        told = []
        report = await report_of(day, progress=lambda name, count: told.append((name, count)))
        assert (report.findings, report.instructions) == ((), 2)
        assert ("outbox", 2) in told
        assert ("inbox", 4) in told


@pytest.mark.asyncio
async def test_equal_payments_in_doubt_are_left_to_a_person() -> None:
    """One payment at the bank, and two instructions that it fits: neither is resolved."""
    async with quiet_day() as day:
        payment_id = await day.send("posted", queued=False)
        payment = day.bank.bank.retrieve(payment_id)
        for _ in range(2):
            reference = await day.queue(None, payment.account.id, payment.amount, payment.creditor)
            await day.mark(reference, state="in_doubt", first_attempt_at=int(NIGHT.timestamp() * 1_000_000))
        await day.clock.advance(60)
        report = await report_of(day, inbox=None, repair=True)
        assert sorted(one.kind for one in report.findings) == ["in_doubt", "in_doubt", "not_from_here"]
        assert HOLDER.name
