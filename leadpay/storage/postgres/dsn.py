"""Read a PostgreSQL URL, and add the settings that it leaves out. Pure."""

from typing import Final

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from leadpay.errors import ConfigurationError

_DEFAULTS: Final[dict[str, str | int]] = {
    "application_name": "leadpay",
    "client_encoding": "utf8",
    # After a failover the old name may still lead to a server that only reads.
    "target_session_attrs": "read-write",
    # A network that drops every packet is noticed within seconds instead of hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_MIN_CONNECT_TIMEOUT: Final = 2
"""libpq takes no shorter time (its documentation on connect_timeout), in seconds."""


def complete_dsn(dsn: str, *, connect_seconds: float) -> str:
    """Add our defaults to a DSN.

    Raises:
        ConfigurationError: it cannot be read; the message doesn't quote it, since it may hold a password.
    """
    unreadable = ConfigurationError("the store's URL cannot be read: postgresql://user:password@host:port/database")
    try:
        given = conninfo_to_dict(dsn)
    except Error:
        raise unreadable from None
    # A password with a colon and an at sign is easily taken for a port.
    if not all(port.isdecimal() for port in str(given.get("port") or 0).split(",") if port):
        raise unreadable
    ours = {**_DEFAULTS, "connect_timeout": max(_MIN_CONNECT_TIMEOUT, round(connect_seconds))}
    return make_conninfo(dsn, **{name: value for name, value in ours.items() if name not in given})


def place(dsn: str) -> str:
    """Name host, port and database, without user and password."""
    known = conninfo_to_dict(dsn)
    return f"{known.get('host', '')!s}:{known.get('port', '')!s}/{known.get('dbname', '')!s}"
