"""What the ledger wants to be told, from the environment."""

import os
from collections.abc import Mapping
from typing import NamedTuple, Self


class Settings(NamedTuple):
    """Where the ledger is, and whose it is."""

    database: str = "ledger.db"
    """``LEDGER_DATABASE``."""
    account_number_ids: frozenset[str] = frozenset()
    """``LEDGER_ACCOUNT_NUMBER_IDS``, separated by commas; empty for all."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read them."""
        listed = env.get("LEDGER_ACCOUNT_NUMBER_IDS", "").split(",")
        return cls(env.get("LEDGER_DATABASE", "ledger.db"), frozenset(one.strip() for one in listed) - {""})

    def wants(self, account_number_id: str) -> bool:
        """Tell whether an account number is in the ledger."""
        return not self.account_number_ids or account_number_id in self.account_number_ids
