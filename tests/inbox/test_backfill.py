"""Fetching what was missed: from where, how much, and what happens when the bank or the inbox fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from leadpay.client import LeadClient
from leadpay.errors import ConfigurationError, InboxError
from leadpay.inbox import Inbox
from leadpay.inbox.backfill import INTERVAL_SECONDS, Backfilled, backfill, backfilling
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker
from leadpay.models import Agent, Event, InstantPaymentEvent, Party
from leadpay.sandbox import ManualClock, Sandbox
from leadpay.sandbox.delivery import MAX_ATTEMPTS
from leadpay.webhooks.aiohttp import listening
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from tests.support.gates import Flaky, until

HOUR = 3600.0
DAY = 24 * HOUR


class Scene:
    """A sandbox, its client and an inbox, all by one clock."""

    def __init__(self, bank: Sandbox, lead: LeadClient, inbox: Inbox, clock: ManualClock) -> None:
        self.bank, self.lead, self.inbox, self.clock = bank, lead, inbox, clock

    def now(self) -> datetime:
        """The current time."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    async def incoming(self, amount: int = 100) -> None:
        """Have a payment come in; its event follows within a minute."""
        await self.lead.simulate.incoming(
            account_number_id="account_number_1",
            amount=amount,
            debtor=Party(name="Alex Smith", account_number="1234567890"),
            debtor_agent=Agent(routing_number="111000111"),
        )
        await self.clock.advance(60)

    async def walk(self, **options: Any) -> Backfilled:
        """Backfill."""
        return await backfill(self.lead, self.inbox, clock=self.clock, **options)


class Resting:
    """A clock that counts its sleeps."""

    def __init__(self, clock: ManualClock) -> None:
        self.now, self.monotonic, self._sleep = clock.now, clock.monotonic, clock.sleep
        self.rests = 0

    async def sleep(self, seconds: float) -> None:
        """Count, and sleep."""
        self.rests += 1
        await self._sleep(seconds)


@asynccontextmanager
async def scene_of() -> AsyncIterator[Scene]:
    clock = ManualClock()
    async with (
        Sandbox(clock=clock, delay=1, seed=1) as bank,
        bank.client() as lead,
        SqliteInbox(":memory:") as inbox,
    ):
        yield Scene(bank, lead, inbox, clock)


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with scene_of() as made:
        yield made


@pytest.mark.asyncio
async def test_the_first_walk_fetches_all_that_the_bank_lists(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """An inbox that was lost lacks everything; later walks begin at the watermark."""
    await scene.incoming()
    await scene.clock.advance(80 * DAY)
    await scene.incoming()
    first = await scene.walk()
    assert (first.seen, first.recovered, first.near_limit) == (2, 2, False)
    assert "the first walk: all events of the 90 days" in caplog.text
    assert await scene.inbox.watermark() == scene.now()
    await scene.incoming()
    assert (await scene.walk(overlap=timedelta())).recovered == 1
    again = await scene.walk()
    assert (again.seen, again.recovered) == (2, 0)
    assert again.start == scene.now() - timedelta(hours=1)


@pytest.mark.asyncio
async def test_an_event_that_cannot_be_read_is_kept_and_costs_only_itself(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """The walk comes to its end; the next one knows the event already."""
    start = scene.now()
    for _ in range(3):
        await scene.incoming()
    scene.bank.faults.add("unreadable_object:list_events", times=2)
    done = await scene.walk(since=start)
    assert (done.seen, done.recovered, done.unreadable) == (3, 3, 1)
    assert (await scene.inbox.stats()).by_state == {"waiting": 2, "unreadable": 1}
    assert "the bank lists an event that cannot be read: event_" in caplog.text
    again = await scene.walk()
    assert (again.seen, again.recovered, again.unreadable) == (3, 0, 1)


@pytest.mark.asyncio
async def test_a_walk_by_hand_moves_the_watermark_over_no_gap(scene: Scene) -> None:
    """Progress is reported every few hours; the stored body is what the bank listed."""
    mark = scene.now()
    await scene.inbox.set_watermark(mark)
    await scene.incoming()
    await scene.clock.advance(DAY)
    await scene.incoming()
    steps: list[Backfilled] = []
    late = await scene.walk(since=scene.now() - timedelta(hours=2), progress=steps.append)
    assert (late.seen, late.recovered, len(steps)) == (1, 1, 1)
    assert await scene.inbox.watermark() == mark
    early = await scene.walk(since=mark - timedelta(minutes=1), progress=steps.append)
    assert (early.seen, early.recovered, len(steps)) == (2, 1, 6)
    assert [step.end for step in steps[1:]] == sorted(step.end for step in steps[1:])
    assert await scene.inbox.watermark() == scene.now()
    received: list[Any] = []
    router = WebhookRouter()

    @router.posted
    async def note(event: InstantPaymentEvent) -> None:
        received.append(event)

    await Worker(scene.inbox, router, clock=scene.clock).run_due()
    listed = [event async for event in scene.lead.events.list()]
    assert sorted(received, key=lambda event: event.id) == sorted(listed, key=lambda event: event.id)


@pytest.mark.asyncio
async def test_an_outage_near_the_bank_s_limit_is_loud(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The bank lists ninety days, so a walk that begins near them logs an error."""
    await scene.walk(since=scene.now())
    await scene.incoming()
    await scene.clock.advance(79 * DAY)
    assert not (await scene.walk(since=scene.now() - timedelta(days=79))).near_limit
    assert caplog.text == ""
    assert (await scene.walk(since=scene.now() - timedelta(days=120))).near_limit
    assert "older ones are gone for ever" in caplog.text


@pytest.mark.asyncio
async def test_a_walk_that_is_cut_off_goes_on_where_it_was(scene: Scene) -> None:
    """The watermark moves with what has been stored, and not beyond."""
    start = scene.now()
    await scene.walk(since=start)
    for _ in range(3):
        await scene.incoming()
        await scene.clock.advance(8 * HOUR)
    flaky: Any = Flaky(scene.inbox)
    scene.inbox = flaky

    def fail_later(done: Backfilled) -> None:
        flaky.failing["add"] = InboxError("full")

    with pytest.raises(InboxError, match="full"):
        await scene.walk(overlap=timedelta(), progress=fail_later)
    mark = await scene.inbox.watermark()
    assert mark is not None
    assert start < mark < scene.now()
    flaky.failing.clear()
    rest = await scene.walk()
    assert rest.recovered == 2


@pytest.mark.asyncio
async def test_on_a_schedule_failures_are_logged_and_tried_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start, and then every quarter of an hour."""
    flaky: Any = Flaky(scene.inbox)
    flaky.failing["watermark"] = InboxError("the store is away")
    resting = Resting(scene.clock)
    async with backfilling(scene.lead, flaky, since=scene.now(), clock=resting):
        await until(lambda: resting.rests == 1)
        assert "the store is away" in caplog.text
        flaky.failing["watermark"] = ValueError("Alex Smith")
        await scene.clock.advance(INTERVAL_SECONDS)
        await until(lambda: resting.rests == 2)
        assert "builtins.ValueError" in caplog.text
        assert "Alex Smith" not in caplog.text
        flaky.failing["watermark"] = asyncio.CancelledError()
        await scene.clock.advance(INTERVAL_SECONDS)
        await until(lambda: resting.rests == 3)
        assert "CancelledError" in caplog.text
        flaky.failing.clear()
        await scene.clock.advance(INTERVAL_SECONDS)
        await until(lambda: resting.rests == 4)
        assert "set_watermark" in flaky.succeeded
        await scene.incoming()
        await scene.clock.advance(INTERVAL_SECONDS)
        await until(lambda: "recovered 1 of 1 events" in caplog.text)
        flaky.gates["watermark"] = asyncio.Event()
        calls = len(flaky.calls)
        await scene.clock.advance(INTERVAL_SECONDS)
        await until(lambda: len(flaky.calls) > calls)
    assert len(asyncio.all_tasks()) < 10


@pytest.mark.parametrize("options", [{"since": datetime(2024, 1, 1)}, {"overlap": timedelta(seconds=-1)}])  # noqa: DTZ001 - the subject
@pytest.mark.asyncio
async def test_times_that_make_no_sense_are_refused(options: dict[str, Any], scene: Scene) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigurationError):
        await scene.walk(**options)


@pytest.mark.asyncio
async def test_after_80_hours_of_outage_nothing_is_lost_and_nothing_doubled() -> None:
    """Webhooks that the bank gave up are fetched; those that it still repeats are duplicates."""
    handled: Counter[str] = Counter()
    router = WebhookRouter("shop")

    @router.on("*")
    async def note(event: Event) -> None:
        handled[event.id] += 1

    async with scene_of() as scene:
        receiver = WebhookReceiver(
            router, secrets=scene.bank.webhook_secret, inbox=scene.inbox, work=False, clock=scene.clock
        )
        worker = Worker(scene.inbox, router, clock=scene.clock)
        async with listening(receiver) as url:
            scene.bank.webhook_url = url
            await scene.walk(since=scene.now())
            for _ in range(5):
                await scene.incoming()
        for number in range(40):
            if number % 4 == 0:
                scene.bank.next_payment("held", direction="incoming")
            await scene.incoming(amount=number + 1)
            await scene.clock.advance(2 * HOUR - 60)
        assert len(handled) == 0
        port = int(url.rpartition(":")[2].partition("/")[0])
        async with listening(receiver, port=port):
            done = await scene.walk()
            await worker.run_due()
            await scene.clock.advance(80 * HOUR)
            await worker.run_due()
        listed = [event.id async for event in scene.lead.events.list()]
        assert len(listed) == 45
        assert (done.seen, done.recovered, done.near_limit) == (45, 40, False)
        assert any(attempt.number == MAX_ATTEMPTS for attempt in scene.bank.attempts)
        assert handled == Counter(listed)
        assert receiver.counts["duplicate"] > 20
        assert (await scene.inbox.stats()).by_state == {"done": 45}
