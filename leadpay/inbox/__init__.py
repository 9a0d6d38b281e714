"""Durable inbox: accepted events are stored, then handled at least once or dead-lettered.

The same kinds of rows hold this in every store::

    events          one row an event, which doesn't change: number, id, ordering_key, type, created_at, version, body
    consumers       programs that each get every event, and the handlers that each has
    pending         one row for each consumer and waiting event; the result deletes it
    ordering keys   what is worked on one at a time and waits: a payment, or an event that is about no payment
                    consumer, due_at, leased, fencing_token, revision, abandoned
    handler runs    one handler with one event: state, attempts, due_at, error; none for an only handler that succeeded
                    at once
    set aside       the events that are through and not done: dead, discarded, unhandled, unreadable

Receivers write events. A worker claims an ordering key, runs the handlers that are due in the order of the events'
``created_at``, records the result of each handler as it ends, and releases the key. A claim is a lease with a fencing
token: a worker that was paused and comes back finds a newer token, and writes nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from leadpay.inbox.store import Claim as Claim
from leadpay.inbox.store import Consumer as Consumer
from leadpay.inbox.store import EventState as EventState
from leadpay.inbox.store import HandlerRun as HandlerRun
from leadpay.inbox.store import HandlerRunState as HandlerRunState
from leadpay.inbox.store import Inbox as Inbox
from leadpay.inbox.store import KnownHandler as KnownHandler
from leadpay.inbox.store import Note as Note
from leadpay.inbox.store import Stats as Stats
from leadpay.inbox.store import StoredEvent as StoredEvent
from leadpay.inbox.store import Transaction as Transaction
from leadpay.storage import Lease as Lease
from leadpay.storage import LeaseLostError as LeaseLostError
from leadpay.storage import parse_url, requiring_psycopg

if TYPE_CHECKING:
    from leadpay.inbox.postgres import PostgresInbox as PostgresInbox
    from leadpay.inbox.sqlite import SqliteInbox as SqliteInbox
    from leadpay.inbox.worker import Worker as Worker


def open_inbox(url: str, *, migrate: bool = True) -> Inbox:
    """Choose the inbox that a URL names; enter it to open it.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite:///:memory:`` (lost with the process,
            for tests), or ``postgresql://user:password@host/database`` (extra ``postgres``).
        migrate: whether entering it makes the schema, or brings an older one up to date, as receivers and workers need;
            False for a look, which changes nothing.

    Raises:
        ConfigurationError: it is none of these, or PostgreSQL's client library is not installed.
    """
    dialect, location = parse_url(url)
    if dialect == "sqlite":
        from leadpay.inbox.sqlite import SqliteInbox  # noqa: PLC0415 - loaded when it is used

        return SqliteInbox(location, migrate=migrate)
    with requiring_psycopg():
        from leadpay.inbox.postgres import PostgresInbox  # noqa: PLC0415 - loaded when it is used
    return PostgresInbox(location, migrate=migrate)


_HOMES: Final = {
    "PostgresInbox": "leadpay.inbox.postgres",
    "SqliteInbox": "leadpay.inbox.sqlite",
    "Worker": "leadpay.inbox.worker",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
