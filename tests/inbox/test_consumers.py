"""The contract of every store: consumers, their handlers, and what cannot be read."""

from typing import Any

import pytest

from leadpay.errors import ConfigurationError
from leadpay.inbox import Inbox
from leadpay.inbox.worker import Worker
from leadpay.models import Event, InstantPaymentEvent
from leadpay.webhooks.router import WebhookRouter
from tests.support.inbox import NOW, RECEIVED, Bench, event_of

PAYMENT = "instant_payment_1"


class Program:
    """A router of its own, with one handler, and a worker."""

    def __init__(self, bench: Bench, consumer: str = "default", *names: str) -> None:
        self.router = WebhookRouter(consumer)
        self.seen: list[tuple[str, str]] = []
        self._bench = bench
        self._consumer = consumer
        for name in names or (consumer,):
            self.router.posted(name=name)(self._handler(name))

    def _handler(self, name: str) -> Any:
        async def handle(event: InstantPaymentEvent) -> None:
            self.seen.append((name, event.id))

        return handle

    async def work(self) -> None:
        """Work until nothing is due."""
        await Worker(self._bench.inbox, self.router, consumer=self._consumer, clock=self._bench.clock).run_due()


@pytest.mark.asyncio
async def test_every_consumer_gets_every_event(bench: Bench) -> None:
    """Each with its own progress; the first one takes over what came before, a later one begins with what comes."""
    ledger, mailer = Program(bench, "ledger"), Program(bench, "mailer")
    await bench.receive("event_1", payment=PAYMENT)
    await ledger.work()
    await mailer.work()
    await bench.receive("event_2", payment=PAYMENT, minute=1)
    await ledger.work()
    assert ledger.seen == [("ledger", "event_1"), ("ledger", "event_2")]
    assert [one.name for one in await bench.inbox.consumers()] == ["ledger", "mailer"]
    assert (await bench.inbox.stats(consumer="mailer")).by_state == {"waiting": 1}
    assert (await bench.inbox.stats()).by_state == {"done": 2}
    await mailer.work()
    assert mailer.seen == [("mailer", "event_2")]
    assert [one.by_state for one in await bench.inbox.consumers()] == [{"done": 2}, {"done": 1}]
    with pytest.raises(ConfigurationError, match="no consumer 'mial'; there are: ledger, mailer"):
        await bench.inbox.stats(consumer="mial")


@pytest.mark.asyncio
async def test_a_consumer_of_leadpay_itself_takes_nothing_over(bench: Bench) -> None:
    """The first program of the user gets what came before, although it comes later."""
    await bench.receive("event_1", payment=PAYMENT)
    await Program(bench, "leadpay-outbox").work()
    ledger = Program(bench, "ledger")
    await ledger.work()
    assert ledger.seen == [("ledger", "event_1")]


@pytest.mark.asyncio
async def test_what_came_before_a_consumer_can_be_replayed_for_it_once(bench: Bench) -> None:
    """By the name of its handler; it is not counted, and its runs are kept, so that it is not replayed twice."""
    for number in range(2):
        await bench.receive(f"event_{number}", payment=PAYMENT, minute=number)
    await Program(bench, "ledger").work()
    mailer = Program(bench, "mailer")
    await mailer.work()
    inbox = bench.inbox
    assert [one async for one in inbox.events(consumer="mailer")] == []
    before = await inbox.get("event_1", consumer="mailer")
    assert before is not None
    assert before.state == "unhandled"
    assert await inbox.replay("event_1", handler="mailer", now=NOW, consumer="mailer")
    assert (await inbox.stats(consumer="mailer")).by_state == {"waiting": 1}
    await mailer.work()
    assert (await inbox.stats(consumer="mailer")).by_state == {}
    assert [one.event_id async for one in inbox.events(state="done", consumer="mailer")] == ["event_1"]
    assert not await inbox.replay_all(handler="mailer", event_type="account.created", now=NOW, consumer="mailer")


@pytest.mark.asyncio
async def test_runs_are_left_to_workers_that_have_the_handler(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """During a rolling deploy the old worker does its part, says once what it lacks, and is not asked again."""
    old, new = Program(bench, "default", "credit"), Program(bench, "default", "credit", "audit")
    await old.work()
    await new.work()
    for number in range(3):
        await bench.receive(f"event_{number}", payment=f"instant_payment_{number}")
    await old.work()
    assert sorted(old.seen) == [("credit", f"event_{number}") for number in range(3)]
    assert (await bench.inbox.stats()).by_state == {"waiting": 3}
    assert caplog.text.count("has a handler audit that this worker lacks") == 1
    assert await bench.inbox.claim(9, now=NOW, lease=1, has=["credit"]) == []
    await new.work()
    assert sorted(new.seen) == [("audit", f"event_{number}") for number in range(3)]
    assert (await bench.inbox.stats()).by_state == {"done": 3}


@pytest.mark.asyncio
async def test_a_handler_that_was_removed_for_good_is_forgotten(bench: Bench) -> None:
    """What waited for it goes on."""
    await Program(bench, "default", "credit", "audit").work()
    await bench.receive("event_1", payment=PAYMENT)
    rest = Program(bench, "default", "credit")
    await rest.work()
    assert await bench.state("event_1") == "waiting"
    assert await bench.inbox.forget_handler("audit")
    assert not await bench.inbox.forget_handler("audit")
    await rest.work()
    assert await bench.state("event_1") == "done"


@pytest.mark.asyncio
async def test_an_alias_takes_the_place_of_the_earlier_name(bench: Bench) -> None:
    """A renamed handler is the same handler, known since the same event."""
    await Program(bench, "default", "old").work()
    await bench.receive("event_1", payment=PAYMENT)
    renamed = WebhookRouter("renamed")
    renamed.posted(name="new", aliases=["old"])(Program(bench)._handler("new"))
    await Worker(bench.inbox, renamed, clock=bench.clock).run_due()
    ((name, handler),) = (await bench.inbox.consumers())[0].handlers.items()
    assert (name, handler.since, handler.patterns) == ("new", 0, ("instant_payment.posted", "alias=old"))
    assert handler.aliases == ("old",)
    assert await bench.inbox.replay_all(handler="new", now=NOW) == 0
    await Worker(bench.inbox, renamed, clock=bench.clock).run_due()


@pytest.mark.asyncio
async def test_a_misspelled_handler_is_an_error(bench: Bench) -> None:
    """It would wait for ever."""
    await bench.receive("event_1", payment=PAYMENT)
    with pytest.raises(ConfigurationError, match="none yet"):
        await bench.inbox.replay("event_1", handler="credit", now=NOW)
    await Program(bench, "default", "credit").work()
    with pytest.raises(ConfigurationError, match="no handler 'creidt'; there are: credit"):
        await bench.inbox.replay_all(handler="creidt", now=NOW)


@pytest.mark.asyncio
async def test_a_replay_by_name_runs_no_other_handler(bench: Bench) -> None:
    """Also for an event whose only handler left no row, after the replayed one gave up, and for several names."""
    program = Program(bench, "default", "credit")
    await program.work()
    await bench.receive("event_1", payment=PAYMENT)
    await program.work()
    assert (await bench.kept("event_1")).handler_runs == {}

    broken = True
    both = Program(bench, "default", "credit")
    both.router.posted(name="late", retries=())(_failing(lambda: broken))
    await both.work()
    assert await bench.inbox.replay("event_1", handler="late", now=NOW)
    assert (await bench.kept("event_1")).only == frozenset({"late"})
    assert await bench.inbox.replay("event_1", handler="late", now=NOW)
    await both.work()
    assert (await bench.state("event_1"), both.seen) == ("dead", [])
    broken = False
    assert await bench.inbox.replay("event_1", now=NOW)
    await both.work()
    assert (await bench.state("event_1"), both.seen) == ("done", [])
    assert not await bench.inbox.replay_all(handler="late", now=NOW)


def _failing(is_broken: Any) -> Any:
    async def late(event: InstantPaymentEvent) -> None:
        if is_broken():
            raise RuntimeError

    return late


@pytest.mark.asyncio
async def test_an_event_that_a_replayed_handler_does_not_take_is_what_it_was(bench: Bench) -> None:
    """Done stays done, and unhandled stays unhandled."""
    await bench.receive("event_1", payment=PAYMENT)
    await bench.receive("event_2")
    program = Program(bench, "default", "credit")
    await program.work()
    program.router.on("*", where=lambda event: False, name="never")(_failing(lambda: False))
    program.router.posted(direction="outgoing", name="outgoing")(_failing(lambda: False))
    await program.work()
    assert await bench.inbox.replay("event_1", handler="outgoing", now=NOW)
    assert await bench.inbox.replay("event_2", handler="never", now=NOW)
    assert (await bench.inbox.stats()).by_state == {"waiting": 2}
    assert [one.event_id async for one in bench.inbox.events(state="unhandled")] == []
    await program.work()
    assert [await bench.state("event_1"), await bench.state("event_2")] == ["done", "unhandled"]


@pytest.mark.asyncio
async def test_unreadable_bytes_are_kept_and_read_again(inbox: Inbox) -> None:
    """With an ID or without; a replay after an upgrade has them handled, and drops them if the event is known."""
    bench = Bench(inbox)
    seen: list[str] = []

    @bench.router.on("*")
    async def note(event: Event) -> None:
        seen.append(event.id)

    await bench.work()
    _, readable = event_of("event_1", payment=PAYMENT)
    _, twin = event_of("event_2")
    assert await inbox.add_unreadable("event_1", readable, ["missing @ $.a", "b"], received_at=RECEIVED)
    assert not await inbox.add_unreadable("event_1", readable, ["missing @ $.a"], received_at=RECEIVED)
    for body in (twin, twin, b"{"):
        await inbox.add_unreadable(None, body, ["odd"], received_at=RECEIVED)
    await bench.receive("event_2")
    await bench.work()
    assert (await inbox.stats()).by_type["unreadable"] == {"unreadable": 3}
    kept = await bench.kept("event_1")
    assert (kept.state, kept.reason, kept.body) == ("unreadable", "missing @ $.a\nb", readable)
    assert await inbox.replay_all(state="unreadable", now=NOW) == 2
    await bench.work()
    assert sorted(seen) == ["event_1", "event_2"]
    assert (await bench.kept("event_1")).type == "instant_payment.posted"
    assert (await inbox.stats()).by_state == {"done": 2, "unreadable": 1}
    (left,) = [one async for one in inbox.events(state="unreadable")]
    assert left.event_id.startswith("unreadable_")
    assert await inbox.discard(left.event_id, reason="a test", now=NOW)
    assert not await inbox.replay("event_3", now=NOW)


@pytest.mark.asyncio
async def test_the_last_result_releases_the_key(bench: Bench) -> None:
    """With new work the key is due at once, and without any it is forgotten."""
    for has_new_work in (False, True):
        await bench.receive(f"event_{has_new_work}_1", payment=PAYMENT)
        (claim,) = await bench.inbox.claim(1, now=NOW, lease=10)
        if has_new_work:
            await bench.receive("event_2", payment=PAYMENT, minute=1)
        event_id = claim.events[0].event_id
        found = await bench.inbox.record_result(claim.lease, event_id, None, closes="done", now=NOW, releases=True)
        assert found is has_new_work
        assert len(await bench.inbox.claim(1, now=NOW, lease=10)) == has_new_work
