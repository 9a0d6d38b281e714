"""Apply the numbered schema files that a PostgreSQL database has not seen yet."""

from typing import TYPE_CHECKING, Final

from leadpay.errors import ConfigurationError
from leadpay.storage import schema_files, version_table

if TYPE_CHECKING:
    from leadpay.storage.postgres.pool import Connection

_UPGRADE_LOCK: Final = 5_494_816_203_447_310_689
"""The advisory lock under which one process upgrades the schema."""


async def upgrade(connection: "Connection", package: str) -> None:
    """Bring the schema up to date, in one transaction.

    Raises:
        ConfigurationError: the database isn't in UTF-8, or a newer version of leadpay has upgraded it.
    """
    encoding = await (await connection.execute("SHOW server_encoding")).fetchone()
    if encoding != ("UTF8",):
        raise ConfigurationError("the inbox's database must be in UTF-8, so that every event can be kept")
    files = schema_files(package, "postgres")
    known = int(files[-1].name[:4])
    table = version_table(package)
    version = await _version(connection, table)
    if version < known:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_UPGRADE_LOCK,))
            # CREATE looks at what is there now; a lookup by name may use what this session has cached.
            await connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (version integer PRIMARY KEY)".encode())
            version = await _version(connection, table)
            for file in files[version:]:
                await connection.execute(file.read_text(encoding="utf-8").encode())
                await connection.execute(f"INSERT INTO {table} VALUES (%s)".encode(), (int(file.name[:4]),))  # noqa: S608 - our own table
    if version > known:
        raise ConfigurationError(f"the database has schema {version}, and this leadpay knows {known}: upgrade leadpay")


async def _version(connection: "Connection", table: str) -> int:
    # Reads only, so that a role without CREATE can open a store whose schema is there.
    found = await (await connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))).fetchone()
    if found != (True,):
        return 0
    latest = f"SELECT coalesce(max(version), 0) FROM {table}".encode()  # noqa: S608 - our own table
    row = await (await connection.execute(latest)).fetchone()
    return 0 if row is None else int(row[0])
