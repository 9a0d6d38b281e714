"""Apply the numbered schema files that a SQLite file has not seen yet."""

import sqlite3
from collections.abc import Sequence

from leadpay.errors import ConfigurationError
from leadpay.storage import UNRELEASED, SchemaFile, missing_files, schema_files, version_table


def upgrade(connection: sqlite3.Connection, package: str, *, migrate: bool = True) -> None:
    """Bring the schema up to date, in one transaction.

    Raises:
        ConfigurationError: the file is too new, or it is too old and ``migrate`` is False.
    """
    if not missing(connection, package, migrate=migrate):
        return  # Without a lock, so that a reader opens the file while another process writes.
    table = version_table(package)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (version INTEGER PRIMARY KEY, works_with INTEGER NOT NULL)")
    for file in missing(connection, package):
        for statement in file.sql.split(";\n"):
            connection.execute(statement)
        connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (file.version, file.works_with))  # noqa: S608 - our own table
    connection.execute("COMMIT")


def missing(connection: sqlite3.Connection, package: str, *, migrate: bool = True) -> Sequence[SchemaFile]:
    """Tell which schema files the file lacks; see :func:`leadpay.storage.missing_files`."""
    table = version_table(package)
    version, works_with = 0, 0
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    if columns:
        if "works_with" not in columns:
            raise ConfigurationError(UNRELEASED)
        latest = f"SELECT coalesce(max(version), 0), coalesce(max(works_with), 0) FROM {table}"  # noqa: S608 - our own table
        version, works_with = connection.execute(latest).fetchone()
    return missing_files(schema_files(package, "sqlite"), version=version, works_with=works_with, migrate=migrate)
