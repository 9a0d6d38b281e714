"""``leadpay returns``: list the return requests of counterparties, and decide them."""

import csv
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Annotated, Final

import attrs
from cyclopts import App, Parameter

from leadpay.cli.exit_codes import DUE, NEGATIVE, OK
from leadpay.cli.inbox import opened
from leadpay.cli.options import AsJson, InboxUrl, OutboxUrl, client_from_env
from leadpay.cli.outbox import opened as opened_outbox
from leadpay.cli.output import csv_cell, format_cents, format_time, print_fields, print_json, print_line, print_table
from leadpay.clock import SystemClock, utc_datetime
from leadpay.converter import decode, encode
from leadpay.enums import ReturnRequestRejectionReason
from leadpay.errors import ConfigurationError, ReturnRequestError
from leadpay.returns import KeptRequest, ReturnRequests, calendar

ALARM: Final = "2d"
"""How near a deadline is when ``list`` ends with exit code 4."""

returns = App(
    name="returns",
    help="List the return requests of counterparties, and decide them.\n\n"
    "Decisions go through the outbox: a sender sends them. LEAD_INBOX and LEAD_OUTBOX name the databases.",
)


@returns.command(name="list")
async def list_requests(
    *,
    due: str | None = None,
    closed: Annotated[bool, Parameter(name="--all", negative="")] = False,
    inbox_url: InboxUrl = None,
    outbox_url: OutboxUrl = None,
    as_ical: Annotated[bool, Parameter(name="--ical", negative="")] = False,
    as_csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    as_json: AsJson = False,
) -> int:
    """Ask the bank which requests are open, and list them, the nearest deadline first.

    Exit code 4 if an open request is due within two days, or within --due.

    Args:
        due: Only requests that are due within this time, such as 2d, 36h or 90m.
        closed: Include requests that need no decision.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_ical: Print a calendar of the deadlines.
        as_csv: Print one line per request, with amounts in cents.
        as_json: Print one JSON object per line.
    """
    alarm = utc_datetime(SystemClock().now()) + _duration(due or ALARM)
    async with _opened(inbox_url, outbox_url) as kept:
        await kept.sweep()
        found = [one async for one in kept.list(due=None if due is None else _duration(due), closed=closed)]
    if as_json:
        for one in found:
            print_json(attrs.asdict(one))
    elif as_ical:
        sys.stdout.write(calendar(found))
    elif as_csv:
        _print_csv(found)
    else:
        print_table(("DEADLINE", "PAYMENT", "AMOUNT", "REASON", "STATE"), map(_row, found))
    return DUE if any(one.is_open and one.deadline <= alarm for one in found) else OK


@returns.command
async def show(
    payment_id: str, *, inbox_url: InboxUrl = None, outbox_url: OutboxUrl = None, as_json: AsJson = False
) -> int:
    """Show the newest return request of a payment.

    Args:
        payment_id: The payment's ID.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    async with _opened(inbox_url, outbox_url) as kept:
        await kept.observe(await kept.lead.instant_payments.retrieve(payment_id))
        found = await kept.get(payment_id)
    if found is None:
        print_line(f"{payment_id}: has no return request")
        return NEGATIVE
    _print(found, as_json=as_json)
    return OK


@returns.command
async def accept(
    payment_id: str, *, by: str, inbox_url: InboxUrl = None, outbox_url: OutboxUrl = None, as_json: AsJson = False
) -> int:
    """Accept the open return request of a payment: queue its return.

    Args:
        payment_id: The payment's ID.
        by: Who decides, for the audit trail.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    async with _opened(inbox_url, outbox_url) as kept:
        return await _decision(kept.accept(payment_id, by=by), as_json=as_json)


@returns.command
async def reject(
    payment_id: str,
    *,
    reason: str,
    by: str,
    details: str | None = None,
    inbox_url: InboxUrl = None,
    outbox_url: OutboxUrl = None,
    as_json: AsJson = False,
) -> int:
    """Reject the open return request of a payment.

    Args:
        payment_id: The payment's ID.
        reason: Why, such as customer_no_response or account_closed.
        by: Who decides, for the audit trail.
        details: At most 140 characters; needed for the reason narrative.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        outbox_url: The outbox, such as sqlite:///outbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    async with _opened(inbox_url, outbox_url) as kept:
        why = ReturnRequestRejectionReason(reason)
        rejecting = kept.reject(payment_id, reason=why, by=by, additional_information=details)
        return await _decision(rejecting, as_json=as_json)


async def _decision(deciding: Awaitable[KeptRequest], *, as_json: bool) -> int:
    try:
        _print(await deciding, as_json=as_json)
    except ReturnRequestError as error:
        print_line(f"leadpay: {error}", file=sys.stderr)
        return NEGATIVE
    return OK


@asynccontextmanager
async def _opened(inbox_url: str | None, outbox_url: str | None) -> AsyncIterator[ReturnRequests]:
    async with AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(opened(inbox_url))
        outbox = await stack.enter_async_context(opened_outbox(outbox_url))
        yield ReturnRequests(inbox, outbox, await stack.enter_async_context(client_from_env()))


_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})([dhm])", text)
    if found is None:
        raise ConfigurationError("--due: must be a time such as 2d, 36h or 90m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _row(request: KeptRequest) -> tuple[str, ...]:
    mark = " (computed)" if request.deadline_is_computed else ""
    state = request.state if request.decided_by is None else f"{request.state}, by {request.decided_by}"
    deadline = f"{format_time(request.deadline)} UTC{mark}"
    return (deadline, request.payment_id, format_cents(request.amount), request.reason, state)


def _print(request: KeptRequest, *, as_json: bool) -> None:
    data = attrs.asdict(request)
    if as_json:
        print_json(data)
    else:
        print_fields(decode(encode({name: value for name, value in data.items() if value is not None})))


COLUMNS: Final = (
    "payment_id",
    "account_number_id",
    "cents",
    "reason",
    "requested_at",
    "deadline",
    "state",
    "decided_by",
)
"""Of the CSV."""


def _print_csv(found: Sequence[KeptRequest]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found:
        times = (one.requested_at.isoformat(), one.deadline.isoformat())
        who = csv_cell(one.decided_by)
        writer.writerow([one.payment_id, one.account_number_id, one.amount, one.reason, *times, one.state, who])
