"""The console's pages over a million events and a million instructions, on each store.

It prints the time of each page, and how much of a core an open page takes::

    $ uv run --group bench python -m benchmarks.console --rows 1000000
"""

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any, Final
from uuid import UUID

import aiohttp
import psycopg

from leadpay.console import loopback
from leadpay.console.app import listening, make
from leadpay.inbox import open_inbox
from leadpay.models import Agent, Party
from leadpay.outbox import open_outbox
from leadpay.sandbox import sample
from leadpay.webhooks.event import parse
from tests.support.postgres import serving

NUMBERS: Final = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}) "

FILL: Final = (
    # Three events of each payment; of a thousand events, one is dead, one unhandled, and the newest wait.
    "INSERT INTO leadpay_events (id, ordering_key, type, created_at, version, received_at, body) "
    + NUMBERS
    + "SELECT 'event_' || n, 'payment_' || (n / 3), type, created_at, version, received_at, body "
    "FROM leadpay_events, numbers WHERE id = 'one'",
    "DELETE FROM leadpay_pending",
    "DELETE FROM leadpay_ordering_keys",
    (
        "INSERT INTO leadpay_pending (consumer, ordering_key, number) "
        "SELECT 1, ordering_key, number FROM leadpay_events WHERE number > {rows} - 500"
    ),
    (
        "INSERT INTO leadpay_set_aside (consumer, number, state) "
        "SELECT 1, number, CASE number % 1000 WHEN 0 THEN 'dead' ELSE 'unhandled' END "
        "FROM leadpay_events WHERE number % 1000 < 2 AND number <= {rows} - 500"
    ),
    "INSERT INTO leadpay_instructions ({names}) " + NUMBERS + "SELECT {values} "
    "FROM leadpay_instructions AS one, numbers WHERE one.reference = 'one'",
    "ANALYZE",
)

PAGES: Final = (
    "/payments",
    "/payments?direction=incoming",
    "/payments?q=no-such-thing",
    "/payments?q=payment_500",
    "/payments/payment_500",
    "/work",
    "/health",
    "/events",
    "/events?state=dead",
    "/events?state=waiting",
    "/events?state=unhandled&type=instant_payment.posted",
    "/events?before={middle}",
    "/events/event_500",
    "/instructions",
    "/instructions?state=held",
    "/instructions?before={middle}",
    "/instructions/reference_500",
)

WATCHED_SECONDS: Final = 20
"""How long the open page is watched."""


@contextmanager
def connection(url: str) -> Iterator[Any]:
    """Connect to the store without leadpay."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as found, found:
            yield found
    else:
        with psycopg.connect(url) as served:
            yield served


def fill(url: str, rows: int) -> None:
    """Make a million of each from one of each."""
    with connection(url) as store:
        columns = [column[0] for column in store.execute("SELECT * FROM leadpay_instructions").description]
        changed = {
            "reference": "'reference_' || n",
            "key": "'key_' || n",
            "state": "CASE WHEN n % 1000 = 0 THEN 'held' ELSE one.state END",
        }
        names = [name for name in columns if name != "number"]
        values = [changed.get(name, f"one.{name}") for name in names]
        for statement in FILL:
            store.execute(statement.format(rows=rows, names=", ".join(names), values=", ".join(values)))


async def measure(url: str, rows: int, rounds: int) -> None:
    """Fill a store, and measure each page."""
    event = sample("posted", now=time.time(), new_uuid=lambda: UUID(int=Random(1).getrandbits(128), version=4))  # noqa: S311
    body = json.dumps({**event, "id": "one"}).encode()
    async with open_inbox(url) as inbox, open_outbox(url) as outbox:
        await inbox.register("default", {"credit": ["*"]}, aliases={})
        await inbox.add(parse(body), body, received_at=datetime.now(UTC))
        await outbox.send(
            reference="one",
            account_number_id="account_number_1",
            amount=5000,
            creditor=Party(name="Alex Smith", account_number="1234567890"),
            creditor_agent=Agent(routing_number="111000111"),
        )
        started = time.perf_counter()
        await asyncio.to_thread(fill, url, rows)
        print(
            f"{url.partition(':')[0]}: {rows:,} events and instructions, made in {time.perf_counter() - started:.0f} s"
        )
        console = make(inbox=inbox, outbox=outbox, auth=loopback)
        async with listening(console) as page, aiohttp.ClientSession() as session:
            for path in PAGES:
                await measure_page(session, page.rstrip("/") + path.format(middle=rows // 2), path, rounds)
            async with session.get(f"{page}changes") as stream:
                await stream.content.readuntil(b"\n\n")
                used = time.process_time()
                await asyncio.sleep(WATCHED_SECONDS)
                share = (time.process_time() - used) / WATCHED_SECONDS
        print(f"  an open page, while nothing happens: {share:.2%} of a core")


async def measure_page(session: aiohttp.ClientSession, url: str, name: str, rounds: int) -> None:
    """Open a page so many times, and print the median and the 95th percentile."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        async with session.get(url) as response:
            await response.read()
            assert response.status == 200, (name, response.status)  # noqa: PLR2004
        times.append((time.perf_counter() - started) * 1000)
    print(f"  {name:<56} {median(times):7.1f} ms   p95 {quantiles(times, n=20)[-1]:7.1f} ms")


async def main() -> None:
    """Measure both stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    given = parser.parse_args()
    if given.store != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            await measure(f"sqlite:///{Path(folder) / 'console.db'}", given.rows, given.rounds)
    if given.store != "sqlite":
        with serving() as url:
            await measure(url, given.rows, given.rounds)


if __name__ == "__main__":
    asyncio.run(main())
