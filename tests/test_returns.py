"""Return requests: kept, reminded of once, decided once, and followed until the money has arrived."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import attrs
import pytest

from leadpay.enums import CounterpartyStatus, Direction, ResolvedBy, ReturnRequestStatus, Status
from leadpay.errors import NotFoundError, ReturnRequestError
from leadpay.inbox import Worker, open_inbox
from leadpay.models import InstantPayment, InstantPaymentEvent, ReturnRequest, ReturnRequestResolution
from leadpay.outbox import Sender, open_outbox
from leadpay.returns import CONSUMER, KeptRequest, ReturnRequests, _arrival, _state, calendar
from leadpay.sandbox import business_days as fed
from leadpay.webhooks.event import parse
from leadpay.webhooks.router import WebhookRouter
from tests.support.inbox import HandClock, event_of
from tests.support.postgres import manual_inbox
from tests.support.scene import Scene

FULL = os.environ.get("LEADPAY_PROOFS") == "all"
TWO_DAYS, ONE_HOUR = timedelta(days=2), timedelta(hours=1)


class Office:
    """A bank, an inbox, an outbox, and what keeps the requests."""

    def __init__(self, scene: Scene, inbox: Any, outbox: Any) -> None:
        self.scene = scene
        self.inbox = inbox
        self.outbox = outbox
        self.router = WebhookRouter("reminded")
        self.reminded: list[tuple[str, str]] = []
        for before in (TWO_DAYS, ONE_HOUR):

            @self.router.return_request_due(before=before, name=f"remind-{before.total_seconds():.0f}")
            async def remind(event: InstantPaymentEvent) -> None:
                self.reminded.append((event.payment.id, event.type.rpartition(".")[2]))

        self.returns = self.new()

    def new(self) -> ReturnRequests:
        """Make another one, as a restart does."""
        clock = self.scene.clock
        return ReturnRequests(self.inbox, self.outbox, self.scene.lead, router=self.router, clock=clock)

    async def request(self) -> InstantPayment:
        """Receive a payment, and a request to return it."""
        payment = await self.scene.receive()
        await self.scene.lead.simulate.incoming_return_request(payment.id, reason="fraud_suspected")
        return await self.scene.after(payment)

    async def send(self) -> None:
        """Have a sender send what is queued, and let the bank do its part."""
        await Sender(self.outbox, self.scene.lead, clock=self.scene.clock).run_due()
        await self.scene.clock.advance(60)
        await self.returns.sweep()

    async def work(self) -> None:
        """Have a worker handle the reminders."""
        await Worker(self.inbox, self.router, clock=self.scene.clock, body_retention_days=None).run_due()

    async def kept(self, payment: InstantPayment) -> KeptRequest:
        """Look the newest request up."""
        found = await self.returns.get(payment.id)
        assert found is not None
        return found


@asynccontextmanager
async def office_of(scene: Scene, inbox_url: str = "sqlite:///:memory:") -> AsyncIterator[Office]:
    """Open the stores."""
    inbox = manual_inbox(inbox_url) if inbox_url.startswith("postgres") else open_inbox(inbox_url)
    async with inbox, open_outbox("sqlite:///:memory:", clock=scene.clock) as outbox:
        yield Office(scene, inbox, outbox)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_request_is_kept_without_its_webhook_and_accepted_once(
    kind: str, scene: Scene, request: pytest.FixtureRequest
) -> None:
    """Two people accept at once: there is one return, and it is followed until it has arrived."""
    url = "sqlite:///:memory:" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    async with office_of(scene, url) as office:
        payment = await office.request()
        assert await office.returns.sweep() == 1
        [kept] = [one async for one in office.returns.list()]
        asked = payment.active_return_request
        assert asked is not None
        assert (kept.payment_id, kept.amount, kept.reason) == (payment.id, payment.amount, "fraud_suspected")
        assert (kept.requested_at, kept.deadline, kept.deadline_is_computed) == (
            asked.created_at,
            asked.deadline,
            False,
        )
        both = await asyncio.gather(*(office.returns.accept(payment.id, by=name) for name in ("ana", "ben")))
        assert {one.state for one in both} == {"responding"}
        assert {one.decided_by for one in both} <= {"ana", "ben"}
        with pytest.raises(ReturnRequestError, match="decided before in another way"):
            await office.returns.reject(payment.id, reason="account_closed", by="cleo")
        await office.send()
        assert (await office.kept(payment)).state in ("returning", "returned")
        await scene.clock.advance(600)
        await office.returns.sweep()
        kept = await office.kept(payment)
        latest = await scene.lead.instant_payments.retrieve(payment.id)
        assert (kept.state, (kept.return_payment_id,)) == ("returned", latest.return_payment_ids)
        assert (await office.returns.accept(payment.id, by="dora")).state == "returned"
        assert [one async for one in office.returns.list()] == []
        assert [one.state async for one in office.returns.list(closed=True)] == ["returned"]


@pytest.mark.asyncio
async def test_a_request_is_rejected(scene: Scene) -> None:
    """With a reason; accepting it afterwards is refused here."""
    async with office_of(scene) as office:
        payment = await office.request()
        kept = await office.returns.reject(payment.id, reason="customer_no_response", by="ana")
        assert (kept.state, kept.decided_by) == ("responding", "ana")
        with pytest.raises(ReturnRequestError, match="was rejected before"):
            await office.returns.accept(payment.id, by="ben")
        await office.send()
        assert (await office.kept(payment)).state == "rejected"
        assert (await scene.lead.instant_payments.retrieve(payment.id)).return_payment_ids == ()


@pytest.mark.asyncio
async def test_what_cannot_be_decided_is_refused_here_with_the_reason(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """No request, another program's decision, a deadline that is over, and what the bank has rejected since."""
    async with office_of(scene) as office:
        plain = await scene.receive()
        with pytest.raises(ReturnRequestError, match="has no return request") as caught:
            await office.returns.accept(plain.id, by="ana")
        assert caught.value.payment_id == plain.id
        elsewhere = await office.request()
        await scene.lead.instant_payments.reject_return_request(elsewhere.id, reason="account_closed")
        with pytest.raises(ReturnRequestError, match="is rejected, and not by this outbox"):
            await office.returns.accept(elsewhere.id, by="ana")
        late = await office.request()
        await office.returns.sweep()
        deadline = (await office.kept(late)).deadline
        await scene.clock.advance(deadline.timestamp() - scene.clock.now())
        with pytest.raises(ReturnRequestError, match="can no longer be decided: the deadline was"):
            await office.returns.accept(late.id, by="ana")
        await scene.clock.advance(3600)
        assert await office.returns.sweep() == 0
        assert "was not decided, and the bank has rejected it" in caplog.text
        assert (await office.kept(late)).state == "expired"
        with pytest.raises(ReturnRequestError, match="was rejected by the bank, since the deadline was"):
            await office.returns.reject(late.id, reason="account_closed", by="ana")
        assert [one async for one in office.outbox.instructions()] == []


@pytest.mark.asyncio
async def test_after_a_decision_that_the_bank_refused_another_one_is_possible(scene: Scene) -> None:
    """The first one stays in the outbox; the second has a reference of its own."""
    async with office_of(scene) as office:
        payment = await office.request()
        first = await office.returns.accept(payment.id, by="ana")
        await office.outbox.withdraw(first.reference, by="ana")
        assert (await office.kept(payment)).state == "open"
        second = await office.returns.reject(payment.id, reason="account_closed", by="ben")
        assert (second.reference, second.decided_by) == (f"{first.reference}:2", "ben")


@pytest.mark.asyncio
async def test_reminders_are_given_once_by_any_process(scene: Scene) -> None:
    """At their times, through restarts and a clock that is set back; a decided request needs none."""
    async with office_of(scene) as office:
        payment, decided = await office.request(), await office.request()
        await office.returns.sweep()
        deadline = (await office.kept(payment)).deadline
        await office.returns.reject(decided.id, reason="account_closed", by="ana")
        await office.send()
        await scene.clock.advance((deadline - TWO_DAYS).timestamp() - scene.clock.now() - 1)
        assert await office.returns.run_due() == 0
        await scene.clock.advance(1)
        assert [await one.run_due() for one in (office.returns, office.new(), office.new())] == [1, 0, 0]
        await scene.clock.advance(deadline.timestamp() - scene.clock.now() - 60)
        returns = office.new()
        assert [await returns.run_due(), await returns.remind()] == [1, 0]
        await office.work()
        await office.work()
        assert office.reminded == [(payment.id, "172800"), (payment.id, "3600")]
        assert [one.payment_id async for one in office.returns.list(due=timedelta(minutes=2))] == [payment.id]
        assert [one async for one in office.returns.list(due=timedelta(seconds=1))] == []


@pytest.mark.asyncio
async def test_events_are_followed_in_the_background(scene: Scene) -> None:
    """A worker of its own keeps what events say, and a loop sweeps; a failure is tried again."""
    async with office_of(scene) as office:
        payment = await office.request()
        body = scene.endpoint.bodies[-1]
        event = parse(body)
        async with ReturnRequests(office.inbox, office.outbox, scene.lead, sweep_seconds=1e9) as returns:
            await office.inbox.add(event, body, received_at=event.created_at)
            async with asyncio.timeout(20):
                while await returns.get(payment.id) is None:  # noqa: ASYNC110 - two tasks of its own
                    await asyncio.sleep(0.01)
        assert [one.name for one in await office.inbox.consumers()] == [CONSUMER]


@pytest.mark.asyncio
@pytest.mark.parametrize(("error", "text"), [(NotFoundError, "HTTP 404"), (ValueError("canary"), "ValueError")])
async def test_a_failure_in_the_background_is_logged_and_tried_again(
    error: Any, text: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the message of an error that is not ours."""
    async with office_of(scene) as office:
        clock, calls = HandClock(), [0]

        class Failing(ReturnRequests):
            async def run_due(self) -> int:
                calls[0] += 1
                if isinstance(error, type):
                    await scene.lead.instant_payments.retrieve("instant_payment_gone")
                raise error

        async with Failing(office.inbox, office.outbox, scene.lead, clock=clock):
            async with asyncio.timeout(20):
                while not clock.sleepers:  # noqa: ASYNC110 - a task of its own
                    await asyncio.sleep(0.001)
            clock.move(30)
            async with asyncio.timeout(20):
                while calls[0] < 2:  # noqa: ASYNC110 - the same
                    await asyncio.sleep(0.001)
        assert "return requests could not be followed" in caplog.text
        assert text in caplog.text
        assert "canary" not in caplog.text


@pytest.mark.asyncio
async def test_a_payment_that_is_gone_holds_no_other_up(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the other request is followed and reminded of."""
    async with office_of(scene) as office:
        gone, there = await office.request(), await office.request()
        await office.returns.sweep()
        bank = scene.bank.bank
        bank.payments.put(attrs.evolve(bank.retrieve(gone.id), return_requests=()))
        records: Any = bank.payments
        del records._records[gone.id]
        records._order.remove(gone.id)
        assert await office.returns.sweep() == 1
        await scene.clock.advance((await office.kept(there)).deadline.timestamp() - scene.clock.now() - 60)
        assert await office.returns.remind() == 2
        assert f"{gone.id}: its return request cannot be followed" in caplog.text


@pytest.mark.asyncio
async def test_a_request_that_was_closed_elsewhere_gets_no_reminder(scene: Scene) -> None:
    """The bank is asked before a reminder is given."""
    async with office_of(scene) as office:
        payment = await office.request()
        await office.returns.sweep()
        await scene.lead.instant_payments.reject_return_request(payment.id, reason="account_closed")
        await scene.clock.advance((await office.kept(payment)).deadline.timestamp() - scene.clock.now() - 60)
        assert await office.returns.remind() == 0
        await office.returns.observe(await scene.send())
        assert (await office.kept(payment)).state == "rejected"


def test_a_return_that_fails_is_no_money() -> None:
    """Rejected here or there, it has not arrived; an accepted request says so."""
    event, _ = event_of("event_1", payment="instant_payment_1")
    payment: InstantPayment = attrs.evolve(event.object, direction=Direction.OUTGOING, status=Status.POSTED)
    waiting = attrs.evolve(payment, counterparty_status=None)
    assert _arrival(waiting) == "pending"
    assert _arrival(attrs.evolve(payment, counterparty_status=CounterpartyStatus.POSTED)) == "arrived"
    assert _arrival(attrs.evolve(payment, counterparty_status=CounterpartyStatus.REJECTED)) == "rejected"
    assert _arrival(attrs.evolve(payment, status=Status.REJECTED)) == "rejected"
    states = [_state("accepted", one, None) for one in (None, "pending", "arrived", "rejected")]
    assert states == ["returning", "returning", "returned", "return_failed"]


def a_payment(number: int, created_at: datetime, **request: Any) -> InstantPayment:
    """Make an incoming payment with an open request."""
    event, _ = event_of("event_1", payment=f"instant_payment_{number}")
    asked: ReturnRequest = attrs.evolve(
        event.object.return_requests[0],
        **{
            "status": ReturnRequestStatus.RESPONSE_NEEDED,
            "created_at": created_at,
            "deadline_": None,
            "resolution": None,
            **request,
        },
    )
    found: InstantPayment = attrs.evolve(
        event.object, return_requests=(asked,), updated_at=created_at, direction=Direction.INCOMING, return_=None
    )
    return found


class FakeBank:
    """Payments with return requests, as the client gives them."""

    def __init__(self) -> None:
        self.payments: dict[str, InstantPayment] = {}
        self.instant_payments = self

    async def retrieve(self, payment_id: str) -> InstantPayment:
        """Give one."""
        return self.payments[payment_id]

    async def list(self, **_: Any) -> AsyncIterator[InstantPayment]:
        """Give those that are open."""
        for payment in [*self.payments.values()]:
            if payment.return_requests[-1].resolution is None:
                yield payment

    def close(self, payment_id: str, now: datetime) -> None:
        """Reject a request at its deadline."""
        payment = self.payments[payment_id]
        request = attrs.evolve(
            payment.return_requests[0], status=ReturnRequestStatus.REJECTED, resolution=_resolution(now)
        )
        self.payments[payment_id] = attrs.evolve(payment, return_requests=(request,), updated_at=now)


def _resolution(now: datetime) -> Any:
    return ReturnRequestResolution(resolved_at=now, resolved_by=ResolvedBy.LEAD)


@pytest.mark.asyncio
async def test_a_deadline_is_the_bank_s_or_else_computed_and_a_difference_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once for each payment."""
    at = datetime(2026, 11, 24, 15, tzinfo=UTC)
    odd = datetime(2026, 12, 1, tzinfo=UTC)
    bank: Any = FakeBank()
    bank.payments = {"instant_payment_1": a_payment(1, at), "instant_payment_2": a_payment(2, at, deadline_=odd)}
    async with open_inbox("sqlite:///:memory:") as inbox, open_outbox("sqlite:///:memory:") as outbox:
        returns = ReturnRequests(inbox, outbox, bank)
        await returns.sweep()
        await returns.sweep()
        kept = {one.payment_id: one async for one in returns.list()}
    computed = fed.incoming_deadline(at)[0]
    assert (kept["instant_payment_1"].deadline, kept["instant_payment_1"].deadline_is_computed) == (computed, True)
    assert (kept["instant_payment_2"].deadline, kept["instant_payment_2"].deadline_is_computed) == (odd, False)
    assert caplog.text.count("by the Federal Reserve's calendar") == 1


def test_a_calendar_has_an_event_for_each_deadline() -> None:
    """As RFC 5545 wants it, without names."""
    at = datetime(2026, 11, 24, 15, tzinfo=UTC)
    request = KeptRequest(
        payment_id="instant_payment_1",
        account_number_id="account_number_1",
        amount=5000,
        reason="fraud_suspected",
        requested_at=at,
        deadline=at + TWO_DAYS,
        deadline_is_computed=False,
        state="open",
        reference="return-request:instant_payment_1:1",
    )
    text = calendar([request])
    assert text.startswith("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
    assert "DTSTART:20261126T150000Z\r\n" in text
    assert text.endswith("END:VEVENT\r\nEND:VCALENDAR\r\n")


class Years:
    """Requests over the years, followed by processes that restart and whose clock jumps."""

    def __init__(self, inbox: Any, outbox: Any, count: int, days: int) -> None:
        self.random = Random(11)  # noqa: S311 - a test's
        self.start = datetime(2026, 1, 1, tzinfo=UTC)
        self.end = self.start + timedelta(days=days + 30)
        self.now = self.start
        self.jump = 0.0
        self.bank: Any = FakeBank()
        self.clock = HandClock()
        self.router = WebhookRouter("years")
        self.inbox = inbox
        self.outbox = outbox
        self.open: set[str] = set()
        self.given: dict[tuple[str, int], list[datetime]] = {}
        seconds = sorted(self.random.uniform(0, days * 86_400) for _ in range(count))
        self.arrivals = [self.start + timedelta(seconds=one) for one in seconds]
        for before in (TWO_DAYS, ONE_HOUR):
            self.router.return_request_due(before=before, name=f"remind-{before.total_seconds():.0f}")(self.remind)

    async def remind(self, event: InstantPaymentEvent) -> None:
        """Note the reminder."""
        key = (event.payment.id, int(event.type.rpartition(".")[2]))
        self.given.setdefault(key, []).append(self.now)

    def new(self) -> ReturnRequests:
        """Restart."""
        return ReturnRequests(
            self.inbox, self.outbox, self.bank, router=self.router, clock=self.clock, sweep_seconds=6 * 3600
        )

    async def run(self) -> None:
        """Let the years pass, half an hour at a time."""
        returns = self.new()
        while self.now < self.end:
            await self.arrive(returns)
            self.expire()
            if self.random.random() < 0.01:
                self.jump = self.random.choice([0.0, 3600.0, -3600.0])
            if self.random.random() < 0.05:
                returns = self.new()
            self.clock.time = self.now.timestamp() + self.jump
            await returns.run_due()
            await Worker(self.inbox, self.router, clock=self.clock, body_retention_days=None).run_due()
            self.now += STEP

    async def arrive(self, returns: ReturnRequests) -> None:
        """Receive what has come; a third of the webhooks is lost."""
        while self.arrivals and self.arrivals[0] <= self.now:
            payment = a_payment(len(self.bank.payments), self.arrivals.pop(0))
            self.bank.payments[payment.id] = payment
            self.open.add(payment.id)
            if self.random.random() < 0.7:
                await returns.observe(payment)

    def expire(self) -> None:
        """Have the bank reject what is past its deadline, by its own calendar."""
        for payment_id in sorted(self.open):
            deadline = fed.incoming_deadline(self.bank.payments[payment_id].return_requests[0].created_at)
            if deadline[1] <= self.now - ONE_HOUR:
                self.bank.close(payment_id, self.now)
                self.open.remove(payment_id)


STEP = timedelta(minutes=30)


@pytest.mark.asyncio
async def test_no_reminder_is_missed_or_doubled_over_the_years() -> None:
    """Random receipt times, lost webhooks, restarts, clocks that jump by an hour, and daylight saving."""
    count, days = (10_000, 5 * 365) if FULL else (40, 100)
    async with open_inbox("sqlite:///:memory:") as inbox, open_outbox("sqlite:///:memory:") as outbox:
        years = Years(inbox, outbox, count, days)
        await years.run()
        kept = [one async for one in years.new().list(closed=True)]
    assert len(kept) == count
    for one in kept:
        deadline = fed.incoming_deadline(one.requested_at)[0]
        assert (one.deadline, one.state) == (deadline, "expired")
        for before in (TWO_DAYS, ONE_HOUR):
            [at] = years.given[one.payment_id, int(before.total_seconds())]
            assert abs(at - (deadline - before)) <= ONE_HOUR + STEP
    assert len(years.given) == 2 * count
