"""Settings of the ledger, from the environment."""

import os
from collections.abc import Mapping
from typing import NamedTuple, Self


class Settings(NamedTuple):
    """The database, and the account numbers that the ledger includes."""

    database: str = "ledger.db"
    """``LEDGER_DATABASE``."""
    account_number_ids: frozenset[str] = frozenset()
    """``LEDGER_ACCOUNT_NUMBER_IDS``, separated by commas. Empty: all."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read the settings."""
        listed = env.get("LEDGER_ACCOUNT_NUMBER_IDS", "").split(",")
        return cls(env.get("LEDGER_DATABASE", "ledger.db"), frozenset(one.strip() for one in listed) - {""})

    def includes(self, account_number_id: str) -> bool:
        """Whether the ledger includes an account number."""
        return not self.account_number_ids or account_number_id in self.account_number_ids
