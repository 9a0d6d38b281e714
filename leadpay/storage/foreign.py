"""Execute a statement on a connection that the user brings, inside the user's own transaction.

Statements are written once for each kind of database, with parameters as ``:name``; each driver gets its own spelling.
A driver is recognised by its module, if it is loaded: none is imported here.
"""

import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from leadpay.errors import ConfigurationError
from leadpay.storage import Dialect

Parameters: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = list[tuple[Any, ...]]


async def execute(connection: Any, sql: str, parameters: Parameters, *, dialect: Dialect) -> Rows:
    """Execute one statement on the user's connection, in the transaction that the user commits or rolls back.

    Args:
        connection: psycopg's AsyncConnection, asyncpg's Connection (or one of its pool), SQLAlchemy's AsyncConnection
            or AsyncSession, ``sqlite3.Connection``, aiosqlite's Connection, or a handler's ``context.transaction``.
        sql: the statement, with ``:name`` for parameters. PostgreSQL's statements cast each of them
            (``:amount::bigint``), since some drivers must know the types.
        parameters: their values by name.
        dialect: the kind of database that the statement is for.

    Returns:
        The rows that it gives, as tuples.

    Raises:
        ConfigurationError: it is no such connection, is closed, belongs to the other kind of database, or would commit
            the statement by itself since no transaction was begun.
        Exception: what the driver raises.
    """
    driver = _driver_of(connection)
    if driver is None:
        raise ConfigurationError(
            f"connection: {_type_name(connection)} is no connection that can be joined: pass psycopg's AsyncConnection,"
            " asyncpg's Connection, SQLAlchemy's AsyncConnection or AsyncSession, a sqlite3.Connection or aiosqlite's"
        )
    if driver.dialect not in (dialect, None):
        raise _other_database(connection, dialect)
    return await driver.execute(connection, sql, parameters, dialect)


_NAMED: Final = re.compile(r"(?<![:\w]):([a-z_]\w*)")


@cache
def pyformat(sql: str) -> str:
    """Write a statement's ``:name`` parameters as psycopg takes them."""
    return _NAMED.sub(r"%(\1)s", sql.replace("%", "%%"))


@cache
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Write ``$1``, and give the names in the order of their numbers."""
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))
    return _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", sql), names


@cache
def _question_marks(sql: str) -> tuple[str, tuple[str, ...]]:
    """Write ``?``, and give the name that belongs to each."""
    return _NAMED.sub("?", sql), tuple(_NAMED.findall(sql))


async def _psycopg(connection: Any, sql: str, parameters: Parameters, _: Dialect) -> Rows:
    import psycopg.rows  # noqa: PLC0415 - it is loaded, since this is one of its connections

    if connection.closed:
        raise _closed(connection)
    if connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        raise _no_transaction("async with connection.transaction()")
    async with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        await cursor.execute(pyformat(sql), parameters)
        return [] if cursor.description is None else list(await cursor.fetchall())


async def _asyncpg(connection: Any, sql: str, parameters: Parameters, _: Dialect) -> Rows:
    try:
        is_closed = connection.is_closed()
    except sys.modules["asyncpg"].InterfaceError:  # it went back to its pool
        is_closed = True
    if is_closed:
        raise _closed(connection)
    if not connection.is_in_transaction():
        raise _no_transaction("async with connection.transaction()")
    text, names = _numbered(sql)
    return [tuple(row) for row in await connection.fetch(text, *(parameters[name] for name in names))]


async def _sqlite3(connection: Any, sql: str, parameters: Parameters, _: Dialect) -> Rows:
    import sqlite3  # noqa: PLC0415 - it is loaded, since this is one of its connections

    try:
        in_transaction = connection.in_transaction
    except sqlite3.ProgrammingError:
        raise _closed(connection) from None
    for statement in _beginning(connection, in_transaction):
        connection.execute(statement)
    cursor = connection.cursor()
    cursor.row_factory = None
    return list(cursor.execute(sql, dict(parameters)))


async def _aiosqlite(connection: Any, sql: str, parameters: Parameters, _: Dialect) -> Rows:
    try:
        in_transaction = connection.in_transaction
    except ValueError:
        raise _closed(connection) from None
    for statement in _beginning(connection._conn, in_transaction):  # noqa: SLF001 - has no public name for ``autocommit``
        await connection.execute(statement)
    async with connection.cursor() as cursor:
        cursor.row_factory = None
        await cursor.execute(sql, dict(parameters))
        return list(await cursor.fetchall())


def _beginning(connection: Any, in_transaction: bool) -> list[str]:
    """Say how to begin SQLite's transaction as its connection would before an INSERT.

    The ``sqlite3`` module begins one before statements that it takes for writes, and WITH is none of them.
    """
    autocommit = getattr(connection, "autocommit", -1)  # Python 3.12; -1 stands for what was there before
    if in_transaction:
        return []
    if autocommit is True or connection.isolation_level is None:
        raise _no_transaction('connection.execute("BEGIN IMMEDIATE")')
    return [f"BEGIN {connection.isolation_level}"]


async def _sqlalchemy(connection: Any, sql: str, parameters: Parameters, dialect: Dialect) -> Rows:
    from sqlalchemy.exc import InvalidRequestError  # noqa: PLC0415 - it is loaded, since this is one of its connections

    if hasattr(connection, "sync_session"):
        try:
            connection = await connection.connection()
        except InvalidRequestError as error:
            raise ConfigurationError("connection: the session is closed, or must be rolled back first") from error
    if connection.sync_connection is None or connection.closed:
        raise _closed(connection)
    if connection.dialect.name != {"postgres": "postgresql"}.get(dialect, dialect):
        raise _other_database(connection, dialect)
    await _begin(connection)
    style = connection.dialect.paramstyle
    if style == "pyformat":
        result = await connection.exec_driver_sql(pyformat(sql), dict(parameters))
    else:
        text, names = (_numbered if style == "numeric_dollar" else _question_marks)(sql)
        result = await connection.exec_driver_sql(text, tuple(parameters[name] for name in names))
    return [tuple(row) for row in result] if result.returns_rows else []


async def _begin(connection: Any) -> None:
    """Begin the transaction. The isolation level may be set in three places of SQLAlchemy's, so the driver is asked."""
    if not connection.in_transaction():
        await connection.begin()
    raw = await connection.get_raw_connection()
    if connection.dialect.name == "sqlite":
        for statement in _beginning(raw.driver_connection._conn, raw.driver_connection.in_transaction):  # noqa: SLF001 - as above
            await connection.exec_driver_sql(statement)
    elif raw.dbapi_connection.autocommit:
        raise _no_transaction('an isolation_level other than "AUTOCOMMIT"')


async def _of_handler(connection: Any, sql: str, parameters: Parameters, dialect: Dialect) -> Rows:
    if dialect == "sqlite":
        return list(await connection.execute(sql, dict(parameters)))
    cursor = await connection.execute(pyformat(sql), parameters)
    return [] if cursor.description is None else list(await cursor.fetchall())


class _Driver(NamedTuple):
    module: str
    types: tuple[str, ...]
    dialect: Dialect | None
    """None where the connection itself knows."""
    execute: Callable[[Any, str, Parameters, Dialect], Awaitable[Rows]]


_DRIVERS: Final = (
    _Driver("leadpay.storage.sqlite.transaction", ("SqliteConnection",), "sqlite", _of_handler),
    _Driver("leadpay.storage.postgres.transaction", ("PostgresConnection",), "postgres", _of_handler),
    _Driver("psycopg", ("AsyncConnection",), "postgres", _psycopg),
    _Driver("asyncpg", ("Connection",), "postgres", _asyncpg),
    _Driver("sqlite3", ("Connection",), "sqlite", _sqlite3),
    _Driver("aiosqlite", ("Connection",), "sqlite", _aiosqlite),
    _Driver("sqlalchemy.ext.asyncio", ("AsyncConnection", "AsyncSession"), None, _sqlalchemy),
)


def _driver_of(connection: Any) -> _Driver | None:
    for driver in _DRIVERS:
        module = sys.modules.get(driver.module)
        if module is not None and isinstance(connection, tuple(getattr(module, name) for name in driver.types)):
            return driver
    return None


def _type_name(connection: Any) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


def _closed(connection: Any) -> ConfigurationError:
    return ConfigurationError(f"connection: this {_type_name(connection)} is closed, or was never opened")


def _no_transaction(begin: str) -> ConfigurationError:
    return ConfigurationError(
        f"connection: it commits each statement by itself, so nothing would be atomic: begin a transaction ({begin})"
    )


def _other_database(connection: Any, dialect: Dialect) -> ConfigurationError:
    name = {"postgres": "PostgreSQL", "sqlite": "SQLite"}[dialect]
    return ConfigurationError(f"connection: {_type_name(connection)} is no connection to {name}, where the store is")
