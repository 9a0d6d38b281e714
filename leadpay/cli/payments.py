"""``leadpay payments``: list and show payments."""

from datetime import datetime
from typing import Final

from cyclopts import App

from leadpay.cli.listing import collect, filters, page_size, unreadable_row
from leadpay.cli.options import AsJson, client_from_env
from leadpay.cli.output import format_cents, format_time, print_fields, print_model, print_table
from leadpay.client.pagination import UnreadableObject
from leadpay.converter import unstructure
from leadpay.models import InstantPayment

payments = App(name="payments", help="List the bank's instant payments, or show one.")

_COLUMNS: Final = ("CREATED", "ID", "DIRECTION", "AMOUNT", "STATUS", "OTHER SIDE", "NOTE")


@payments.command(name="list")
async def list_payments(
    *,
    direction: str | None = None,
    status: str | None = None,
    counterparty_status: str | None = None,
    return_request_status: str | None = None,
    account_id: str | None = None,
    account_number_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    as_json: AsJson = False,
) -> None:
    """List payments, newest first.

    Args:
        direction: outgoing or incoming.
        status: The status on our side: created, under_review, canceled, rejected or posted.
        counterparty_status: The status on the other side: under_review, posted or rejected; null for none.
        return_request_status: pending, response_needed, accepted or rejected.
        account_id: Only payments of this account.
        account_number_id: Only payments of this account number.
        since: Only payments created at or after this time, such as 2026-01-31T12:00:00. Local time without an offset.
        until: Only payments created before this time.
        limit: The maximum number of payments; 0 for all.
        as_json: Print one JSON object per line, as the bank sends it, with names and account numbers.
    """
    chosen = filters(
        direction=direction,
        status=status,
        counterparty_status=counterparty_status,
        return_request_status=return_request_status,
        account_id=account_id,
        account_number_id=account_number_id,
        since=since,
        until=until,
    )
    if counterparty_status == "null":
        chosen["counterparty_status"] = None
    async with client_from_env() as lead:
        pager = lead.instant_payments.list(limit=page_size(limit), **chosen)
        found = await collect(pager, limit, as_json=as_json)
    if not as_json:
        print_table(_COLUMNS, map(payment_row, found))


@payments.command(name="show")
async def show_payment(payment_id: str, *, as_json: AsJson = False) -> None:
    """Show one payment.

    Args:
        payment_id: The payment's ID.
        as_json: Print it as the bank sends it, with names and account numbers.
    """
    async with client_from_env() as lead:
        payment = await lead.instant_payments.retrieve(payment_id)
    if as_json:
        print_model(payment)
    else:
        print_fields(unstructure(payment))


def payment_row(payment: InstantPayment | UnreadableObject) -> tuple[str, ...]:
    """Build a table row without names and account numbers."""
    if isinstance(payment, UnreadableObject):
        return unreadable_row(payment, _COLUMNS, "STATUS")
    notes = []
    if payment.is_return:
        notes.append(f"return of {payment.original_payment_id}")
    if payment.rejection is not None:
        notes.append(f"{payment.rejection.reason}, by {payment.rejection.rejected_by}")
    if payment.return_requests:
        notes.append(f"return request {payment.return_requests[-1].status}")
    return (
        format_time(payment.created_at),
        payment.id,
        str(payment.direction),
        format_cents(payment.amount),
        str(payment.status),
        "" if payment.counterparty_status is None else str(payment.counterparty_status),
        "; ".join(notes),
    )
