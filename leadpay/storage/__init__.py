"""The databases under the inbox: connections, migrations, transactions, leases. Nothing here knows what an event is."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

import attrs

from leadpay.errors import ConfigurationError

Dialect: TypeAlias = Literal["sqlite", "postgres"]

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


@attrs.frozen(kw_only=True)
class Lease:
    """The right to work on one ordering key, until a time or until a newer fencing token is given out for it."""

    ordering_key: str
    fencing_token: int
    """Grows with every claim of the key; only the newest one may write."""
    until: float
    """In seconds since 1970, as it was when it was claimed."""
    seconds: float
    """How long it lasts; every write of its holder prolongs it by as much."""
    revision: int
    """The key's revision when it was claimed; a higher one at the release means that there is new work."""
    consumer: int = 1
    """Whose key it is: ordering keys of different consumers have nothing to do with each other."""
    abandoned: int = 0
    """How many leases before this one expired without a result."""


class LeaseLostError(Exception):
    """Internal: another worker has the ordering key now, so nothing of this one's work is kept."""


def parse_url(url: str) -> tuple[Dialect, str]:
    """Read a store's URL.

    Returns:
        The kind of database, and a file's path or the URL as PostgreSQL's library takes it.

    Raises:
        ConfigurationError: it names neither SQLite nor PostgreSQL.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return "sqlite", unquote(url.removeprefix(_SQLITE))
    if url.startswith(_POSTGRES):
        return "postgres", url
    # The URL is not quoted: it may hold a password.
    raise ConfigurationError("a store's URL must begin with sqlite:/// or postgresql://")


@contextmanager
def requiring_psycopg() -> Iterator[None]:
    """Explain a failed import of what needs PostgreSQL's client library.

    Raises:
        ConfigurationError: the library is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError("PostgreSQL needs: pip install 'leadpay[postgres]' 'psycopg[binary]'") from error


@attrs.frozen
class SchemaFile:
    """One numbered file of a schema."""

    version: int
    works_with: int
    """The oldest version that a program may know and still work with this one: ``-- Works with:`` in its first line."""
    sql: str


def schema_files(package: str, dialect: Dialect) -> list[SchemaFile]:
    """List the numbered schema files of a package, oldest first."""
    found = []
    folder = resources.files(package).joinpath("schema", dialect)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        version, sql = int(file.name[:4]), file.read_text(encoding="utf-8")
        header = re.match(r"-- Works with: (\d+)\n", sql)
        found.append(SchemaFile(version, int(header[1]) if header else version, sql))
    return found


def missing_files(files: Sequence[SchemaFile], *, version: int, works_with: int, migrate: bool) -> Sequence[SchemaFile]:
    """Tell which files a database lacks.

    Args:
        files: all that this program knows.
        version: the newest that the database has.
        works_with: the oldest version that a program may know to work with the database.
        migrate: whether the caller may apply them.

    Raises:
        ConfigurationError: the database is too new, or it is too old and may not be changed.
    """
    known = files[-1].version
    if works_with > known:
        raise ConfigurationError(
            f"the database has schema {version}, for programs that know {works_with}, and this leadpay knows {known}: "
            "upgrade leadpay"
        )
    missing = files[version:]
    if missing and not migrate:
        raise ConfigurationError(
            f"the database has schema {version}, and this leadpay needs {known}: start a worker or sender of "
            "this version, or run 'leadpay inbox migrate'"
        )
    return missing


UNRELEASED: Final = (
    "the database was made by a version of leadpay that was never released: move it away, and leadpay makes a new one"
)


def version_table(package: str) -> str:
    """Name the table with the versions of a package's schema: an inbox and an outbox may share a database."""
    name = package.rpartition(".")[2]
    return "leadpay_schema" if name == "inbox" else f"leadpay_{name}_schema"
