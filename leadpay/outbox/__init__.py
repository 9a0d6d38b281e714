"""Durable outbox: a payment that was decided on is kept before it is sent, and is sent once, whatever dies.

A program queues an instruction under a reference of its own, in its own transaction. Senders claim instructions under
leases with fencing tokens, write down that an attempt begins before its request leaves, send it with the instruction's
one idempotency key, and write down what came back. What got no response is asked again with the same key, as long as
the key surely lives; after that only evidence or a person resolves it. Events, and reading the payment, move an
instruction on to its outcome::

    held -> queued -> sending -> accepted -> arrived | rejected | returned | canceled
              |          |----> refused
              |          |----> in_doubt -> accepted | refused
              |-> withdrawn
"""

from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from leadpay.clock import Clock
from leadpay.outbox.limits import Guards as Guards
from leadpay.outbox.limits import Limits as Limits
from leadpay.outbox.outbox import Outbox as Outbox
from leadpay.outbox.store import Instruction as Instruction
from leadpay.outbox.store import InstructionState as InstructionState
from leadpay.outbox.store import LogEntry as LogEntry
from leadpay.outbox.store import Operation as Operation
from leadpay.outbox.store import OutboxStats as OutboxStats
from leadpay.outbox.store import OutboxStore as OutboxStore
from leadpay.outbox.store import Outcome as Outcome
from leadpay.storage import parse_url, requiring_psycopg

if TYPE_CHECKING:
    from leadpay.outbox.postgres import PostgresOutboxStore as PostgresOutboxStore
    from leadpay.outbox.sender import Sender as Sender
    from leadpay.outbox.sqlite import SqliteOutboxStore as SqliteOutboxStore
    from leadpay.outbox.tracking import tracking_router as tracking_router


def open_outbox(
    url: str,
    *,
    limits: Limits | Mapping[str, Limits] | None = None,
    suspect_duplicates: timedelta | None = None,
    two_people: bool = False,
    migrate: bool = True,
    clock: Clock | None = None,
) -> Outbox:
    """Choose the outbox that a URL names; enter it to open it. It may share its database with an inbox.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite:///:memory:`` (lost with the process,
            for tests), or ``postgresql://user:password@host/database`` (extra ``postgres``).
        limits: how much may be sent without approval, for every account number or by account number ID. Give the same
            to every program that queues.
        suspect_duplicates: how long after a payment an equal one (account number, counterparty, amount) is held.
        two_people: whether an approval must come from another person than who queued the instruction.
        migrate: whether entering it makes the schema, or brings an older one up to date; False for a look, which
            changes nothing.
        clock: what tells the time; leases in PostgreSQL go by the database's clock all the same.

    Raises:
        ConfigurationError: the URL is none of these, PostgreSQL's client library is not installed, or a guard is
            invalid.
    """
    guards = Guards(limits=limits, suspect_duplicates=suspect_duplicates, two_people=two_people)
    dialect, location = parse_url(url)
    if dialect == "sqlite":
        from leadpay.outbox.sqlite import SqliteOutboxStore  # noqa: PLC0415 - loaded when it is used

        return Outbox(SqliteOutboxStore(location, migrate=migrate), guards=guards, clock=clock)
    with requiring_psycopg():
        from leadpay.outbox.postgres import PostgresOutboxStore  # noqa: PLC0415 - loaded when it is used
    return Outbox(PostgresOutboxStore(location, migrate=migrate, clock=clock), guards=guards, clock=clock)


_HOMES: Final = {
    "PostgresOutboxStore": "leadpay.outbox.postgres",
    "Sender": "leadpay.outbox.sender",
    "SqliteOutboxStore": "leadpay.outbox.sqlite",
    "tracking_router": "leadpay.outbox.tracking",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
