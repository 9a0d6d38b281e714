"""The databases under the inbox: connections, migrations, transactions, leases. Nothing here knows what an event is."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import unquote

import attrs

from leadpay.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

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


def schema_files(package: str, dialect: Dialect) -> "list[Traversable]":
    """List the numbered schema files of a package, oldest first."""
    return sorted(resources.files(package).joinpath("schema", dialect).iterdir(), key=lambda file: file.name)


def version_table(package: str) -> str:
    """Name the table with the versions of a package's schema: an inbox and an outbox may share a database."""
    name = package.rpartition(".")[2]
    return "leadpay_schema" if name == "inbox" else f"leadpay_{name}_schema"
