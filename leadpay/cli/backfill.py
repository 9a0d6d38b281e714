"""``leadpay backfill``: fetch missed events from the bank's event list."""

from datetime import datetime

import attrs

from leadpay.cli.options import AsJson, InboxUrl, require_inbox_url
from leadpay.cli.output import print_json, print_line, progress
from leadpay.client import LeadClient
from leadpay.inbox import open_inbox
from leadpay.inbox.backfill import backfill as fetch_missed


async def backfill(*, since: datetime | None = None, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """Fetch missed events from the bank's event list and store them in the inbox.

    Args:
        since: Where to begin, in local time without an offset; default: where the last backfill ended.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    # A missing inbox is created: it may have been lost in the outage.
    async with LeadClient.from_env() as lead, open_inbox(require_inbox_url(inbox_url)) as inbox:
        with progress("recovered") as show:
            done = await fetch_missed(
                lead, inbox, since=since and since.astimezone(), progress=lambda step: show(step.recovered)
            )
    if as_json:
        print_json(attrs.asdict(done))
        return
    print_line(f"the bank lists {done.seen} events from {done.start:%Y-%m-%d %H:%M} to {done.end:%Y-%m-%d %H:%M} UTC")
    print_line(f"{done.recovered} of them were missing and are now in the inbox")
    if done.near_limit:
        print_line("WARNING: the bank lists 90 days of events; older events cannot be fetched")
