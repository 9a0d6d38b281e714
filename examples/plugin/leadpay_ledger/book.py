"""The ledger itself: one row a payment, so that booking it again changes nothing."""

import asyncio
import sqlite3

from leadpay import InstantPayment
from leadpay_ledger.settings import Settings

TABLE = """
    CREATE TABLE IF NOT EXISTS entries (
        payment_id TEXT PRIMARY KEY,         -- why an entry is made once, however often the bank tells of it
        account_number_id TEXT NOT NULL,
        original_payment_id TEXT,            -- of a return: what it gives back
        cents INTEGER NOT NULL               -- negative for what was given back
    ) STRICT
"""


class Book:
    """A database of entries; amounts are integer cents."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Every statement commits by itself; SQLite takes one at a time, from whichever thread.
        self._connection = sqlite3.connect(settings.database, isolation_level=None, check_same_thread=False)
        self._connection.execute(TABLE)

    async def enter(self, payment: InstantPayment, cents: int) -> None:
        """Book a payment, unless it has been; entries need no order, since they are only ever added up."""
        if self._settings.wants(payment.account_number_id):
            row = (payment.id, payment.account_number_id, payment.original_payment_id, cents)
            insert = "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (payment_id) DO NOTHING"
            await asyncio.to_thread(self._connection.execute, insert, row)

    def balance(self, account_number_id: str) -> int:
        """Add up what has been booked for an account number."""
        query = "SELECT coalesce(sum(cents), 0) FROM entries WHERE account_number_id = ?"
        balance: int = self._connection.execute(query, (account_number_id,)).fetchone()[0]
        return balance

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
