"""A child process that accepts and handles events until it is done or killed."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

import attrs

from leadpay.inbox import Inbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.inbox.worker import Worker
from leadpay.models import Event
from leadpay.webhooks.context import Context
from leadpay.webhooks.receiver import WebhookReceiver
from leadpay.webhooks.router import WebhookRouter
from leadpay.webhooks.signature import HEADER, sign
from tests.crash.proxy import is_hit
from tests.support.inbox import HandClock, event_of
from tests.support.postgres import open_manual

SQLITE: Final = "sqlite:///"
SECRET: Final = "whsec_of_this_test"
PAYMENTS: Final = 3
EVENTS_OF_EACH: Final = 3
HOUR: Final = 3_600.0

WHEN: Final = ("before", "during", "after")
"""Of a statement: it was not begun; it was under way; it was done, and the process didn't live to know."""

TABLE: Final = "CREATE TABLE effects (event_id text)"


@attrs.frozen(kw_only=True)
class ChildRun:
    """What a child process gets."""

    url: str
    seed: int
    number: int
    """Which child of this seed it is; each begins an hour after the one before, when all leases have expired."""
    journal: str
    """Where to write which events got a 2xx, and at which statement the process died."""
    strike: int | None = None
    """At which statement to die, counted from one; None to live, or where the proxy does it."""
    aim: str | None = None
    """Which kind of statement is counted; None for all."""
    when: str = "before"


def run_child(run: ChildRun) -> None:
    """Accept everything, in random order and some of it twice, and meanwhile work on it until nothing waits."""
    logging.disable()  # What fails here does so on purpose.
    asyncio.run(_run_child(run))


def event_ids() -> list[tuple[str, str, int]]:
    """Name all events: ID, payment, minute."""
    return [
        (f"event_{payment}_{minute}", f"instant_payment_{payment}", minute)
        for payment in range(PAYMENTS)
        for minute in range(EVENTS_OF_EACH)
    ]


async def _run_child(run: ChildRun) -> None:
    rng = Random(f"{run.seed} {run.number}")  # noqa: S311 - to be repeated
    clock = HandClock()
    clock.move(run.number * HOUR)
    router = _handlers(run.url)
    with open(run.journal, "ab", buffering=0) as journal:  # noqa: ASYNC230, PTH123 - each line is one write
        strike = Strike(run, journal.write)
        async with _inbox(run.url, strike) as inbox:
            receiver = WebhookReceiver(router, secrets=[SECRET], inbox=inbox, work=False, clock=clock)
            worker = Worker(inbox, router, clock=clock, rng=rng, retries=[1.0] * 12, concurrency=4)
            accepting = asyncio.create_task(_accept(receiver, rng, clock, journal.write))
            while not accepting.done():
                await worker.run_due()
                await asyncio.sleep(0)
            await accepting
            while (await inbox.stats()).by_state.get("waiting"):
                clock.move(60)
                await worker.run_due()
        journal.write("".join(f"statement {one}\n" for one in strike.kinds).encode())


async def _accept(receiver: WebhookReceiver, rng: Random, clock: HandClock, note: Callable[[bytes], object]) -> None:
    async def accept(event_id: str, payment: str, minute: int) -> None:
        _, body = event_of(event_id, payment=payment, minute=minute, version=minute)
        headers = {HEADER: sign(body, SECRET, round(clock.now() * 1000))}
        if await receiver.receive(body=body, headers=headers) == 200:
            note(f"accepted {event_id}\n".encode())

    deliveries = event_ids()
    deliveries += rng.sample(deliveries, 3)
    rng.shuffle(deliveries)
    while deliveries:
        size = rng.randint(1, 4)
        await asyncio.gather(*(accept(*one) for one in deliveries[:size]))
        del deliveries[:size]


def _handlers(url: str) -> WebhookRouter:
    router = WebhookRouter("child")
    mark = "?" if url.startswith("sqlite") else "%s"

    @router.on("*")
    async def book(event: Event, context: Context) -> None:
        await context.transaction.execute(f"INSERT INTO effects VALUES ({mark})", (event.id,))  # noqa: S608 - ours

    @router.on("*")
    async def stumble(event: Event, context: Context) -> None:
        if context.attempt == 1:
            raise ConnectionError

    @router.on("*", retries=[1.0] * 5)
    async def fail(event: Event) -> None:
        if event.id.endswith("_1"):
            raise ValueError

    return router


def _inbox(url: str, strike: "Strike") -> Inbox:
    if not url.startswith(SQLITE):
        return open_manual(url)
    return SqliteInbox(url.removeprefix(SQLITE), prepare=lambda one: one.set_trace_callback(strike))


class Strike:
    """Kills the process at one of SQLite's statements; called with each as it begins."""

    def __init__(self, run: ChildRun, note: Callable[[bytes], object]) -> None:
        self._run = run
        self._note = note
        self._late: str | None = None
        self.kinds: list[str] = []

    def __call__(self, statement: str) -> None:
        """Count, and at one of them kill: now, within a thousandth of a second, or as the next one begins."""
        if self._late is not None:
            self._note_death(self._late)
            die()
        self.kinds.append(kind(statement))
        if not is_hit(self.kinds, self._run.strike, self._run.aim):
            return
        if self._run.when == "after":
            self._late = self.kinds[-1]
            return
        self._note_death(self.kinds[-1])
        if self._run.when == "during":
            threading.Thread(target=partial(_die_soon, self._run.seed % 10 / 10_000), daemon=True).start()
        else:
            die()

    def _note_death(self, struck: str) -> None:
        self._note(f"died {self._run.when} {struck}\n".encode())


def die() -> None:
    """End at once, as if the power had gone."""
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon(seconds: float) -> None:
    time.sleep(seconds)
    die()


def kind(statement: str) -> str:
    """Name a statement without the values in it."""
    parts = [word for word in statement.split() if word.isupper() or word.startswith("leadpay_")]
    return " ".join(parts)[:60]
