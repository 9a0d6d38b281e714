"""Every kind of connection that a user may bring, in a transaction that ends with the context."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import Any

import aiosqlite
import asyncpg
import psycopg
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from leadpay.inbox.postgres import PostgresInbox
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.storage import Dialect


@asynccontextmanager
async def with_psycopg(url: str) -> AsyncIterator[Any]:
    """Join what psycopg's connection commits by itself at its end."""
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        yield connection


@asynccontextmanager
async def with_psycopg_block(url: str) -> AsyncIterator[Any]:
    """Join a block of transaction() of a connection with autocommit."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def with_asyncpg(url: str) -> AsyncIterator[Any]:
    """Join a transaction of asyncpg."""
    connection = await asyncpg.connect(url.replace("&options=-csearch_path%3D", "&search_path="))
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def with_asyncpg_pool(url: str) -> AsyncIterator[Any]:
    """Join a transaction on a connection of asyncpg's pool."""
    pool = asyncpg.create_pool(url.replace("&options=-csearch_path%3D", "&search_path="), min_size=1)
    async with pool, pool.acquire() as connection, connection.transaction():
        yield connection


def sqlalchemy_engine(url: str, driver: str, **options: Any) -> Any:
    """Make an engine whose connections see the test's schema."""
    if url.startswith("sqlite"):
        return create_async_engine(url.replace("sqlite", "sqlite+aiosqlite"), **options)
    server, _, schema = url.partition("&options=-csearch_path%3D")
    arguments = (
        {"options": f"-csearch_path={schema}"} if driver == "psycopg" else {"server_settings": {"search_path": schema}}
    )
    return create_async_engine(server.replace("postgresql", f"postgresql+{driver}"), connect_args=arguments, **options)


def sqlalchemy_connection(driver: str) -> Callable[[str], AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def joined(url: str) -> AsyncIterator[Any]:
        engine = sqlalchemy_engine(url, driver)
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await engine.dispose()

    return joined


def sqlalchemy_session(driver: str) -> Callable[[str], AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def joined(url: str) -> AsyncIterator[Any]:
        engine = sqlalchemy_engine(url, driver)
        try:
            async with AsyncSession(engine) as session, session.begin():
                yield session
        finally:
            await engine.dispose()

    return joined


@asynccontextmanager
async def with_sqlite3(url: str) -> AsyncIterator[Any]:
    """Join what the sqlite3 module begins by itself."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.row_factory = sqlite3.Row
        yield connection


@asynccontextmanager
async def with_sqlite3_begun(url: str) -> AsyncIterator[Any]:
    """Join a transaction that was begun by a statement."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            yield connection


@asynccontextmanager
async def with_aiosqlite(url: str) -> AsyncIterator[Any]:
    """Join what aiosqlite's connection commits."""
    async with aiosqlite.connect(url.removeprefix("sqlite:///")) as connection:
        connection.row_factory = sqlite3.Row
        yield connection
        await connection.commit()


@asynccontextmanager
async def with_sqlite_handler(url: str) -> AsyncIterator[Any]:
    """Join a handler's transaction in SQLite."""
    async with SqliteInbox(url.removeprefix("sqlite:///")) as inbox, inbox._handler_connection() as connection:
        yield connection
        await connection.commit(lambda _: None)


@asynccontextmanager
async def with_postgres_handler(url: str) -> AsyncIterator[Any]:
    """Join a handler's transaction in PostgreSQL."""

    async def nothing(_: Any) -> None:
        """Write nothing more."""

    async with PostgresInbox(url) as inbox, inbox._handler_connection() as connection:
        yield connection
        await connection.commit(nothing)


JOINS: dict[str, tuple[Dialect, Callable[[str], AbstractAsyncContextManager[Any]]]] = {
    "psycopg": ("postgres", with_psycopg),
    "psycopg, transaction()": ("postgres", with_psycopg_block),
    "asyncpg": ("postgres", with_asyncpg),
    "asyncpg, pool": ("postgres", with_asyncpg_pool),
    "SQLAlchemy connection, asyncpg": ("postgres", sqlalchemy_connection("asyncpg")),
    "SQLAlchemy connection, psycopg": ("postgres", sqlalchemy_connection("psycopg")),
    "SQLAlchemy session, asyncpg": ("postgres", sqlalchemy_session("asyncpg")),
    "SQLAlchemy session, psycopg": ("postgres", sqlalchemy_session("psycopg")),
    "SQLAlchemy connection, aiosqlite": ("sqlite", sqlalchemy_connection("aiosqlite")),
    "SQLAlchemy session, aiosqlite": ("sqlite", sqlalchemy_session("aiosqlite")),
    "sqlite3": ("sqlite", with_sqlite3),
    "sqlite3, BEGIN": ("sqlite", with_sqlite3_begun),
    "aiosqlite": ("sqlite", with_aiosqlite),
    "context.transaction, SQLite": ("sqlite", with_sqlite_handler),
    "context.transaction, PostgreSQL": ("postgres", with_postgres_handler),
}
