"""Apply the numbered schema files that a PostgreSQL database has not seen yet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from leadpay.errors import ConfigurationError
from leadpay.storage import UNRELEASED, SchemaFile, missing_files, schema_files, version_table

if TYPE_CHECKING:
    from leadpay.storage.postgres.pool import Connection

_UPGRADE_LOCK: Final = 5_494_816_203_447_310_689
"""The advisory lock under which one process upgrades the schema."""


async def upgrade(connection: "Connection", package: str, *, migrate: bool = True) -> None:
    """Bring the schema up to date, in one transaction.

    Raises:
        ConfigurationError: the database isn't in UTF-8, is too new, or is too old and ``migrate`` is False.
    """
    encoding = await (await connection.execute("SHOW server_encoding")).fetchone()
    if encoding != ("UTF8",):
        raise ConfigurationError("the inbox's database must be in UTF-8, so that every event can be kept")
    if not await missing(connection, package, migrate=migrate):
        return
    table = version_table(package)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_UPGRADE_LOCK,))
        # CREATE looks at what is there now; a lookup by name may use what this session has cached.
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (version integer PRIMARY KEY, works_with integer NOT NULL)".encode()
        )
        for file in await missing(connection, package):
            await connection.execute(file.sql.encode())
            await connection.execute(
                f"INSERT INTO {table} VALUES (%s, %s)".encode(),  # noqa: S608 - our own table
                (file.version, file.works_with),
            )


async def missing(connection: "Connection", package: str, *, migrate: bool = True) -> Sequence[SchemaFile]:
    """Tell which schema files the database lacks; see :func:`leadpay.storage.missing_files`."""
    table = version_table(package)
    version, works_with = 0, 0
    # Reads only, so that a role without CREATE can open a store whose schema is there.
    columns = await (await connection.execute(_COLUMNS, (table,))).fetchall()
    if columns:
        if ("works_with",) not in columns:
            raise ConfigurationError(UNRELEASED)
        latest = f"SELECT coalesce(max(version), 0), coalesce(max(works_with), 0) FROM {table}".encode()  # noqa: S608 - our own table
        ((version, works_with),) = await (await connection.execute(latest)).fetchall()
    return missing_files(schema_files(package, "postgres"), version=version, works_with=works_with, migrate=migrate)


_COLUMNS: Final = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
