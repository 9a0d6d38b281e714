"""The account numbers of the sandbox: their statuses, controls and metadata. Pure.

The bank's description does not say which changes of a status it allows. Here each is allowed, except from ``canceled``.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from leadpay.sandbox import controls
from leadpay.sandbox.ledger import Ledger
from leadpay.sandbox.models import Account, AccountNumber, AccountNumberChanges, AccountNumberOrder, Party
from leadpay.sandbox.problems import ApiProblem, not_allowed, not_found
from leadpay.sandbox.store import Collection


class AccountNumbers:
    """Every account number that is open in the ledger.

    Args:
        ledger: where they are opened.
        now: the time.
        new_id: makes the ID of a new object of a kind.
        emit: is told of a new event: its type and the ID of its object.
    """

    __slots__ = ("_emit", "_ledger", "_new_id", "_now", "records")

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], datetime],
        new_id: Callable[[str], str],
        emit: Callable[[str, str], object],
    ) -> None:
        self.records: Collection[AccountNumber] = Collection()
        self._ledger = ledger
        self._now = now
        self._new_id = new_id
        self._emit = emit
        ledger.on_open = self._add

    def find(self, account_number_id: str) -> AccountNumber:
        """The newest version of an account number; it is opened now if it was not, as the ledger does.

        Raises:
            ApiProblem: 404, it was not opened and the ledger is strict.
        """
        try:
            self._ledger.find(account_number_id)
        except ApiProblem:
            raise not_found(account_number_id) from None
        return self.get(account_number_id)

    def get(self, account_number_id: str) -> AccountNumber:
        """The newest version of an account number that is open."""
        found = self.records.get(account_number_id)
        assert found is not None, "the ledger tells of each that it opens"  # noqa: S101 - a mistake in this package
        return found

    def create(self, order: AccountNumberOrder) -> AccountNumber:
        """Make an account number. It is ``unassigned`` unless it is for a customer or an entity."""
        account = self._ledger.open(self._new_id("account_number"), account_id=order.account_id)
        assigned = order.client_customer_id is not None or order.entity_id is not None
        made = attrs.evolve(
            self.get(account.id),
            client_customer_id=order.client_customer_id,
            entity_id=order.entity_id,
            status="active" if assigned else "unassigned",
        )
        self.records.put(self._changed(made, order.changes))
        self._emit("account_number.created", made.id)
        return self.get(made.id)

    def update(self, account_number_id: str, changes: AccountNumberChanges) -> AccountNumber:
        """Change controls field by field, and the metadata as a whole."""
        return self._put(self._changed(self.find(account_number_id), changes))

    def set_status(self, account_number_id: str, status: str, metadata: Mapping[str, str] | None) -> AccountNumber:
        """Activate, deactivate or cancel an account number.

        Raises:
            ApiProblem: 400, it is canceled.
        """
        number = self.find(account_number_id)
        if number.status == "canceled":
            detail = "The account number is canceled."
            raise ApiProblem(400, "operation_not_allowed", detail, instance=number.id)
        changes = AccountNumberChanges(metadata=metadata)
        return self._put(attrs.evolve(self._changed(number, changes), status=status))

    def check_sending(self, account: Account, creditor: Party, creditor_agent: str) -> None:
        """Check that a payment can be sent. The bank publishes neither status nor code of this refusal.

        Raises:
            ApiProblem: 422, the account number is not active, or its controls do not admit the creditor.
        """
        number = self.get(account.id)
        self.check_active(account)
        if not controls.admits(number.controls, "outgoing", creditor, creditor_agent):
            detail = "The outgoing controls of the account number do not admit this creditor."
            raise ApiProblem(422, "restricted_by_account_number_controls", detail, instance=account.id)

    def check_active(self, account: Account) -> None:
        """Check that an account number sends.

        Raises:
            ApiProblem: 422, it is not active.
        """
        if not self.is_active(account):
            raise not_allowed(account.id, "The account number is not active.")

    def is_active(self, account: Account) -> bool:
        """Whether an account number sends and receives."""
        return self.get(account.id).status == "active"

    def reason_to_reject(self, account: Account, debtor: Party, debtor_agent: str, *, is_return: bool) -> str | None:
        """Why Lead rejects an incoming payment, if it does.

        The bank does not say whether controls apply to a return. Here they do not: it is our own money.
        """
        number = self.get(account.id)
        if number.status != "active":
            return "account_number_incorrect"
        if is_return or controls.admits(number.controls, "incoming", debtor, debtor_agent):
            return None
        return "restricted_by_account_number_controls"

    def _add(self, account: Account) -> None:
        now = self._now()
        default = {controls.INSTANT_PAYMENTS: controls.DEFAULT}
        self.records.put(AccountNumber(account=account, controls=default, created_at=now, updated_at=now))

    def _put(self, number: AccountNumber) -> AccountNumber:
        changed = attrs.evolve(number, updated_at=self._now())
        self.records.put(changed)
        return changed

    def _changed(self, number: AccountNumber, changes: AccountNumberChanges) -> AccountNumber:
        merged: dict[str, Any] = {
            product: controls.merge(number.controls.get(product, {}), change)
            for product, change in changes.controls.items()
        }
        metadata = number.metadata if changes.metadata is None else changes.metadata
        return attrs.evolve(number, controls={**number.controls, **merged}, metadata=metadata)
