"""What durability costs beside a bare INSERT, and whether claiming stays as quick however much is kept."""

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final, Protocol

import attrs

from benchmarks.rounds import Contestant, Report, Result, Run, run_rounds
from benchmarks.samples import body

TOGETHER: Final = 50
"""How many webhooks wait for their commit at the same time."""

WARM_UP: Final = 500
"""How many events are added beforehand: a log that still grows takes longer to sync than one that is written over."""

BATCH: Final = 16
"""How many payments a worker claims at once, by default."""

SIZES: Final = (1_000, 100_000, 1_000_000)
"""How many events are done, and as many more wait, in the tables that are claimed from."""

LATER: Final = 1e10
"""A time in seconds since 1970 that no claim reaches."""

BARE: Final = "CREATE TABLE bare (id text PRIMARY KEY, body {})"

SERIES: Final = "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {})"

FILL: Final = (
    """
    {series} INSERT INTO leadpay_events (id, subject, type, created_at, version, received_at, body, state)
    SELECT 'event_' || n, 'payment_' || n, 'instant_payment.posted', {time}, {time}, {time}, {body},
        CASE WHEN n <= {size} THEN 'done' ELSE 'waiting' END FROM series""",
    """
    {series} INSERT INTO leadpay_ordering_keys (subject, due_at)
    SELECT 'payment_' || n, CASE WHEN n <= {size} THEN NULL ELSE {time} END FROM series""",
    """
    {series} INSERT INTO leadpay_handler_runs (event_id, handler, state, attempts)
    SELECT 'event_' || n, 'module:handler', 'done', 1 FROM series WHERE n <= {size}""",
    "ANALYZE",
)


class Store(Protocol):
    """A kind of store, with what it is measured beside."""

    name: str

    def bare(self) -> AbstractAsyncContextManager[Run]:
        """Give a loop of INSERTs, each a commit, as durable as the inbox."""
        ...

    def filled(self, size: int) -> AbstractAsyncContextManager[Any]:
        """Open an inbox in which so many events are done, and as many wait."""
        ...


def measure(*, quick: bool) -> list[Report]:
    """Measure accepting and claiming on both stores."""
    return asyncio.run(_response(quick=quick))


async def _response(*, quick: bool) -> list[Report]:
    from tests.support.postgres import serving

    responses = []
    with tempfile.TemporaryDirectory() as folder, serving(durable=True) as server:
        stores: list[Store] = [Sqlite(Path(folder)), Postgres(server)]
        for store in stores:
            responses += [await _accepting(store, quick=quick), await _claiming(store, quick=quick)]
    return responses


async def _accepting(store: Store, *, quick: bool) -> Report:
    async with store.bare() as bare, store.filled(0) as inbox:
        contestants = [
            Contestant("INSERT, one after the other", bare),
            Contestant("inbox.add, one after the other", _adding(inbox, 1)),
            Contestant(f"inbox.add, {TOGETHER} at a time", _adding(inbox, TOGETHER)),
        ]
        for one in contestants:
            await one.run(WARM_UP)
        results = await run_rounds(contestants, rounds=3 if quick else 15, times=200 if quick else 500)
    return Report(f"accepting an event on {store.name}", "seconds", results, tuple(map(_rate, results)))


def _rate(result: Result) -> str:
    return f"{result.name}: {1 / result.median:,.0f} events committed to disk a second"


def _adding(inbox: Any, together: int) -> Run:
    from leadpay.webhooks.event import parse

    event, data, ids = parse(body()), body(), count()
    received_at = datetime.now(UTC)

    async def add_some(number: int) -> None:
        for _ in range(number):
            name = f"event_{together}_{next(ids)}"
            assert await inbox.add(attrs.evolve(event, id=name), data, received_at=received_at)

    async def run(times: int) -> float:
        start = perf_counter()
        await asyncio.gather(*(add_some(times // together) for _ in range(together)))
        return perf_counter() - start

    return run


async def _claiming(store: Store, *, quick: bool) -> Report:
    async with AsyncExitStack() as stack:
        contestants = []
        for size in SIZES[: 2 if quick else 3]:
            inbox = await stack.enter_async_context(store.filled(size))
            goal = "<= 1.5" if size == SIZES[-1] else ""
            contestants.append(Contestant(f"{size:,} done and {size:,} waiting", _claim(inbox), goal))
        results = await run_rounds(contestants, rounds=5 if quick else 15, times=4)
    return Report(f"claiming {BATCH} payments on {store.name}", "seconds", results)


def _claim(inbox: Any) -> Run:
    async def run(times: int) -> float:
        spent = 0.0
        for _ in range(times):
            start = perf_counter()
            claims = await inbox.claim(BATCH, now=time(), lease=60.0)
            spent += perf_counter() - start
            assert len(claims) == BATCH
            for one in claims:
                await inbox.release(one.lease, due_at=LATER, now=time())
        return spent

    return run


class Sqlite:
    """A file, with a write-ahead log and a full sync at each commit."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[Run]:
        """Insert with the standard library's module, in this thread."""
        with closing(sqlite3.connect(self._folder / "bare.db", isolation_level=None)) as connection:
            for sql in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", BARE.format("blob")):
                connection.execute(sql)
            ids = count()

            async def run(times: int) -> float:
                data, start = body(), perf_counter()
                for _ in range(times):
                    connection.execute("INSERT INTO bare VALUES (?, ?)", (f"event_{next(ids)}", data))
                return perf_counter() - start

            yield run

    @asynccontextmanager
    async def filled(self, size: int) -> AsyncIterator[Any]:
        """Use a file of its own."""
        from leadpay.inbox.sqlite import SqliteInbox

        path = self._folder / f"{size}.db"
        async with SqliteInbox(path) as inbox:
            with closing(sqlite3.connect(path)) as connection, connection:
                series = SERIES.format(2 * size)
                for sql in FILL if size else ():
                    connection.execute(sql.format(series=series, size=size, time="n", body="zeroblob(200)"))
            yield inbox


class Postgres:
    """A server on this machine that syncs at each commit, reached through a Unix socket."""

    name = "PostgreSQL"

    def __init__(self, server: str) -> None:
        self._server = server

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[Run]:
        """Insert with psycopg, on one connection."""
        import psycopg

        from tests.support.postgres import fresh_schema

        with fresh_schema(self._server) as url:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                await connection.execute(BARE.format("bytea").encode())
                ids = count()

                async def run(times: int) -> float:
                    data, start = body(), perf_counter()
                    for _ in range(times):
                        await connection.execute("INSERT INTO bare VALUES (%s, %s)", (f"event_{next(ids)}", data))
                    return perf_counter() - start

                yield run

    @asynccontextmanager
    async def filled(self, size: int) -> AsyncIterator[Any]:
        """Use a schema of its own."""
        import psycopg

        from leadpay.inbox.postgres import PostgresInbox
        from tests.support.postgres import fresh_schema

        with fresh_schema(self._server) as url:
            async with PostgresInbox(url) as inbox:
                with psycopg.connect(url, autocommit=True) as connection:
                    series = SERIES.format(2 * size)
                    values = {"time": "to_timestamp(n)", "body": "decode(repeat('00', 200), 'hex')"}
                    for sql in FILL if size else ():
                        connection.execute(sql.format(series=series, size=size, **values).encode())
                yield inbox
