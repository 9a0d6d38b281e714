"""Apply the numbered schema files that a SQLite file has not seen yet."""

import sqlite3

from leadpay.errors import ConfigurationError
from leadpay.storage import schema_files, version_table


def upgrade(connection: sqlite3.Connection, package: str) -> None:
    """Bring the schema up to date, in one transaction.

    Raises:
        ConfigurationError: a newer version of leadpay has upgraded the file.
    """
    files = schema_files(package, "sqlite")
    known = int(files[-1].name[:4])
    table = version_table(package)
    latest = f"SELECT coalesce(max(version), 0) FROM {table}"  # noqa: S608 - our own table
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        (version,) = connection.execute(latest).fetchone()
        if version > known:
            raise ConfigurationError(f"the file has schema {version}, and this leadpay knows {known}: upgrade leadpay")
        if version == known:
            return  # Without a lock, so that a reader opens the file while another process writes.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (version INTEGER PRIMARY KEY)")
    (version,) = connection.execute(latest).fetchone()
    for file in files[version:]:
        for statement in file.read_text(encoding="utf-8").split(";\n"):
            connection.execute(statement)
        connection.execute(f"INSERT INTO {table} VALUES (?)", (int(file.name[:4]),))  # noqa: S608 - the same
    connection.execute("COMMIT")
