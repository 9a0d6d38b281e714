"""Accounts and their balances. Pure. What leaves an account goes to the world outside, and comes from there."""

from collections.abc import Callable
from typing import Final

from leadpay.sandbox.models import Account, Party
from leadpay.sandbox.problems import ApiProblem

OPENING_BALANCE: Final = 10**14
"""The balance of an account that is opened at first use, in cents: so high that no test runs out of it by accident."""

HOME_ROUTING_NUMBER: Final = "990000001"
"""The routing number of the sandbox itself."""


class Ledger:
    """All account numbers, and their balances.

    Args:
        strict: whether an account number that was not opened is refused; otherwise it is opened when first used.
    """

    __slots__ = ("_accounts", "_balances", "_outside", "on_open", "strict")

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.on_open: Callable[[Account], object] = lambda account: account
        """Called with each account number that is opened."""
        self._accounts: dict[str, Account] = {}
        self._balances: dict[str, int] = {}
        self._outside = 0

    def open(
        self,
        account_number_id: str,
        *,
        balance: int = OPENING_BALANCE,
        name: str = "Sandbox Account",
        account_id: str | None = None,
    ) -> Account:
        """Open an account number, or give one that is open a new balance.

        Args:
            account_number_id: such as ``account_number_xyz123``.
            balance: in cents.
            name: the holder's name.
            account_id: the account that it belongs to; one of its own if left out.
        """
        account = self._accounts.get(account_number_id)
        if account is None:
            account_id = account_id or f"account_{account_number_id.removeprefix('account_number_')}"
            holder = Party(name, f"{2_000_000_000 + len(self._accounts)}")
            account = self._accounts[account_number_id] = Account(account_number_id, account_id, holder)
            self.on_open(account)
        self._outside += self._balances.get(account_number_id, 0) - balance
        self._balances[account_number_id] = balance
        return account

    def find(self, account_number_id: str) -> Account:
        """The account number, opened now if it was not.

        Raises:
            ApiProblem: 403, it was not opened and the ledger is strict.
        """
        found = self._accounts.get(account_number_id)
        if found is None and self.strict:
            detail = "You do not have permission to access this account number."
            raise ApiProblem(403, "account_number_forbidden", detail, instance=account_number_id)
        return found or self.open(account_number_id)

    @property
    def accounts(self) -> list[tuple[Account, int]]:
        """Every open account number, in the order in which they were opened, with its balance in cents."""
        return [(account, self._balances[account.id]) for account in self._accounts.values()]

    def balance(self, account_number_id: str) -> int:
        """The balance of an open account number, in cents."""
        return self._balances[account_number_id]

    def covers(self, account: Account, amount: int) -> bool:
        """Whether so many cents can leave the account."""
        return self._balances[account.id] >= amount

    def post(self, account: Account, amount: int) -> None:
        """Credit the account with so many cents, or debit it if the amount is negative."""
        self._balances[account.id] += amount
        self._outside -= amount

    @property
    def total(self) -> int:
        """All money, inside and outside, in cents: always 0."""
        return sum(self._balances.values()) + self._outside
