"""Events kept and handled: what the inbox takes beside a bare loop with the same guarantees, and beside task queues.

Each contestant accepts the same events, four for each payment, and writes one row as the effect of each. In a round
each has an empty schema, or an empty file, and all take turns.
"""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles
from time import perf_counter, process_time, time
from typing import Any, Final, Protocol, TypeAlias

import orjson
import psycopg

from benchmarks.queues import (
    COMMIT_TOGETHER,
    EFFECTS,
    EFFECTS_SQLITE,
    Huey,
    Leadpay,
    PgQueuer,
    PostgresLoop,
    Procrastinate,
    Queue,
    SqliteLoop,
)
from benchmarks.rounds import Report, compare
from benchmarks.samples import event

TOGETHER: Final = 50
"""How many events wait for their commit at the same time, and how many arrive a second where latency is measured."""

EVENTS_OF_A_PAYMENT: Final = 4

PATIENCE: Final = 60.0
"""How long a contestant may take over one round's events, in seconds."""

Figures: TypeAlias = Mapping[str, float]

ONE, MANY, HANDLED, END_TO_END = "accepted one at a time", "accepted 50 at a time", "handled", "accepted and handled"
MEDIAN, TAIL, CLIENT, SERVER = "acceptance to effect, p50", "acceptance to effect, p99", "CPU, client", "CPU, server"

UNITS: Final = dict.fromkeys((ONE, MANY, HANDLED, END_TO_END), "events a second") | dict.fromkeys(
    (MEDIAN, TAIL, CLIENT, SERVER), "seconds"
)

GOALS: Final = {
    "PostgreSQL": {ONE: ">= 0.6", MANY: ">= 0.6", HANDLED: ">= 0.67", END_TO_END: ">= 0.67", MEDIAN: "<= 1.0"}
    | {TAIL: "<= 1.2", CLIENT: "<= 1.5", SERVER: "<= 1.5"},
    "SQLite": {ONE: ">= 0.8", MANY: ">= 3", HANDLED: ">= 0.6", END_TO_END: ">= 0.6", MEDIAN: "<= 1.5", TAIL: "<= 1.5"}
    | {CLIENT: "<= 2"},
}

GROUP_GOAL: Final = {HANDLED: ">= 3"}
"""For handler runs that share a commit."""


class Database(Protocol):
    """Where contestants keep their tables."""

    name: str

    def place(self) -> AbstractContextManager[str]:
        """Give the address of an empty place with the table of effects."""
        ...

    def contestants(self) -> Sequence[Callable[[str], Queue]]:
        """Give what makes each contestant for a place, the floor first."""
        ...

    def effects(self, place: str) -> list[tuple[str, float]]:
        """Read the effects: event ID and time in seconds since 1970."""
        ...

    def count(self, place: str) -> int:
        """Count the effects."""
        ...

    def cpu(self) -> float:
        """Give the CPU time of the server so far, in seconds."""
        ...


def measure(*, quick: bool) -> list[Report]:
    """Measure on both databases."""
    from tests.support.postgres import serving

    with tempfile.TemporaryDirectory() as folder, serving(durable=True) as server:
        databases: list[Database] = [Postgres(server), Sqlite(Path(folder))]
        return [report for one in databases for report in _compete(one, quick=quick)]


def _compete(database: Database, *, quick: bool) -> list[Report]:
    names: list[str] = []
    rounds: list[list[Figures]] = []
    makers = list(database.contestants())
    for number in range(2 if quick else 5):
        row: dict[int, Figures] = {}
        for offset in range(len(makers)):
            index = (offset + number) % len(makers)
            with database.place() as place:
                queue = makers[index](place)
                names[index : index + 1] = [queue.name]
                row[index] = asyncio.run(measure_round(queue, database, place, events=400 if quick else 4000))
        rounds.append([row[index] for index in range(len(makers))])
    return [_report(database, figure, names, rounds) for figure in UNITS if figure in rounds[0][0]]


def _report(database: Database, figure: str, names: Sequence[str], rounds: Sequence[Sequence[Figures]]) -> Report:
    goals = [
        (GROUP_GOAL if "to a commit" in name else GOALS[database.name]).get(figure, "") if "leadpay" in name else ""
        for name in names
    ]
    table = [[figures[figure] for figures in row] for row in rounds]
    return Report(f"{database.name}: {figure}", UNITS[figure], compare(names, table, goals))


async def measure_round(queue: Queue, database: Database, place: str, *, events: int) -> Figures:
    """Measure all figures of one contestant once."""
    figures: dict[str, float] = {}
    some = events // 10
    async with queue.opened():
        figures[ONE] = some / await _accept(queue, "one", some, at_once=1)
        figures[MANY] = events / await _accept(queue, "many", events, at_once=TOGETHER)
        start, client, server = perf_counter(), process_time(), database.cpu()
        async with queue.working():
            await _until(database, place, some + events)
            figures[HANDLED] = (some + events) / (perf_counter() - start)
            figures[CLIENT] = (process_time() - client) / (some + events)
            if spent := database.cpu() - server:
                figures[SERVER] = spent / (some + events)
        async with queue.working():
            start = perf_counter()
            await _accept(queue, "both", events, at_once=TOGETHER)
            await _until(database, place, some + 2 * events)
            figures[END_TO_END] = events / (perf_counter() - start)
            accepted = await _trickle(queue, some)
            await _until(database, place, 2 * some + 2 * events)
    effects = dict(database.effects(place))
    delays = quantiles([effects[event_id] - at for event_id, at in accepted.items()], n=100)
    return {**figures, MEDIAN: delays[49], TAIL: delays[98]}


async def _accept(queue: Queue, prefix: str, events: int, *, at_once: int) -> float:
    work = iter([_event(prefix, number) for number in range(events)])

    async def accept() -> None:
        for one in work:
            await queue.accept(*one)

    start = perf_counter()
    await asyncio.gather(*(accept() for _ in range(at_once)))
    return perf_counter() - start


async def _trickle(queue: Queue, events: int) -> dict[str, float]:
    """Accept so many events, one each fiftieth of a second, and say when each was accepted."""
    accepted = {}
    work = [_event("slow", number) for number in range(events)]
    start = perf_counter()
    for number, one in enumerate(work):
        await asyncio.sleep(max(0.0, start + number / TOGETHER - perf_counter()))
        await queue.accept(*one)
        accepted[one[0]] = time()
    return accepted


def _event(prefix: str, number: int) -> tuple[str, str, bytes]:
    """Make an event's ID, its payment's ID and its body."""
    event_id, payment_id = f"event_{prefix}{number}", f"instant_payment_{prefix}{number // EVENTS_OF_A_PAYMENT}"
    data = event(number)
    data["id"], data["object"]["id"] = event_id, payment_id
    return event_id, payment_id, orjson.dumps(data)


async def _until(database: Database, place: str, effects: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while database.count(place) < effects:  # noqa: ASYNC110 - a thread or a server writes the effects
            await asyncio.sleep(0.01)


class Postgres:
    """A server on this machine that syncs at each commit, reached through a Unix socket."""

    name = "PostgreSQL"

    def __init__(self, server: str) -> None:
        self._server = server
        with psycopg.connect(server) as connection:
            backend = Path(f"/proc/{connection.info.backend_pid}/stat")
            self._postmaster = int(backend.read_text().rpartition(")")[2].split()[1])

    @contextmanager
    def place(self) -> Any:
        """Use a schema of its own."""
        from tests.support.postgres import fresh_schema

        with fresh_schema(self._server) as url, psycopg.connect(url, autocommit=True) as self._connection:
            self._connection.execute(EFFECTS)
            yield url

    def contestants(self) -> Sequence[Callable[[str], Queue]]:
        """Leave out what is not installed."""
        ours: list[Callable[[str], Queue]] = [
            PostgresLoop,
            lambda place: PostgresLoop(place, together=COMMIT_TOGETHER),
            Leadpay,
        ]
        peers: dict[str, Callable[[str], Queue]] = {"procrastinate": Procrastinate, "pgqueuer": PgQueuer}
        return ours + [peer for name, peer in peers.items() if find_spec(name)]

    def effects(self, place: str) -> list[tuple[str, float]]:  # noqa: ARG002 - the connection is the place's
        """Read them by the server's clock, which is this machine's."""
        return self._connection.execute("SELECT event_id, extract(epoch FROM at)::float8 FROM effects").fetchall()

    def count(self, place: str) -> int:  # noqa: ARG002 - as above
        """Count them."""
        row = self._connection.execute("SELECT count(*) FROM effects").fetchone()
        return int(row[0]) if row else 0

    def cpu(self) -> float:
        """Add up the processes of the server, and those that have ended."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat.parent.name) == self._postmaster:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self._postmaster:
                ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")


class Sqlite:
    """A file with a write-ahead log and a full sync at each commit."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def place(self) -> Any:
        """Use a file of its own."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            path = Path(folder) / "events.db"
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(EFFECTS_SQLITE)
            yield str(path)

    def contestants(self) -> Sequence[Callable[[str], Queue]]:
        """Leave out what is not installed."""
        ours: list[Callable[[str], Queue]] = [
            lambda place: SqliteLoop(Path(place)),
            lambda place: Leadpay(f"sqlite:///{place}"),
        ]
        return ours + ([lambda place: Huey(Path(place))] if find_spec("huey") else [])

    def effects(self, place: str) -> list[tuple[str, float]]:
        """Read them by the file's clock, which is this machine's."""
        with closing(sqlite3.connect(place)) as connection:
            return connection.execute("SELECT event_id, at FROM effects").fetchall()

    def count(self, place: str) -> int:
        """Count them."""
        with closing(sqlite3.connect(place)) as connection:
            return int(connection.execute("SELECT count(*) FROM effects").fetchone()[0])

    def cpu(self) -> float:
        """There is no server."""
        return 0.0
