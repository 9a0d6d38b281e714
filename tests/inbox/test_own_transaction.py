"""A handler is done by the commit of the user's own transaction, with every kind of connection."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import pytest_asyncio

from leadpay.errors import ConfigurationError
from leadpay.models import InstantPaymentEvent
from leadpay.storage import Dialect, foreign
from leadpay.webhooks.context import Context, Defer
from tests.support.inbox import Bench
from tests.support.joins import JOINS
from tests.support.postgres import open_manual

OWN: Final = [name for name in JOINS if not name.startswith("context.")]
"""Connections that a user brings."""

INSERT: Final[dict[Dialect, str]] = {
    "sqlite": "INSERT INTO credits VALUES (:id)",
    "postgres": "INSERT INTO credits VALUES (:id::text)",
}


class RollBackError(Exception):
    """Is raised to roll back."""


class Own:
    """An inbox in a database that also has the user's table, and a way to connect to it."""

    def __init__(self, bench: Bench, url: str, driver: str) -> None:
        self.bench = bench
        self.url = url
        self.dialect, self.join = JOINS[driver]

    async def credit(self, connection: Any, event: InstantPaymentEvent) -> None:
        """Write the user's row."""
        await foreign.execute(connection, INSERT[self.dialect], {"id": event.id}, dialect=self.dialect)

    def credits(self) -> list[str]:
        """Read what was committed."""
        if self.dialect == "sqlite":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as file:
                return [one for (one,) in file.execute("SELECT * FROM credits")]
        with psycopg.connect(self.url) as connection:
            return [one for (one,) in connection.execute("SELECT * FROM credits")]

    async def run(self) -> tuple[str, int]:
        """Receive an event, work, and give the event's state, and how many attempts it has used up."""
        await self.bench.receive("event_1", payment="instant_payment_1")
        await self.bench.work()
        kept = await self.bench.kept("event_1")
        return kept.state, sum(run.attempts for run in kept.handler_runs.values())


@pytest.fixture(params=OWN)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def own(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Own]:
    dialect, _ = JOINS[driver]
    if dialect == "sqlite":
        url = f"sqlite:///{tmp_path / 'inbox.db'}"
        with closing(sqlite3.connect(tmp_path / "inbox.db")) as file, file:
            file.execute("CREATE TABLE credits (id TEXT)")
    else:
        url = str(request.getfixturevalue("postgres_url"))
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE credits (id text)")
    async with open_manual(url) as inbox:
        yield Own(Bench(inbox), url, driver)


@pytest.mark.asyncio
async def test_the_users_commit_is_the_end_of_the_handler_run(own: Own) -> None:
    """One commit has both; a second handler of the event has its own."""

    @own.bench.router.posted
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        async with own.join(own.url) as connection, context.complete_in(connection):
            await own.credit(connection, event)

    state, _ = await own.run()
    assert state == "done"
    assert own.credits() == ["event_1"]
    assert await own.bench.work() == 0


@pytest.mark.asyncio
async def test_a_rollback_is_a_failed_attempt(own: Own) -> None:
    """Neither the user's row nor the end of the run is kept, and the next attempt has both."""
    attempts: list[int] = []

    @own.bench.router.posted(retries=(1,))
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        attempts.append(context.attempt)
        async with own.join(own.url) as connection:
            async with context.complete_in(connection):
                await own.credit(connection, event)
            if context.attempt == 1:
                raise RollBackError

    assert await own.run() == ("waiting", 1)
    assert own.credits() == []
    own.bench.clock.move(1)
    await own.bench.work()
    assert attempts == [1, 2]
    assert own.credits() == ["event_1"]
    assert await own.bench.state("event_1") == "done"


@pytest.mark.parametrize("driver", ["asyncpg", "aiosqlite"], indirect=True)
@pytest.mark.asyncio
async def test_a_swallowed_rollback_is_a_failed_attempt(own: Own) -> None:
    """The handler returns, and the store knows better."""

    @own.bench.router.posted(retries=())
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        with suppress(RollBackError):
            async with own.join(own.url) as connection:
                async with context.complete_in(connection):
                    await own.credit(connection, event)
                raise RollBackError

    assert await own.run() == ("dead", 1)
    kept = await own.bench.kept("event_1")
    assert [str(run.error) for run in kept.handler_runs.values()] == ["leadpay.errors.InboxError"]
    assert own.credits() == []


@pytest.mark.parametrize("driver", ["asyncpg", "aiosqlite"], indirect=True)
@pytest.mark.parametrize("error", [ValueError(), Defer(5)])
@pytest.mark.asyncio
async def test_what_happens_after_the_commit_changes_nothing(
    own: Own, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It was committed, so it is done, and the log says what came afterwards."""

    @own.bench.router.posted(retries=(), name="credit")
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        async with own.join(own.url) as connection, context.complete_in(connection):
            await own.credit(connection, event)
        raise error

    @own.bench.router.posted(name="sound")
    async def sound(event: InstantPaymentEvent) -> None: ...

    state, _ = await own.run()
    assert state == "done"
    assert own.credits() == ["event_1"]
    status = "deferred" if isinstance(error, Defer) else "failed"
    assert f"credit ended as {status} on event_1, after it was committed" in caplog.text


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "SQLAlchemy session, asyncpg", "aiosqlite"], indirect=True)
@pytest.mark.asyncio
async def test_a_worker_that_lost_its_lease_commits_nothing(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    """The check of the fencing token runs on the user's connection, and raises there."""
    seen: list[int] = []

    @own.bench.router.posted
    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        seen.append(context.attempt)
        if len(seen) == 1:
            own.bench.clock.move(61)
            await own.bench.worker().run_due()
        async with own.join(own.url) as connection, context.complete_in(connection):
            await own.credit(connection, event)

    state, _ = await own.run()
    assert state == "done"
    assert own.credits() == ["event_1"]
    assert len(seen) == 2
    assert "went to another worker" in caplog.text


@pytest.mark.parametrize("driver", ["asyncpg", "aiosqlite"], indirect=True)
@pytest.mark.asyncio
async def test_handlers_of_one_event_complete_in_transactions_of_their_own(own: Own) -> None:
    """Side by side; the last one closes the event."""

    async def credit(event: InstantPaymentEvent, context: Context) -> None:
        async with own.join(own.url) as connection:
            async with context.complete_in(connection):
                await own.credit(connection, event)
            await asyncio.sleep(0)

    for name in ("one", "two"):
        own.bench.router.posted(name=name)(credit)
    state, _ = await own.run()
    assert state == "done"
    assert own.credits() == ["event_1"] * 2


@pytest.mark.parametrize("driver", ["asyncpg", "aiosqlite"], indirect=True)
@pytest.mark.asyncio
async def test_only_one_of_the_two_transactions_can_be_used(own: Own) -> None:
    """The other one would be rolled back without a word."""
    errors: list[str] = []

    @own.bench.router.posted(retries=())
    async def first(event: InstantPaymentEvent, context: Context) -> None:
        await context.transaction.execute("SELECT 1")
        try:
            async with context.complete_in(None):
                pass
        except ConfigurationError as error:
            errors.append(str(error))

    @own.bench.router.posted(retries=())
    async def second(event: InstantPaymentEvent, context: Context) -> None:
        try:
            async with context.complete_in("postgresql://"):
                pass
        except ConfigurationError as error:
            errors.append(str(error))
        await context.transaction.execute("SELECT 1")

    state, _ = await own.run()
    assert state == "dead"
    assert len(errors) == 2
    assert any("context.transaction is another transaction" in error for error in errors)
    assert any("is no connection that can be joined" in error for error in errors)
