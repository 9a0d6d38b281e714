"""``leadpay backfill``: fetch missed events from the bank's event list."""

from datetime import datetime

import attrs

from leadpay.cli.options import AsJson, InboxUrl, require_inbox_url
from leadpay.cli.output import print_json, print_line, progress
from leadpay.client import LeadClient
from leadpay.errors import ConfigurationError
from leadpay.inbox import Inbox, open_inbox
from leadpay.inbox.backfill import RETENTION
from leadpay.inbox.backfill import backfill as fetch_missed


async def backfill(*, since: datetime | None = None, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """Fetch missed events from the bank's event list and store them in the inbox.

    Args:
        since: Where to begin, in local time without an offset; default: where the last backfill ended. The first
            backfill of an inbox needs it.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    # A missing inbox is created: it may have been lost in the outage.
    async with LeadClient.from_env() as lead, open_inbox(require_inbox_url(inbox_url)) as inbox:
        await demand_since(inbox, since)
        with progress("events read") as show:
            done = await fetch_missed(
                lead, inbox, since=since and since.astimezone(), progress=lambda step: show(step.seen)
            )
    if as_json:
        print_json(attrs.asdict(done))
        return
    print_line(f"the bank lists {done.seen} events from {done.start:%Y-%m-%d %H:%M} to {done.end:%Y-%m-%d %H:%M} UTC")
    print_line(f"{done.recovered} of them were missing and are now in the inbox")
    if done.unreadable:
        print_line(f"WARNING: {done.unreadable} of them cannot be read: leadpay inbox list --state unreadable")
    if done.near_limit:
        print_line("WARNING: the bank lists 90 days of events; older events cannot be fetched")


async def demand_since(inbox: Inbox, since: datetime | None) -> None:
    """Demand ``--since`` for the first backfill of an inbox.

    Raises:
        ConfigurationError: it is missing. All that the bank lists may have been handled by another system, or lost
            together with an earlier inbox: only a person knows.
    """
    if since is None and await inbox.watermark() is None:
        raise ConfigurationError(
            "the bank's events were never fetched into this inbox: say with --since from when on they are this inbox's "
            f"to handle; the bank lists {RETENTION.days} days"
        )
