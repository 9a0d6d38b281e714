import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from leadpay.errors import ConfigurationError
from leadpay.storage import Dialect, foreign
from tests.support.joins import JOINS, sqlalchemy_engine, with_asyncpg, with_asyncpg_pool, with_psycopg

SQLITE_INSERT = "WITH one AS (SELECT :word AS word) INSERT INTO words SELECT word FROM one WHERE :word = :word"
POSTGRES_INSERT = (
    "INSERT INTO words SELECT :word::text WHERE 17 % 10 = :rest::bigint AND :word::text = :word::text RETURNING word"
)
POSTGRES_CREATE = "CREATE TABLE words (word text)"


class RollBackError(Exception):
    """Is raised to roll back."""


@pytest.fixture
def words_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Make a database of the kind that the test's driver needs, with one table."""
    dialect, _ = JOINS[request.getfixturevalue("driver")]
    if dialect == "postgres":
        url = str(request.getfixturevalue("postgres_url"))
        with psycopg.connect(url) as connection:
            connection.execute(POSTGRES_CREATE)
        return url
    with closing(sqlite3.connect(tmp_path / "words.db")) as file, file:
        file.execute("CREATE TABLE words (word TEXT)")
    return f"sqlite:///{tmp_path / 'words.db'}"


def words(url: str) -> list[str]:
    """Read what was committed."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return [word for (word,) in file.execute("SELECT word FROM words")]
    with psycopg.connect(url) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM words")]


async def write(connection: Any, dialect: Dialect, word: str) -> None:
    """Write a word, and read it back."""
    if dialect == "sqlite":
        assert await foreign.execute(connection, SQLITE_INSERT, {"word": word}, dialect=dialect) == []
    else:
        given = {"word": word, "rest": 7}
        assert await foreign.execute(connection, POSTGRES_INSERT, given, dialect=dialect) == [(word,)]
        deleted = await foreign.execute(connection, "DELETE FROM words WHERE word = 'x'", {}, dialect=dialect)
        assert deleted == []
    assert await foreign.execute(connection, "SELECT word FROM words", {}, dialect=dialect) == [(word,)]


@pytest.mark.asyncio
@pytest.mark.parametrize("driver", JOINS)
async def test_what_is_executed_is_committed_with_the_users_transaction(driver: str, words_url: str) -> None:
    """The statement is part of the transaction of each driver, and is there once the user has committed."""
    dialect, joined = JOINS[driver]
    async with joined(words_url) as connection:
        await write(connection, dialect, "kept")
        if not isinstance(connection, sqlite3.Connection):
            assert words(words_url) == []
    assert words(words_url) == ["kept"]


@pytest.mark.asyncio
@pytest.mark.parametrize("driver", JOINS)
async def test_what_is_executed_is_rolled_back_with_the_users_transaction(driver: str, words_url: str) -> None:
    """Nothing is left of the statement when the user's transaction is rolled back."""
    dialect, joined = JOINS[driver]
    with pytest.raises(RollBackError):  # noqa: PT012 - what raises is at its end
        async with joined(words_url) as connection:
            await write(connection, dialect, "lost")
            raise RollBackError
    assert words(words_url) == []


async def refused(connection: Any, dialect: Dialect, sql: str = "SELECT 1") -> str:
    """Give the message of the ConfigurationError that a connection causes."""
    with pytest.raises(ConfigurationError) as raised:
        await foreign.execute(connection, sql, {}, dialect=dialect)
    return str(raised.value)


@pytest.mark.asyncio
async def test_something_else_is_no_connection() -> None:
    """The message names the type that was passed, and those that can be."""
    message = await refused("postgresql://user:password@host/db", "postgres")
    assert "builtins.str is no connection" in message
    assert "password" not in message


@pytest.mark.asyncio
async def test_a_synchronous_connection_is_refused(postgres_url: str) -> None:
    """A connection of psycopg's class Connection would block the event loop."""
    with psycopg.connect(postgres_url) as connection:
        assert "psycopg.Connection is no connection that can be joined" in await refused(connection, "postgres")


@pytest.mark.asyncio
async def test_a_connection_to_the_other_kind_of_database_is_refused(postgres_url: str) -> None:
    """An outbox in PostgreSQL takes no part in a transaction of SQLite, and the other way round."""
    engine = sqlalchemy_engine(postgres_url, "asyncpg")
    async with aiosqlite.connect(":memory:") as lite, with_psycopg(postgres_url) as other, engine.begin() as alchemy:
        assert "no connection to PostgreSQL" in await refused(lite, "postgres")
        assert "no connection to SQLite" in await refused(other, "sqlite")
        assert "no connection to SQLite" in await refused(alchemy, "sqlite")
    await engine.dispose()


@pytest.mark.asyncio
async def test_closed_connections_are_refused(postgres_url: str, tmp_path: Path) -> None:
    """A connection that is closed, or was given back, or was never opened, cannot be joined."""
    async with AsyncExitStack() as stack:
        closed = [
            await stack.enter_async_context(joined(postgres_url))
            for joined in (with_psycopg, with_asyncpg, with_asyncpg_pool)
        ]
        engine = sqlalchemy_engine(postgres_url, "asyncpg")
        closed.append(await stack.enter_async_context(engine.connect()))
        closed.append(engine.connect())
        session = AsyncSession(engine, close_resets_only=False)
        closed.append(await stack.enter_async_context(session))
    for connection in closed:
        assert "closed" in await refused(connection, "postgres")
    await engine.dispose()
    async with aiosqlite.connect(tmp_path / "one.db") as lite:
        pass
    assert "closed" in await refused(lite, "sqlite")
    file = sqlite3.connect(tmp_path / "one.db")
    file.close()
    assert "closed" in await refused(file, "sqlite")


@pytest.mark.asyncio
async def test_connections_that_would_commit_by_themselves_are_refused(postgres_url: str, tmp_path: Path) -> None:
    """Autocommit without a transaction would silently lose the caller's atomicity."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        assert "commits each statement by itself" in await refused(connection, "postgres")
    plain = await asyncpg.connect(postgres_url.partition("&options")[0])
    assert "commits each statement by itself" in await refused(plain, "postgres")
    await plain.close()
    for driver in ("asyncpg", "psycopg"):
        engine = sqlalchemy_engine(postgres_url, driver, isolation_level="AUTOCOMMIT")
        async with engine.connect() as alchemy:
            assert "AUTOCOMMIT" in await refused(alchemy, "postgres")
        await engine.dispose()
    path = tmp_path / "one.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        assert "BEGIN" in await refused(file, "sqlite")
    async with aiosqlite.connect(path, isolation_level=None) as lite:
        assert "BEGIN" in await refused(lite, "sqlite")
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", isolation_level="AUTOCOMMIT")
    async with AsyncSession(engine) as session:
        assert "BEGIN" in await refused(session, "sqlite")
    await engine.dispose()
