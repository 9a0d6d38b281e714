"""``leadpay secrets``: which signing secrets verify webhooks, and which are safe to drop."""

import sys
from datetime import UTC, datetime
from typing import Final

import attrs

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.inbox import opened
from leadpay.cli.options import AsJson, InboxUrl, WebhookSecret, split_secrets
from leadpay.cli.output import format_time, print_json, print_line, print_table
from leadpay.webhooks.secrets import SecretStatus, fingerprint, secret_statuses


async def secrets(*, secret: WebhookSecret = None, inbox_url: InboxUrl = None, as_json: AsJson = False) -> int:
    """Show when each signing secret last verified a webhook, and which is safe to drop.

    Secrets are named by fingerprints. The inbox counts for all receivers. Exit code 1 if only older secrets match.

    Args:
        secret: The signing secrets, the newest first, separated by commas; @FILE reads a file, and - standard input.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object per line.
    """
    configured = [fingerprint(one) for one in split_secrets(secret)]
    async with opened(inbox_url) as store:
        found = secret_statuses(configured, await store.secrets(), datetime.now(UTC))
    if as_json:
        for one in found:
            print_json(attrs.asdict(one))
    else:
        print_table(("SECRET", "NUMBER", "VERIFIED", "LAST VERIFIED", "STATE"), map(_row, found))
    only_older = any(one.state == "unproven" for one in found) and any(
        one.verified for one in found if one.state == "needed"
    )
    if only_older:
        print_line("WARNING: only an older secret verifies webhooks; do not drop it", file=sys.stderr)
    return NEGATIVE if only_older else OK


_STATES: Final = {
    "unproven": "has verified nothing yet",
    "needed": "needed: the first has verified nothing since",
    "removed": "no longer configured",
}


def _row(status: SecretStatus) -> tuple[str, ...]:
    state = _STATES.get(status.state, status.state)
    if status.safe_since is not None:
        word = "safe to drop since" if status.state == "safe to drop" else "safe to drop from"
        state = f"{word} {format_time(status.safe_since)}"
    last = "" if status.last_verified_at is None else format_time(status.last_verified_at)
    number = "" if status.position is None else str(status.position)
    return (status.fingerprint, number, str(status.verified), last, state)
