"""The inbox's pages: events by state and type, each with its handler runs; replay and discard, with who and why."""

import logging

import pytest

from leadpay.console.inbox_pages import PAGE
from leadpay.webhooks.router import WebhookRouter
from tests.console.program import Program
from tests.support.inbox import NOW, RECEIVED


@pytest.mark.asyncio
async def test_events_are_listed_by_state_and_type(program: Program) -> None:
    """Filters are in the URL, counts beside them, and a page goes on from the last row."""
    visitor = program.visitor
    assert "No events" in (await visitor.get("/events")).words
    for number in range(PAGE + 5):
        await program.receive(f"event_{number}", payment=f"instant_payment_{number}")
    await program.receive("event_other")
    await program.work()
    page = await visitor.get("/events")
    assert page.text.count('<tr id="e-') == PAGE
    older = page.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await visitor.get(older)).text.count('<tr id="e-') == 6
    dead = await visitor.get("/events?state=dead")
    assert f"Dead {PAGE + 5}" in dead.words
    assert "credit: builtins.KeyError" in dead.words
    assert "Replay all that match" in dead.words
    assert (await visitor.get("/events?type=account.created")).text.count('<tr id="e-') == 1
    assert (await visitor.get("/events?state=unhandled")).text.count('<tr id="e-') == 1
    assert (await visitor.get("/events?state=nonsense&type=nonsense&before=x")).text.count('<tr id="e-') == PAGE


@pytest.mark.asyncio
async def test_a_dead_letter_is_explained_and_replayed(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    """Its page says which handler failed with what; after the replay it is done, and who and why are kept."""
    visitor = program.visitor
    event = await program.receive("event_1", payment="instant_payment_1")
    await program.work()
    page = await visitor.get("/events/event_1")
    for text in ("credit dead 1 attempt", "builtins.KeyError", "at its last attempt"):
        assert text in page.words, text
    program.is_broken = False
    question = await visitor.get("/events/event_1/replay")
    assert "waits again" in question.words
    without = await visitor.submit("/events/event_1/replay", question, reason=" ")
    assert (without.status, "Say why" in without.words) == (400, True)
    unknown = await visitor.submit("/events/event_1/replay", without, reason="x", handler="no.such.handler")
    assert (unknown.status, "no.such.handler" in unknown.text) == (400, True)
    with caplog.at_level(logging.WARNING, "leadpay.console"):
        done = await visitor.submit("/events/event_1/replay", unknown, reason="the ledger is <b>back</b>")
    assert "Replayed: a worker takes it next." in done.words
    logged = [record.getMessage() for record in caplog.records if record.name == "leadpay.console"]
    assert logged == ["local: replayed event event_1 for default"]
    await program.work()
    page = await visitor.get("/events/event_1")
    assert "Replayed by local" in page.words
    assert "the ledger is &lt;b&gt;back&lt;/b&gt;" in page.text
    [note] = await program.inbox.notes(event.number)
    assert (note.action, note.by, note.reason) == ("replayed", "local", "the ledger is <b>back</b>")
    again = await visitor.submit("/events/event_1/replay", await visitor.get("/events/event_1/replay"), reason="x")
    assert (again.status, "nothing to replay" in again.words) == (400, True)
    named = await visitor.get("/events/event_1/replay")
    done = await visitor.submit("/events/event_1/replay", named, reason="x", handler="credit")
    assert "Replayed" in done.words
    assert (await program.inbox.notes(event.number))[-1].action == "replayed for credit"


@pytest.mark.asyncio
async def test_an_event_is_discarded(program: Program) -> None:
    """The reason is kept with the event; the second time there is nothing to discard."""
    visitor = program.visitor
    event = await program.receive("event_1")
    question = await visitor.get("/events/event_1/discard")
    done = await visitor.submit("/events/event_1/discard", question, reason="not ours")
    assert "local: not ours" in done.words
    assert "discarded by local" in done.words.lower()
    again = await visitor.submit("/events/event_1/discard", await visitor.get("/events/event_1/discard"), reason="x")
    assert (again.status, "already" in again.words) == (400, True)
    assert len(await program.inbox.notes(event.number)) == 1


@pytest.mark.asyncio
async def test_all_that_match_are_replayed(program: Program) -> None:
    """The confirmation says how many; each keeps who and why."""
    visitor = program.visitor
    for number in range(3):
        await program.receive(f"event_{number}", payment=f"instant_payment_{number}")
    await program.receive("event_other")
    await program.work()
    program.is_broken = False
    path = "/events/replay?state=dead&type=instant_payment.posted"
    question = await visitor.get(path)
    assert "3 dead events of type instant_payment.posted" in question.words
    await visitor.submit(path, question, reason="fixed")
    await program.work()
    stats = await program.inbox.stats()
    assert stats.by_state == {"done": 3, "unhandled": 1}
    assert "Replay 1 unhandled event" in (await visitor.get("/events/replay?state=unhandled")).words
    assert (await visitor.get("/events/replay")).status == 404
    await program.inbox.add_unreadable("event_odd", b"{}", ["x"], received_at=RECEIVED)
    path = "/events/replay?state=unreadable"
    await visitor.submit(path, await visitor.get(path), reason="upgraded")
    odd = await program.inbox.get("event_odd")
    assert odd is not None
    assert (odd.state, await program.inbox.notes(odd.number)) == ("unreadable", [])


@pytest.mark.asyncio
async def test_a_body_may_be_purged_or_unreadable(program: Program) -> None:
    """Neither breaks a page, and what is not JSON is not shown."""
    visitor = program.visitor
    await program.receive("event_1", payment="instant_payment_1")
    program.is_broken = False
    await program.work()
    await program.inbox.purge(before=RECEIVED.replace(year=2100))
    assert "purged" in (await visitor.get("/events/event_1")).words
    await program.inbox.add_unreadable("event_2", b"\xff<script>", ["$: must be JSON"], received_at=RECEIVED)
    await program.inbox.add_unreadable("event_3", b'{"id": "event_3", "name": "Alex"}', ["x"], received_at=RECEIVED)
    page = await visitor.get("/events/event_2")
    assert "9 bytes that are not JSON" in page.words
    assert "must be JSON" in page.words
    page = await visitor.get("/events/event_3")
    assert "Alex" not in page.text
    assert (await visitor.get("/events?state=unreadable")).text.count('<tr id="e-') == 2
    assert (await visitor.get("/events/nothing")).status == 404


@pytest.mark.asyncio
async def test_each_consumer_has_its_own_progress(program: Program) -> None:
    """The page shows the progress of one, and acts for it."""
    visitor = program.visitor
    router = WebhookRouter("second")

    @router.on("*", name="all")
    async def take(event: object) -> None: ...

    handlers = {"all": ["*"]}
    await program.inbox.register("default", {"credit": ["instant_payment.posted"]}, aliases={})
    await program.inbox.register("reports", handlers, aliases={})
    event = await program.receive("event_1", payment="instant_payment_1")
    await program.inbox.discard("event_1", reason="x", now=NOW, consumer="reports")
    assert "Waiting 1" in (await visitor.get("/events?consumer=default")).words
    assert "Discarded 1" in (await visitor.get("/events?consumer=reports")).words
    page = await visitor.get("/events/event_1?consumer=reports")
    assert "For consumer reports" in page.words
    path = "/events/event_1/replay?consumer=reports"
    await visitor.submit(path, await visitor.get(path), reason="after all")
    found = await program.inbox.get("event_1", consumer="reports")
    assert found is not None
    assert found.state == "waiting"
    assert [note.action for note in await program.inbox.notes(event.number)] == ["replayed (reports)"]
