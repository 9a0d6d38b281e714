"""What an engineer would keep events in: each accepts events, and runs a handler that writes one row for each."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

WORKERS: Final = 16
"""How many handlers run side by side."""

COMMIT_TOGETHER: Final = 50
"""How many events the floor handles in one commit, where it says so, and how many handler runs leadpay does."""

EFFECTS: Final = (
    "CREATE TABLE IF NOT EXISTS effects (event_id text PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())"
)
EFFECTS_SQLITE: Final = """
CREATE TABLE IF NOT EXISTS effects (
    event_id TEXT PRIMARY KEY, at REAL DEFAULT ((julianday('now') - 2440587.5) * 86400))"""

EFFECT: Final = "INSERT INTO effects (event_id) VALUES (%s)"
EFFECT_SQLITE: Final = "INSERT INTO effects (event_id) VALUES (?)"


class Queue(Protocol):
    """One way to keep and handle events."""

    name: str
    lacks: str
    """Which of order, lasting deduplication and exactly-once effects it does not give."""

    def opened(self) -> Any:
        """Make its tables and connections while the context lasts."""
        ...

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:
        """Return once the event is committed."""
        ...

    def working(self) -> Any:
        """Handle events while the context lasts."""
        ...


class PostgresLoop:
    """The floor: order, deduplication and exactly-once in about thirty lines of SKIP LOCKED."""

    name: str = "bare loop"
    lacks: str = ""

    def __init__(self, dsn: str, *, together: int = 1) -> None:
        self._dsn, self._together = dsn, together
        if together > 1:
            self.name = f"bare loop, {together} to a commit"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Use one connection for each that accepts or works at the same time."""
        from psycopg_pool import AsyncConnectionPool

        async with (
            AsyncConnectionPool(
                self._dsn, min_size=WORKERS, max_size=WORKERS, kwargs={"autocommit": True}, open=False
            ) as self._accepting,
            AsyncConnectionPool(
                self._dsn, min_size=WORKERS, max_size=WORKERS, kwargs={"autocommit": True}, open=False
            ) as self._pool,
        ):
            async with self._pool.connection() as connection:
                await connection.execute("""
                    CREATE TABLE events (number bigserial PRIMARY KEY, id text UNIQUE, payment_id text, body bytea,
                        done boolean NOT NULL DEFAULT false)""")
                await connection.execute("CREATE INDEX ON events (payment_id, number) WHERE NOT done")
                await connection.execute("CREATE INDEX ON events (number) WHERE NOT done")
            yield

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:
        """Insert it, once."""
        async with self._accepting.connection() as connection:
            await connection.execute(
                "INSERT INTO events (id, payment_id, body) VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING",
                (event_id, payment_id, data),
            )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let as many loops as leadpay has handlers take the first waiting event of a payment."""
        async with _tasks(self._work for _ in range(WORKERS)):
            yield

    async def _work(self) -> None:
        async with self._pool.connection() as connection:
            while True:
                if not await self._handle(connection):
                    await asyncio.sleep(0.005)

    async def _handle(self, connection: Any) -> bool:
        async with connection.transaction():
            found = await connection.execute(
                """SELECT id FROM events AS event WHERE NOT done AND NOT EXISTS (
                    SELECT FROM events AS earlier WHERE NOT earlier.done
                        AND earlier.payment_id = event.payment_id AND earlier.number < event.number)
                ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED""",
                (self._together,),
            )
            ids = [row[0] for row in await found.fetchall()]
            for event_id in ids:
                await connection.execute(EFFECT, (event_id,))
            if ids:
                await connection.execute("UPDATE events SET done = true WHERE id = ANY (%s)", (ids,))
        return bool(ids)


class SqliteLoop:
    """The same in one SQLite file, in one thread."""

    name: str = "bare loop"
    lacks: str = ""

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the file."""
        with closing(self._connect()) as self._connection:
            self._connection.execute(
                "CREATE TABLE events (number INTEGER PRIMARY KEY, id TEXT UNIQUE, payment_id, body BLOB, done INTEGER)"
            )
            self._connection.execute("CREATE INDEX waiting ON events (number) WHERE NOT done")
            yield

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:
        """Insert it, once."""
        self._connection.execute(
            "INSERT OR IGNORE INTO events (id, payment_id, body, done) VALUES (?, ?, ?, 0)",
            (event_id, payment_id, data),
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Take one event after the other: so a payment's events keep their order."""
        stop = threading.Event()
        thread = threading.Thread(target=self._work, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    def _work(self, stop: threading.Event) -> None:
        with closing(self._connect()) as connection:
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                found = connection.execute(
                    "SELECT number, id FROM events WHERE NOT done ORDER BY number LIMIT 1"
                ).fetchone()
                if found is not None:
                    connection.execute(EFFECT_SQLITE, (found[1],))
                    connection.execute("UPDATE events SET done = 1 WHERE number = ?", (found[0],))
                connection.execute("COMMIT")
                if found is None:
                    stop.wait(0.005)


class Leadpay:
    """Ours, with the handler's row in the handler's transaction."""

    lacks: str = ""

    def __init__(self, url: str, **options: Any) -> None:
        together = options.get("commit_together")
        self.name = f"leadpay, {together} to a commit" if together else "leadpay"
        self._url, self._options = url, options

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the inbox."""
        from leadpay.inbox import open_inbox

        async with open_inbox(self._url) as self._inbox:
            yield

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:  # noqa: ARG002 - both are in the body
        """Read and store it, as the receiver does."""
        from leadpay.webhooks.event import parse

        await self._inbox.add(parse(data), data, received_at=datetime.now(UTC))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run a worker with its defaults."""
        from leadpay.inbox import Worker
        from leadpay.models import InstantPaymentEvent
        from leadpay.webhooks.context import Context
        from leadpay.webhooks.router import WebhookRouter

        router = WebhookRouter("benchmark")
        mark = EFFECT if self._url.startswith("postgres") else EFFECT_SQLITE

        @router.return_request_response_needed(name="effect")
        async def effect(event: InstantPaymentEvent, context: Context) -> None:
            await context.transaction.execute(mark, (event.id,))

        async with Worker(self._inbox, router, **self._options):
            yield


class Procrastinate:
    """A task queue on PostgreSQL, with a lock for each payment."""

    name: str = "procrastinate"
    lacks: str = "lasting deduplication, exactly-once (effect and completion are two commits)"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Make its schema."""
        from procrastinate import App, PsycopgConnector
        from psycopg_pool import AsyncConnectionPool

        self._app = App(connector=PsycopgConnector(conninfo=self._dsn, min_size=4, max_size=WORKERS))

        async def effect(event_id: str, body: str) -> None:  # noqa: ARG001 - the job holds the whole event
            async with self._pool.connection() as connection:
                await connection.execute(EFFECT, (event_id,))

        self._task = self._app.task(name="effect")(effect)
        pool: Any = AsyncConnectionPool(self._dsn, max_size=WORKERS, kwargs={"autocommit": True}, open=False)
        async with self._app.open_async(), pool as self._pool:
            await self._app.schema_manager.apply_schema_async()
            yield

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:
        """Defer a job."""
        await self._task.configure(lock=payment_id).defer_async(event_id=event_id, body=data.decode())

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run a worker."""

        async def work() -> None:
            await self._app.run_worker_async(
                concurrency=WORKERS, install_signal_handlers=False, fetch_job_polling_interval=0.05
            )

        async with _tasks([work]):
            yield


class PgQueuer:
    """A job queue on PostgreSQL."""

    name: str = "pgqueuer"
    lacks: str = "order, lasting deduplication, exactly-once"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Make its schema."""
        import psycopg
        from pgqueuer import PsycopgDriver, Queries
        from psycopg_pool import AsyncConnectionPool

        async with AsyncExitStack() as stack:
            accepting = await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
            )
            working = await stack.enter_async_context(await psycopg.AsyncConnection.connect(self._dsn, autocommit=True))
            pool: Any = AsyncConnectionPool(self._dsn, max_size=WORKERS, kwargs={"autocommit": True}, open=False)
            self._pool = await stack.enter_async_context(pool)
            self._queries = Queries(PsycopgDriver(accepting))
            await self._queries.install(create_schema=False)
            self._driver = PsycopgDriver(working)
            yield

    async def _effect(self, job: Any) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(EFFECT, (job.payload.partition(b" ")[0].decode(),))

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:  # noqa: ARG002 - it has no order
        """Enqueue a job."""
        await self._queries.enqueue("effect", event_id.encode() + b" " + data)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run a worker."""
        from pgqueuer import Queries, QueueManager

        manager = QueueManager(Queries(self._driver))
        manager.entrypoint("effect")(self._effect)

        async def work() -> None:
            await manager.run(batch_size=WORKERS)

        async with _tasks([work]):
            yield
            manager.shutdown.set()


class Huey:
    """A task queue on SQLite."""

    name: str = "huey"
    lacks: str = "order, deduplication, at-least-once (it deletes a task before it runs)"

    def __init__(self, path: Path) -> None:
        self._path = path

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the file."""
        from huey import SqliteHuey

        self._huey = SqliteHuey(filename=str(self._path), fsync=True, results=False)
        self._local = threading.local()
        self._task = self._huey.task(name="effect")(self._effect)
        yield
        self._huey.storage.close()

    def _effect(self, event_id: str, data: bytes) -> None:  # noqa: ARG002 - the task holds the whole event
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
        connection.execute(EFFECT_SQLITE, (event_id,))

    async def accept(self, event_id: str, payment_id: str, data: bytes) -> None:  # noqa: ARG002 - it has no order
        """Enqueue a task."""
        self._task(event_id, data)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run a consumer in threads of this process."""
        consumer = self._huey.create_consumer(workers=4, initial_delay=0.005, max_delay=0.02, periodic=False)
        consumer.start()
        try:
            yield
        finally:
            await asyncio.to_thread(consumer.stop, graceful=True)


@asynccontextmanager
async def _tasks(functions: Any) -> AsyncIterator[None]:
    """Run coroutine functions in tasks, and cancel them at the end."""
    tasks = [asyncio.create_task(function()) for function in functions]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
