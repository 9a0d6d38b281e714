"""Receivers and workers in processes of their own, on one PostgreSQL."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from random import Random
from typing import Any, Final

import aiohttp
import psycopg
import pytest

from leadpay.inbox import open_inbox
from leadpay.webhooks.signature import HEADER, sign
from tests.crash.processes import ALL, PROCESSES
from tests.crash.receivers_and_workers import SECRET, TABLE, receive, work
from tests.support.inbox import event_of
from tests.support.postgres import fresh_schema

PAYMENTS: Final = 2_000 if ALL else 60
EVENTS_OF_EACH: Final = 10
DUPLICATES: Final = 0.3
RECEIVERS: Final = 2
WORKERS: Final = 4
AT_ONCE: Final = 40


@contextmanager
def child(target: Callable[[str, Connection], None], url: str) -> Iterator[Connection]:
    """Run a process; gives what to talk to it by."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=target, args=(url, there))
    process.start()
    there.close()
    try:
        yield here
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()


class Bank:
    """Sends every event, some of them twice, in random order, to any of the receivers."""

    def __init__(self, receivers: list[str], rng: Random) -> None:
        self._receivers = receivers
        self._rng = rng
        self.accepted: dict[str, int] = {}
        """When an event had been accepted for the first time, in nanoseconds."""

    async def send(self) -> None:
        """Send all; the bank would send one without a 200 again in three hours, so here it is a failure."""
        events = [
            (f"event_{one}_{minute}", f"instant_payment_{one}", minute)
            for one in range(PAYMENTS)
            for minute in range(EVENTS_OF_EACH)
        ]
        deliveries = events + self._rng.sample(events, round(len(events) * DUPLICATES))
        self._rng.shuffle(deliveries)
        left = iter(deliveries)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._send(session, left))

    async def _send(self, session: aiohttp.ClientSession, left: Iterator[tuple[str, str, int]]) -> None:
        for event_id, payment, minute in left:
            _, body = event_of(event_id, payment=payment, minute=minute, version=minute)
            headers = {HEADER: sign(body, SECRET, time.time_ns() // 1_000_000)}
            async with session.post(self._rng.choice(self._receivers), data=body, headers=headers) as response:
                assert response.status == 200
            self.accepted.setdefault(event_id, time.monotonic_ns())


@pytest.mark.asyncio
async def test_many_processes_handle_each_event_once_in_order_and_one_at_a_time(postgres_server: str) -> None:
    """Four workers and two receivers: nothing twice, nothing side by side for a payment, nothing out of order."""
    with fresh_schema(postgres_server) as url, ExitStack() as stack, psycopg.connect(url, autocommit=True) as admin:
        admin.execute(TABLE.encode())
        async with open_inbox(url) as inbox:
            receivers = [stack.enter_context(child(receive, url)) for _ in range(RECEIVERS)]
            workers = [stack.enter_context(child(work, url)) for _ in range(WORKERS)]
            bank = Bank([await asyncio.to_thread(one.recv) for one in receivers], Random(3))  # noqa: S311 - to be repeated
            await bank.send()
            while (await inbox.stats()).by_state.get("waiting"):
                await inbox.wait_for_work(1)
            assert (await inbox.stats()).by_state == {"done": PAYMENTS * EVENTS_OF_EACH}
        for one in (*receivers, *workers):
            one.send("stop")
        claimed: dict[Any, int] = {}
        for one in workers:
            claimed |= one.recv()
        rows = admin.execute(
            "SELECT event_id, payment, fencing_token, worker, begun, ended FROM effects ORDER BY number"
        ).fetchall()
    assert Counter(row[0] for row in rows) == dict.fromkeys(bank.accepted, 1)
    assert len({row[3] for row in rows}) == WORKERS
    of_payment: dict[str, list[Any]] = {}
    for row in rows:
        of_payment.setdefault(row[1], []).append(row)
    for payment, handled in of_payment.items():
        assert all(before[5] <= after[4] for before, after in pairwise(handled)), payment
        assert early(handled, bank.accepted, claimed) == [], payment


def early(handled: list[Any], accepted: dict[str, int], claimed: dict[Any, int]) -> list[Any]:
    """Name the events of one payment that were handled before an older one that had been accepted by then."""
    found = []
    for place, (event_id, payment, fencing_token, *_) in enumerate(handled):
        minute = int(event_id.rpartition("_")[2])
        later = [row[0] for row in handled[place + 1 :]]
        found += [
            (event_id, other)
            for other in later
            if int(other.rpartition("_")[2]) < minute and accepted[other] < claimed[payment, fencing_token]
        ]
    return found
