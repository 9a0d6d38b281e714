"""Three lists side by side, in a temporary database on disk: so a day of any size takes a fixed amount of memory.

It holds IDs, words, amounts, times and keyed hashes; no name, account number or body. SQLite deletes it when it is
closed.
"""

import hmac
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from leadpay.models import Event, InstantPayment, InstantPaymentEvent

# Of an event, "inside" says that its payment belongs to the report's time, "recent" that the event itself does.
# "known" is what the bank's list of payments says, "told" its list of events, "events" the inbox, "sent" the outbox.
_SCHEMA: Final = """
CREATE TABLE known (id TEXT PRIMARY KEY, account TEXT, direction TEXT, status TEXT, counterparty TEXT, amount TEXT,
    updated TEXT, is_return INTEGER, original TEXT, returns INTEGER, digest TEXT, created TEXT) WITHOUT ROWID;
CREATE TABLE told (id TEXT PRIMARY KEY, type TEXT, payment TEXT, account TEXT) WITHOUT ROWID;
CREATE TABLE events (id TEXT PRIMARY KEY, type TEXT, payment TEXT, state TEXT, account TEXT, direction TEXT,
    status TEXT, counterparty TEXT, amount TEXT, version TEXT, inside INTEGER, recent INTEGER) WITHOUT ROWID;
CREATE INDEX events_payment ON events (payment, version);
CREATE TABLE sent (number INTEGER PRIMARY KEY, reference TEXT, operation TEXT, state TEXT, outcome TEXT, payment TEXT,
    account TEXT, amount TEXT, status TEXT, counterparty TEXT, updated TEXT, digest TEXT, key TEXT, attempted TEXT);
CREATE INDEX sent_payment ON sent (payment);
CREATE INDEX sent_key ON sent (key);
CREATE TABLE checked (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Workspace:
    """The temporary database. Amounts are text, since the bank's may be larger than what SQLite adds up."""

    def __init__(self) -> None:
        # An empty name is a temporary file, which spills to disk when it is large.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;")
        self._connection.executescript(_SCHEMA)
        self._secret = secrets.token_bytes(16)

    def close(self) -> None:
        """Delete it."""
        self._connection.close()

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Read the rows of a query one by one."""
        yield from self._connection.execute(sql)

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        [(count,)] = self.stream(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own tables
        return int(count)

    def add(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows; one that is there already is replaced, since a list may show an object twice."""
        many = list(rows)
        if many:
            places = ", ".join("?" * len(many[0]))
            self._connection.execute("BEGIN")
            self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", many)  # noqa: S608 - our own tables
            self._connection.execute("COMMIT")

    def digest(self, *parts: Any) -> str:
        """Hash what may not be stored; it can only be compared within this run."""
        return hmac.digest(self._secret, "\0".join(map(str, parts)).encode(errors="replace"), "sha256").hex()

    def known_row(self, payment: InstantPayment) -> tuple[Any, ...]:
        """Describe a payment of the bank's list."""
        digest = self.order_digest(
            payment.account_number_id,
            payment.amount,
            {"name": payment.creditor.name, "account_number": payment.creditor.account_number},
            {"routing_number": payment.creditor_agent.routing_number},
        )
        return (
            payment.id,
            payment.account_number_id,
            str(payment.direction),
            str(payment.status),
            _text(payment.counterparty_status),
            str(payment.amount),
            payment.updated_at.astimezone(UTC).isoformat(),
            payment.is_return,
            payment.original_payment_id,
            len(payment.return_payment_ids),
            digest,
            payment.created_at.astimezone(UTC).isoformat(),
        )

    def order_digest(self, account: Any, amount: Any, creditor: Mapping[str, Any], agent: Mapping[str, Any]) -> str:
        """Hash what a payment is about, as the outbox and the bank both know it."""
        return self.digest(
            account, amount, creditor.get("name"), creditor.get("account_number"), agent.get("routing_number")
        )


def told_row(event: Event) -> tuple[Any, ...]:
    """Describe an event of the bank's list."""
    account = event.payment.account_number_id if isinstance(event, InstantPaymentEvent) else None
    return (event.id, str(event.type), event.payment_id, account)


def payment_words(payment: InstantPayment) -> tuple[Any, ...]:
    """Give account, direction, status, counterparty status, amount and version, as the tables have them."""
    return (
        payment.account_number_id,
        str(payment.direction),
        str(payment.status),
        _text(payment.counterparty_status),
        str(payment.amount),
        payment.updated_at.astimezone(UTC).isoformat(),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
