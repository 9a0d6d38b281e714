"""``leadpay reconcile``: the outbox, the inbox and the bank's lists side by side."""

import csv
import sys
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from leadpay.business_days import NEW_YORK
from leadpay.cli.exit_codes import DIFFERENCES, OK, REMOTE_ERROR
from leadpay.cli.inbox import opened
from leadpay.cli.options import AsJson, Flag, InboxUrl, OutboxUrl
from leadpay.cli.outbox import opened as opened_outbox
from leadpay.cli.output import csv_cell, format_cents, print_json, print_line, print_table, progress
from leadpay.client import LeadClient
from leadpay.errors import ConfigurationError
from leadpay.reconcile import RETURN_DAYS, Report, day_of
from leadpay.reconcile import reconcile as compare
from leadpay.reconcile.findings import Finding, Total


async def reconcile(
    *,
    day: str | None = None,
    since: Annotated[datetime | None, Parameter(name="--from")] = None,
    until: Annotated[datetime | None, Parameter(name="--to")] = None,
    account_number_id: str | None = None,
    return_days: int = RETURN_DAYS,
    repair: Annotated[bool, Flag] = False,
    inbox_url: InboxUrl = None,
    outbox_url: OutboxUrl = None,
    as_csv: Annotated[bool, Parameter(name="--csv", negative="")] = False,
    as_json: AsJson = False,
) -> int:
    """Compare a day's payments and events at the bank with the inbox and the outbox.

    Exit codes: 0 nothing differs; 5 something differs; 3 it could not be told. Nothing is ever sent.

    Args:
        day: A day in New York: a date such as 2026-11-24, today or yesterday.
        since: Instead of a day: payments created at or after this time. Local time without an offset.
        until: Payments created before this time.
        account_number_id: Only payments of this account number.
        return_days: How many business days the money of a rejected payment may take to come back.
        repair: Fetch missing events, and resolve instructions in doubt whose payment is at the bank.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database; left out if it is not given.
        outbox_url: The outbox; left out if it is not given.
        as_csv: Print one line per finding and per total, with amounts in cents.
        as_json: Print one JSON object.
    """
    start, end = _range(day, since, until)
    if inbox_url is None and outbox_url is None:
        raise ConfigurationError("nothing to compare with: set LEAD_INBOX or LEAD_OUTBOX, or pass --inbox or --outbox")
    async with AsyncExitStack() as stack:
        lead = await stack.enter_async_context(LeadClient.from_env())
        inbox = None if inbox_url is None else await stack.enter_async_context(opened(inbox_url))
        outbox = None if outbox_url is None else await stack.enter_async_context(opened_outbox(outbox_url))
        show = stack.enter_context(progress("read"))
        report = await compare(
            lead,
            start=start,
            end=end,
            inbox=inbox,
            outbox=outbox,
            account_number_id=account_number_id,
            return_days=return_days,
            repair=repair,
            progress=lambda _, count: show(count),
        )
    (_print_json if as_json else _print_csv if as_csv else _print_table)(report)
    if report.unknown:
        return REMOTE_ERROR
    return DIFFERENCES if report.findings else OK


def _range(day: str | None, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    if day is not None and since is None and until is None:
        today = datetime.now(NEW_YORK).date()
        try:
            return day_of({"today": today, "yesterday": today - timedelta(days=1)}.get(day) or date.fromisoformat(day))
        except ValueError:
            raise ConfigurationError("--day: must be a date such as 2026-11-24, today or yesterday") from None
    if day is None and since is not None and until is not None:
        return since.astimezone(), until.astimezone()
    raise ConfigurationError("give either --day, or --from and --to")


def _print_json(report: Report) -> None:
    def with_remedy(finding: Finding) -> dict[str, Any]:
        return {**attrs.asdict(finding), "remedy": finding.remedy}

    print_json(
        {
            **attrs.asdict(report, recurse=False),
            "findings": [with_remedy(one) for one in report.findings],
            "repaired": [with_remedy(one) for one in report.repaired],
            "totals": [{**attrs.asdict(one), "net_cents": one.net_cents} for one in report.totals],
        }
    )


COLUMNS: Final = ("kind", "payment_id", "event_id", "reference", "account_number_id", "cents", "evidence", "remedy")
"""Of the CSV."""


def _print_csv(report: Report) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in report.findings:
        cents = "" if one.amount is None else one.amount
        ids = (one.payment_id, one.event_id, one.reference, one.account_number_id)
        writer.writerow([one.kind, *map(csv_cell, ids), cents, one.evidence, one.remedy])
    for total in report.totals:
        for name, cents in _sums(total):
            writer.writerow([name, "", "", "", total.account_number_id, cents, "", ""])
    for text in report.unknown:
        writer.writerow(["could_not_tell", "", "", "", "", "", text, ""])


def _sums(total: Total) -> tuple[tuple[str, int], ...]:
    return (
        ("total_incoming", total.incoming_cents),
        ("total_outgoing", total.outgoing_cents),
        ("total_net", total.net_cents),
    )


_TOTAL_COLUMNS: Final = ("ACCOUNT NUMBER", "IN", "CENTS IN", "OUT", "CENTS OUT", "NET CENTS")
_FINDING_COLUMNS: Final = ("FINDING", "ABOUT", "AMOUNT", "EVIDENCE", "REMEDY")


def _print_table(report: Report) -> None:
    print_line(f"{report.payments} payments and {report.events} events at the bank, {report.instructions} instructions")
    if report.totals:
        print_table(_TOTAL_COLUMNS, map(_total_row, report.totals))
    for one in report.repaired:
        print_line(f"REPAIRED: {one.kind} {_subject(one)}")
    if report.findings:
        print_table(_FINDING_COLUMNS, map(_finding_row, report.findings))
    for text in report.unknown:
        print_line(f"COULD NOT TELL: {text}")
    if not report.findings and not report.unknown:
        print_line("everything agrees")


def _total_row(total: Total) -> tuple[str, ...]:
    numbers = (total.incoming, total.incoming_cents, total.outgoing, total.outgoing_cents, total.net_cents)
    return (total.account_number_id, *map(str, numbers))


def _finding_row(finding: Finding) -> tuple[str, ...]:
    amount = "" if finding.amount is None else format_cents(finding.amount)
    return (finding.kind, _subject(finding), amount, finding.evidence, finding.remedy)


def _subject(finding: Finding) -> str:
    return finding.event_id or finding.reference or finding.payment_id or finding.account_number_id or ""
