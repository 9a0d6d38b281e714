"""Apply the numbered schema files that a SQLite file has not seen yet."""

import sqlite3
from typing import Final

from leadpay.errors import ConfigurationError
from leadpay.storage import schema_files

_VERSION: Final = "SELECT coalesce(max(version), 0) FROM leadpay_schema"


def upgrade(connection: sqlite3.Connection, package: str) -> None:
    """Bring the schema up to date, in one transaction.

    Raises:
        ConfigurationError: a newer version of leadpay has upgraded the file.
    """
    files = schema_files(package, "sqlite")
    known = int(files[-1].name[:4])
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'leadpay_schema'").fetchone():
        (version,) = connection.execute(_VERSION).fetchone()
        if version > known:
            raise ConfigurationError(f"the file has schema {version}, and this leadpay knows {known}: upgrade leadpay")
        if version == known:
            return  # Without a lock, so that a reader opens the file while another process writes.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS leadpay_schema (version INTEGER PRIMARY KEY)")
    (version,) = connection.execute(_VERSION).fetchone()
    for file in files[version:]:
        for statement in file.read_text(encoding="utf-8").split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO leadpay_schema VALUES (?)", (int(file.name[:4]),))
    connection.execute("COMMIT")
