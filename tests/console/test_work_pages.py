"""What waits for a person, and how the queues do."""

import pytest

from leadpay.console import loopback
from leadpay.console.app import Console, listening, make
from leadpay.console.work_pages import RECENT, SAMPLE_SECONDS, WorkPages
from leadpay.sandbox import ManualClock
from leadpay.webhooks.secrets import SecretUse
from tests.console.program import Program
from tests.console.visitor import visiting
from tests.support.inbox import NOW, RECEIVED


@pytest.mark.asyncio
async def test_work_is_on_one_page(program: Program) -> None:
    """Counts and the newest rows of each kind; the menu says how much needs a person."""
    visitor = program.visitor
    assert "Nothing to do" in (await visitor.get("/work")).words
    await program.receive("event_1", payment="instant_payment_1")
    await program.receive("event_2")
    await program.work()
    await program.receive("event_3", payment="instant_payment_3")
    await program.inbox.add_unreadable("event_4", b"{}", ["x"], received_at=RECEIVED)
    await program.queue("large", amount=100_001)
    page = await visitor.get("/work")
    for text in ("Held 1", "Dead 1", "Unreadable 1", "Unhandled 1", "Waiting 1", "Work 4 need a person"):
        assert text in page.words, text
    assert 'href="/events?state=dead"' in page.text
    assert 'href="/instructions/large"' in page.text


@pytest.mark.asyncio
async def test_health_shows_queues_and_secrets(program: Program) -> None:
    """Consumers with their oldest waiting event, secrets by fingerprint, senders."""
    await program.receive("event_1", payment="instant_payment_1")
    await program.inbox.register("default", {"credit": ["*"]}, aliases={})
    await program.inbox.record_secrets([SecretUse(fingerprint="0123abcd", first_seen_at=RECEIVED, verified=7)])
    await program.queue("a")
    page = await program.visitor.get("/health")
    for text in ("Received", "default", "0123abcd 7", "may send", "Oldest queued"):
        assert text in page.words, text
    assert page.text.count('<svg class="chart"') == 3


@pytest.mark.asyncio
async def test_queues_are_looked_at_while_the_console_runs(program: Program) -> None:
    """Every minute; a store that is away leaves a gap."""
    clock = ManualClock(NOW)
    console = Console(loopback, clock=clock)
    pages = WorkPages(console, program.inbox, program.outbox)
    console.add(pages)
    await program.receive("event_1")
    await program.queue("a")
    async with listening(console) as url, visiting(url) as visitor:
        for _ in range(3):
            await clock.advance(SAMPLE_SECONDS)
        await pages.sample()
        assert pages._samples[-1].waiting == pages._samples[-1].queued == 1
        assert (await visitor.get("/health")).status == 200
        count = len(pages._samples)
        await program.outbox.__aexit__(None, None, None)
        await clock.advance(SAMPLE_SECONDS)
        assert len(pages._samples) <= count + 1  # a look may have begun before


@pytest.mark.asyncio
async def test_very_many_events_show_the_time_that_they_span(program: Program) -> None:
    """The chart looks at a bounded number of events."""
    for number in range(RECENT):
        await program.receive(f"event_{number}")
    clock = ManualClock(NOW + 1)
    async with (
        listening(make(inbox=program.inbox, auth=loopback, clock=clock)) as url,
        visiting(url) as visitor,
    ):
        page = await visitor.get("/health")
    assert "1,000" in page.words
    assert "1 s ago" in page.words


@pytest.mark.asyncio
async def test_an_outbox_alone(program: Program) -> None:
    """There is no inbox to show; nor is there an outbox where there is only an inbox."""
    async with listening(make(inbox=program.inbox, auth=loopback)) as url, visiting(url) as visitor:
        assert "Held" not in (await visitor.get("/work")).words
    await program.queue("a")
    async with listening(make(outbox=program.outbox, auth=loopback)) as url, visiting(url) as visitor:
        assert "Held" in (await visitor.get("/work")).words
        page = await visitor.get("/health")
        assert page.text.count('<svg class="chart"') == 1
