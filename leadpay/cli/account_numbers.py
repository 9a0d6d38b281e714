"""``leadpay account-numbers``: list and show account numbers, and change who may pay into them."""

import sys
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from leadpay.cli import exit_codes
from leadpay.cli.listing import collect, page_size, unreadable_row
from leadpay.cli.options import AsJson, client_from_env
from leadpay.cli.output import print_fields, print_line, print_model, print_table
from leadpay.client.account_number_requests import DIRECTIONS, in_direction, members
from leadpay.client.pagination import UnreadableObject
from leadpay.converter import unstructure
from leadpay.enums import CounterpartyFilter, CounterpartyFilterLiteral
from leadpay.models import AccountNumber, AllowedCounterparty

account_numbers = App(name="account-numbers", help="List and show account numbers, and change their allow-lists.")

_COLUMNS: Final = ("ID", "ACCOUNT", "STATUS", "INCOMING", "OUTGOING")

Direction = Annotated[Literal["incoming", "outgoing"], Parameter(name="--direction")]


@account_numbers.command(name="list")
async def list_account_numbers(*, account_id: str | None = None, limit: int = 20, as_json: AsJson = False) -> None:
    """List account numbers.

    Args:
        account_id: Only account numbers of this account.
        limit: The maximum number of account numbers; 0 for all.
        as_json: Print one JSON object per line, as the bank sends it, with all numbers.
    """
    async with client_from_env() as lead:
        pager = lead.account_numbers.list(account_id=account_id, limit=page_size(limit))
        found = await collect(pager, limit, as_json=as_json)
    if not as_json:
        print_table(_COLUMNS, map(_row, found))


@account_numbers.command(name="show")
async def show_account_number(account_number_id: str, *, as_json: AsJson = False) -> None:
    """Show one account number.

    Args:
        account_number_id: The account number's ID.
        as_json: Print it as the bank sends it, with all numbers.
    """
    async with client_from_env() as lead:
        number = await lead.account_numbers.retrieve(account_number_id)
    _print(number, as_json=as_json)


@account_numbers.command(name="allow")
async def allow(
    account_number_id: str,
    *,
    direction: Direction,
    routing_number: str,
    account_number: str | None = None,
    counterparty_filter: Annotated[CounterpartyFilterLiteral | None, Parameter(name="--filter")] = None,
    as_json: AsJson = False,
) -> int:
    """Add a counterparty to an allow-list (exit code 1 if the filter rejects all).

    Args:
        account_number_id: The account number's ID.
        direction: incoming for who may pay in, outgoing for who may be paid.
        routing_number: The routing number of the counterparty's bank.
        account_number: The counterparty's account number. If it is left out, it is a line of standard input, so that
            no list of processes shows it.
        counterparty_filter: Set the filter as well: accept_all, reject_all or allowlist_only.
        as_json: Print the account number as the bank sends it, with all numbers.
    """
    counterparty = _counterparty(routing_number, account_number)
    async with client_from_env() as lead:
        number = await lead.account_numbers.allow(
            account_number_id, counterparty, direction=direction, counterparty_filter=counterparty_filter
        )
    _print(number, as_json=as_json)
    chosen = _filter(number, direction)
    if chosen == CounterpartyFilter.REJECT_ALL:
        print_line(f"leadpay: the filter is {chosen}: {direction} payments are still rejected", file=sys.stderr)
        return exit_codes.NEGATIVE
    if chosen == CounterpartyFilter.ACCEPT_ALL:
        print_line(f"leadpay: the filter is {chosen}: the list has no effect", file=sys.stderr)
    return exit_codes.OK


@account_numbers.command(name="deny")
async def deny(
    account_number_id: str,
    *,
    direction: Direction,
    routing_number: str,
    account_number: str | None = None,
    counterparty_filter: Annotated[CounterpartyFilterLiteral | None, Parameter(name="--filter")] = None,
    as_json: AsJson = False,
) -> int:
    """Remove a counterparty from an allow-list (exit code 1 if the filter still admits it).

    Args:
        account_number_id: The account number's ID.
        direction: incoming for who may pay in, outgoing for who may be paid.
        routing_number: The routing number of the counterparty's bank.
        account_number: The counterparty's account number. If it is left out, it is a line of standard input.
        counterparty_filter: Set the filter as well: accept_all, reject_all or allowlist_only.
        as_json: Print the account number as the bank sends it, with all numbers.
    """
    counterparty = _counterparty(routing_number, account_number)
    async with client_from_env() as lead:
        number = await lead.account_numbers.deny(
            account_number_id, counterparty, direction=direction, counterparty_filter=counterparty_filter
        )
    _print(number, as_json=as_json)
    chosen = _filter(number, direction)
    if chosen in {CounterpartyFilter.ALLOWLIST_ONLY, CounterpartyFilter.REJECT_ALL}:
        return exit_codes.OK
    print_line(f"leadpay: the filter is {chosen}: the counterparty is still admitted", file=sys.stderr)
    return exit_codes.NEGATIVE


def _counterparty(routing_number: str, account_number: str | None) -> AllowedCounterparty:
    number = _typed_number() if account_number is None else account_number
    return AllowedCounterparty(routing_number=routing_number, account_number=number)


def _typed_number() -> str:
    if sys.stdin.isatty():
        print_line("account number:", file=sys.stderr)
    return str(sys.stdin.readline()).strip()


def _filter(number: AccountNumber, direction: str) -> CounterpartyFilter:
    """Give the filter of one direction; the bank's default if it sent none."""
    controls = in_direction(number, direction)
    chosen = None if controls is None else controls.counterparty_filter
    return chosen or CounterpartyFilter.ACCEPT_ALL


def _row(number: AccountNumber | UnreadableObject) -> tuple[str, ...]:
    """Build a table row without account numbers."""
    if isinstance(number, UnreadableObject):
        return unreadable_row(number, _COLUMNS, "STATUS")
    directions = []
    for direction in DIRECTIONS:
        chosen, entries = _filter(number, direction), len(members(in_direction(number, direction)))
        directions.append(f"{chosen} ({entries})" if chosen == CounterpartyFilter.ALLOWLIST_ONLY else str(chosen))
    return (number.id, number.account_id, str(number.status), *directions)


def _print(number: AccountNumber, *, as_json: bool) -> None:
    if as_json:
        print_model(number)
        return
    # Metadata is the user's own: its names do not tell which values are personal data.
    shown = unstructure(number)
    print_fields({**shown, "metadata": dict.fromkeys(shown.get("metadata", {}), "…")})
