"""A child process that queues and sends instructions until nothing is open, or until it is killed at one step."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from random import Random
from typing import Any, Final

import attrs

from leadpay.client import LeadClient
from leadpay.config import Timeouts
from leadpay.inbox.worker import Worker
from leadpay.models import Agent, Party
from leadpay.outbox import Outbox
from leadpay.outbox.postgres import PostgresOutboxStore
from leadpay.outbox.sender import Sender
from leadpay.outbox.sqlite import SqliteOutboxStore
from leadpay.outbox.store import Claim
from leadpay.outbox.tracking import CONSUMER, tracking_router
from tests.crash.child import SQLITE, die, kind
from tests.support.inbox import HandClock
from tests.support.postgres import open_manual

COUNT: Final = 24
"""How many instructions there are."""

REFUSED: Final = 3
"""How many of them the bank refuses."""

HOUR: Final = 3_600.0
OPEN_ACCOUNT: Final = "account_number_open"
CLOSED_ACCOUNT: Final = "account_number_closed"


@attrs.frozen(kw_only=True)
class SendingRun:
    """What a child process gets."""

    url: str
    bank_url: str
    client_id: str
    client_secret: str
    seed: int
    number: int
    """Which child of this seed it is; each begins a lease or more after the one before."""
    journal: str
    """Where to write at which step the process died, and how many steps there were."""
    strike: int | None = None
    """At which step to die, counted from one: a statement that begins, or an await that goes on; None to live."""


def references() -> list[str]:
    """Name all instructions."""
    return [f"p{number}" for number in range(COUNT)]


def run_sending_child(run: SendingRun) -> None:
    """Queue everything, and send until nothing is open."""
    logging.disable()  # What fails here does so on purpose.
    asyncio.run(_run(run))


async def _run(run: SendingRun) -> None:
    rng = Random(f"{run.seed} {run.number}")  # noqa: S311 - to be repeated
    clock = HandClock()
    clock.move(run.number * HOUR)
    with open(run.journal, "ab", buffering=0) as journal:  # noqa: ASYNC230, PTH123 - each line is one write
        strike = Strike(run.strike, journal.write)
        lead = LeadClient(
            base_url=run.bank_url,
            client_id=run.client_id,
            client_secret=run.client_secret,
            timeouts=Timeouts(connect=2, read=2, deadline=5),
        )
        async with lead, _outbox(run.url, clock, strike) as outbox, open_manual(run.url) as inbox:
            worker = Worker(inbox, tracking_router(outbox), consumer=CONSUMER, clock=clock, retries=[1.0] * 12)
            await strike.stepping(_queue(outbox, rng))
            sender = SteppedSender(outbox, lead, concurrency=rng.randint(1, 6), clock=clock, lease=60, rng=rng)
            sender.strike = strike
            while not await _is_over(outbox):
                await sender.run_due()
                await worker.run_due()
                clock.move(rng.choice((1, 5, 30)))
        journal.write(f"steps {strike.count}\n".encode())
        journal.write("".join(f"step {one}\n" for one in sorted(set(strike.kinds))).encode())


async def _queue(outbox: Outbox, rng: Random) -> None:
    """Queue all, some of them twice, and three that cannot be told apart but by their reference."""
    wanted = references()
    wanted += rng.sample(wanted, 4)
    rng.shuffle(wanted)
    for reference in wanted:
        number = int(reference[1:])
        await outbox.send(
            reference=reference,
            account_number_id=CLOSED_ACCOUNT if number < REFUSED else OPEN_ACCOUNT,
            amount=1000 + number // 3,
            creditor=Party(name="Ada Lovelace", account_number="123456789"),
            creditor_agent=Agent(routing_number="111000111"),
            description=reference,
        )


async def _is_over(outbox: Outbox) -> bool:
    open_states = {"queued", "sending", "in_doubt", "held"}
    return not open_states & set((await outbox.stats()).by_state)


def _outbox(url: str, clock: HandClock, strike: "Strike") -> Outbox:
    store: Any
    if url.startswith(SQLITE):
        prepare = partial(_trace, strike=strike)
        store = SqliteOutboxStore(url.removeprefix(SQLITE), prepare=prepare)
    else:
        store = PostgresOutboxStore(url, database_clock=False)
    return Outbox(store, clock=clock)


def _trace(connection: sqlite3.Connection, strike: "Strike") -> None:
    connection.set_trace_callback(lambda statement: strike.hit(kind(statement)))


class SteppedSender(Sender):
    """A sender whose every await is a step."""

    strike: "Strike"

    async def _work(self, claim: Claim) -> None:
        await self.strike.stepping(super()._work(claim), claim.task)

    async def _claim(self, limit: int, polls: int) -> tuple[list[Claim], float]:
        claimed: tuple[list[Claim], float] = await self.strike.stepping(super()._claim(limit, polls), "claim")
        return claimed


class Strike:
    """Counts steps, and kills the process at one of them."""

    def __init__(self, at: int | None, note: Callable[[bytes], object]) -> None:
        self._at = at
        self._note = note
        self.count = 0
        self.kinds: list[str] = []

    def hit(self, what: str) -> None:
        """Count a step, and die at the one that was chosen."""
        self.count += 1
        self.kinds.append(what)
        if self.count == self._at:
            self._note(f"died {what}\n".encode())
            die()

    async def stepping(self, work: Awaitable[Any], what: str = "queue") -> Any:
        """Await something; each time that it goes on is a step."""
        return await _Stepped(work, lambda: self.hit(f"await in {what}"))


class _Stepped:
    def __init__(self, work: Awaitable[Any], hit: Callable[[], object]) -> None:
        self._work = work.__await__()
        self._hit = hit

    def __await__(self) -> Generator[Any, Any, Any]:
        self._hit()
        try:
            waited = next(self._work)
            while True:
                try:
                    value = yield waited
                except BaseException as error:  # noqa: BLE001 - a cancellation goes to the work
                    waited = self._work.throw(error)
                    continue
                self._hit()
                waited = self._work.send(value)
        except StopIteration as end:
            return end.value
