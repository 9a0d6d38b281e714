"""The ledger: one row per payment, so that recording it again changes nothing."""

import asyncio
import sqlite3

from leadpay import InstantPayment
from leadpay_ledger.settings import Settings

TABLE = """
    CREATE TABLE IF NOT EXISTS entries (
        payment_id TEXT PRIMARY KEY,         -- a duplicate webhook inserts nothing
        account_number_id TEXT NOT NULL,
        original_payment_id TEXT,            -- only of a return
        cents INTEGER NOT NULL               -- negative for a return
    ) STRICT
"""


class Ledger:
    """A database of entries. Amounts are integer cents."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Autocommit: SQLite serializes the statements of all threads.
        self._connection = sqlite3.connect(settings.database, isolation_level=None, check_same_thread=False)
        self._connection.execute(TABLE)

    async def record(self, payment: InstantPayment, cents: int) -> None:
        """Record a payment once. The order does not matter, because entries are only summed."""
        if self._settings.includes(payment.account_number_id):
            row = (payment.id, payment.account_number_id, payment.original_payment_id, cents)
            insert = "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (payment_id) DO NOTHING"
            await asyncio.to_thread(self._connection.execute, insert, row)

    def balance(self, account_number_id: str) -> int:
        """Return the sum of the entries of an account number."""
        query = "SELECT coalesce(sum(cents), 0) FROM entries WHERE account_number_id = ?"
        balance: int = self._connection.execute(query, (account_number_id,)).fetchone()[0]
        return balance

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
