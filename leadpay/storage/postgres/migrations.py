"""Bring a database to the newest of the numbered files under schema/postgres."""

from importlib import resources
from typing import Any, Final

from leadpay.errors import ConfigurationError

_UPGRADE_LOCK: Final = 5_494_816_203_447_310_689
"""The advisory lock under which one process upgrades the schema."""


async def upgrade(connection: Any) -> None:
    """Apply the numbered files that this database has not seen yet, in one transaction.

    Raises:
        ConfigurationError: the database isn't in UTF-8, or a newer version of leadpay has upgraded it.
    """
    encoding = await (await connection.execute("SHOW server_encoding")).fetchone()
    if encoding != ("UTF8",):
        raise ConfigurationError("the inbox's database must be in UTF-8, so that every event can be kept")
    files = sorted(resources.files("leadpay.inbox").joinpath("schema/postgres").iterdir(), key=lambda file: file.name)
    known = int(files[-1].name[:4])
    version = await _version(connection)
    if version < known:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_UPGRADE_LOCK,))
            # Creating looks at what is there now; a look by name alone may go by what this session knew before.
            await connection.execute("CREATE TABLE IF NOT EXISTS leadpay_schema (version integer PRIMARY KEY)")
            version = await _version(connection)
            for file in files[version:]:
                await connection.execute(file.read_text(encoding="utf-8").encode())
                await connection.execute("INSERT INTO leadpay_schema VALUES (%s)", (int(file.name[:4]),))
    if version > known:
        raise ConfigurationError(f"the inbox has schema {version}, and this leadpay knows {known}: upgrade leadpay")


async def _version(connection: Any) -> int:
    # Without a privilege to create anything, where there is nothing to create.
    found = await (await connection.execute("SELECT to_regclass('leadpay_schema') IS NOT NULL")).fetchone()
    if found != (True,):
        return 0
    (version,) = await (await connection.execute("SELECT coalesce(max(version), 0) FROM leadpay_schema")).fetchone()
    return int(version)
