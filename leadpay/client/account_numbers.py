"""The calls about account numbers: what is sent from them, and who may pay into them."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from leadpay.client import account_number_requests as requests
from leadpay.client import queries
from leadpay.client.account_number_requests import MAX_ALLOWED, PATH, differences, in_direction, members
from leadpay.client.executor import RequestExecutor
from leadpay.client.pagination import AsyncPager, PageData, read_page
from leadpay.client.requests import Request
from leadpay.client.validation import Validator
from leadpay.converter import structure
from leadpay.enums import CounterpartyFilter, CounterpartyFilterLiteral, Direction, DirectionLiteral
from leadpay.errors import InvalidRequestError, MismatchedResponseError, Problem
from leadpay.models import AccountNumber, AllowedCounterparty, CounterpartyControls, InstantPaymentControls

MAX_ROUNDS: Final = 5
"""How often ``allow`` and ``deny`` write while another program changes the same list."""

_read_number: Final[Callable[[Any], AccountNumber]] = partial(structure, cls=AccountNumber)


class AccountNumbers:
    """``lead.account_numbers``. It needs the scope ``account_number/read_write``, or ``account_number/read`` to read.

    The calls raise what those of ``lead.instant_payments`` raise. The bank's description of the writes has no
    idempotency key. So if no response arrived, the account number is read, and what it shows decides.
    """

    def __init__(self, executor: RequestExecutor) -> None:
        self._executor = executor
        self._changing_a_list = asyncio.Lock()

    async def retrieve(self, account_number_id: str) -> AccountNumber:
        """Read an account number as it is now."""
        return await self._executor.call(requests.retrieve(account_number_id), _read_number)

    def list(
        self,
        *,
        account_id: str | None = None,
        account_number: str | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> AsyncPager[AccountNumber]:
        """List account numbers: ``await`` it for one page, or use ``async for`` to get all of them.

        Args:
            account_id: only those of this account.
            account_number: only the one with this number, to find its ID.
            limit: objects on a page, 1 to 100; the bank's default is 10.
            starting_after: an account number's ID; the list continues after it.
            ending_before: an account number's ID; the list goes backwards from it.
        """
        query = queries.account_numbers(
            account_id=account_id,
            account_number=account_number,
            limit=limit,
            starting_after=starting_after,
            ending_before=ending_before,
        )
        return AsyncPager(query, self._get_page)

    async def update(
        self,
        account_number_id: str,
        *,
        instant_payment_controls: InstantPaymentControls | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AccountNumber:
        """Change controls and metadata. What is left out, or None, stays as it is.

        An allow-list is written as a whole: use ``allow`` and ``deny`` to change one entry. The bank does not say
        whether metadata is written as a whole, so send all of it.

        Args:
            account_number_id: the account number's ID.
            instant_payment_controls: with the directions, and the fields in each, that change.
            metadata: your own texts, by name.

        Returns:
            The account number as the bank shows it after the change.

        Raises:
            MismatchedResponseError: the bank accepted the update, and shows other values.
        """
        key = self._executor.new_idempotency_key()
        request = requests.update(account_number_id, instant_payment_controls, metadata, key)

        def find_differences(number: AccountNumber) -> tuple[Problem, ...]:
            return tuple(differences(number, instant_payment_controls, metadata))

        number = await self._call_and_verify(request, lambda found: not find_differences(found))
        _raise_if(find_differences(number), key)
        return number

    async def allow(
        self,
        account_number_id: str,
        counterparty: AllowedCounterparty,
        *,
        direction: Direction | DirectionLiteral,
        counterparty_filter: CounterpartyFilter | CounterpartyFilterLiteral | None = None,
    ) -> AccountNumber:
        """Add a counterparty to an allow-list; nothing is sent if it is on the list already.

        The list counts only while the filter is ``allowlist_only``; ``counterparty_filter`` sets it in the same write.
        The bank has no call that adds one entry. So the list is read, written, and read again; where the entry is
        missing then, because another program wrote a list without it, all is done again. Changes by one client follow
        each other. Two programs that change one list at the very same time can still lose an entry of the one
        that was finished first: call ``allow`` again to be sure, it changes nothing more.

        Args:
            account_number_id: the account number's ID.
            counterparty: the account to add.
            direction: ``incoming`` for who may pay in, ``outgoing`` for who may be paid.
            counterparty_filter: the filter to set as well; it stays if left out.

        Returns:
            The account number as it was read after the change.

        Raises:
            InvalidRequestError: an argument is wrong, or the list has its 20 entries.
            MismatchedResponseError: the list lacks the entry after ``MAX_ROUNDS`` writes, or the other direction
                changed as well.
        """
        return await self._change_list(
            "account_numbers.allow", account_number_id, counterparty, direction, counterparty_filter, is_allowed=True
        )

    async def deny(
        self,
        account_number_id: str,
        counterparty: AllowedCounterparty,
        *,
        direction: Direction | DirectionLiteral,
        counterparty_filter: CounterpartyFilter | CounterpartyFilterLiteral | None = None,
    ) -> AccountNumber:
        """Remove a counterparty from an allow-list, as ``allow`` adds one.

        With the filter ``accept_all``, a counterparty that is not on the list is still admitted.
        """
        return await self._change_list(
            "account_numbers.deny", account_number_id, counterparty, direction, counterparty_filter, is_allowed=False
        )

    async def activate(self, account_number_id: str, *, metadata: Mapping[str, str] | None = None) -> AccountNumber:
        """Activate an account number, so that it sends and receives."""
        return await self._set_status("activate", "active", account_number_id, metadata)

    async def deactivate(self, account_number_id: str, *, metadata: Mapping[str, str] | None = None) -> AccountNumber:
        """Deactivate an account number: it neither sends nor receives until it is activated."""
        return await self._set_status("deactivate", "inactive", account_number_id, metadata)

    async def cancel(self, account_number_id: str, *, metadata: Mapping[str, str] | None = None) -> AccountNumber:
        """Cancel an account number: it neither sends nor receives any more."""
        return await self._set_status("cancel", "canceled", account_number_id, metadata)

    async def _set_status(
        self, verb: str, status: str, account_number_id: str, metadata: Mapping[str, str] | None
    ) -> AccountNumber:
        key = self._executor.new_idempotency_key()
        request = requests.set_status(verb, status, account_number_id, metadata, key)
        return await self._call_and_verify(request, lambda number: number.status == status)

    async def _change_list(
        self,
        operation: str,
        account_number_id: str,
        counterparty: AllowedCounterparty,
        direction: str,
        counterparty_filter: str | None,
        *,
        is_allowed: bool,
    ) -> AccountNumber:
        member, chosen = _checked(operation, counterparty, direction, counterparty_filter)
        other = "outgoing" if direction == "incoming" else "incoming"
        path = f"$.instant_payment_controls.{direction}"
        async with self._changing_a_list:
            number = await self.retrieve(account_number_id)
            for _ in range(MAX_ROUNDS):
                found = in_direction(number, direction)
                entries = members(found)
                is_filtered = chosen is None or (found is not None and found.counterparty_filter == chosen)
                if (member in entries) == is_allowed and is_filtered:
                    return number
                if is_allowed:
                    entries.setdefault(member, counterparty)
                else:
                    entries.pop(member, None)
                if len(entries) > MAX_ALLOWED:
                    problem = Problem("counterparty", f"the allow-list has its {MAX_ALLOWED} entries")
                    raise InvalidRequestError([problem], operation=operation)
                change = CounterpartyControls(
                    counterparty_filter=chosen, counterparty_account_numbers_allowlist=tuple(entries.values())
                )
                incoming, outgoing = (change, None) if direction == "incoming" else (None, change)
                controls = InstantPaymentControls(incoming=incoming, outgoing=outgoing)
                changed = await self.update(account_number_id, instant_payment_controls=controls)
                if _effect(changed, other) != _effect(number, other):
                    _raise_if((Problem(f"$.instant_payment_controls.{other}", "has changed as well"),), None)
                number = await self.retrieve(account_number_id)
        raise MismatchedResponseError(
            [Problem(path, f"is changed by another program: gave up after {MAX_ROUNDS} writes")]
        )

    async def _call_and_verify(self, request: Request, is_done: Callable[[AccountNumber], bool]) -> AccountNumber:
        """Call; if the responses leave the outcome unknown, read the account number and look."""
        retrieve = requests.retrieve(str(request.expected["id"]))

        async def verify(deadline: float) -> AccountNumber | None:
            number = await self._executor.call(retrieve, _read_number, deadline=deadline)
            return number if is_done(number) else None

        return await self._executor.call(request, _read_number, verify=verify)

    async def _get_page(self, query: Mapping[str, Any]) -> PageData[AccountNumber]:
        return await self._executor.call(queries.request(PATH, query), partial(read_page, read=_read_number))


def _checked(
    operation: str, counterparty: object, direction: object, chosen: str | None
) -> tuple[tuple[str, str], CounterpartyFilter | None]:
    """Check the arguments of ``allow`` and ``deny``.

    Returns:
        What identifies the counterparty, and the filter.
    """
    validator = Validator(operation)
    body = requests.allowed_counterparty(validator, "counterparty", counterparty)
    if direction not in requests.DIRECTIONS:
        validator.error("direction", f"must be one of {', '.join(requests.DIRECTIONS)}")
    if chosen is not None:
        requests.counterparty_filter(validator, "counterparty_filter", chosen)
    validator.raise_if_invalid()
    return (body["routing_number"], body["account_number"]), None if chosen is None else CounterpartyFilter(chosen)


def _effect(number: AccountNumber, direction: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Give what the controls of a direction do: those that the bank does not send are its default."""
    controls = in_direction(number, direction)
    chosen = None if controls is None else controls.counterparty_filter
    return chosen or CounterpartyFilter.ACCEPT_ALL, frozenset(members(controls))


def _raise_if(problems: tuple[Problem, ...], key: str | None) -> None:
    if problems:
        raise MismatchedResponseError(problems, idempotency_key=key)
