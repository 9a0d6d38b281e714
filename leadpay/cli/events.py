"""``leadpay events``: list and show the bank's events."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from cyclopts import App, Parameter

from leadpay.cli import exit_codes
from leadpay.cli.listing import collect, filters, page_size, unreadable_row
from leadpay.cli.options import AsJson, WebhookSecret, client_from_env, signing_secret
from leadpay.cli.output import format_time, print_fields, print_json, print_line, print_model, print_table
from leadpay.client.pagination import UnreadableObject
from leadpay.converter import encode, unstructure
from leadpay.models import AccountNumberEvent, Event
from leadpay.sandbox import post_webhook
from leadpay.webhooks.signature import sign

events = App(name="events", help="List the bank's events of the last 90 days, show one, or send one again.")

_COLUMNS: Final = ("CREATED", "ID", "TYPE", "OBJECT")


@events.command(name="list")
async def list_events(
    *,
    types: Annotated[Sequence[str], Parameter(name="--type", negative="")] = (),
    object_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 20,
    as_json: AsJson = False,
) -> None:
    """List events, newest first.

    Args:
        types: Only events of this type, such as instant_payment.posted; can be repeated.
        object_id: Only events about this object.
        since: Only events created at or after this time, such as 2026-01-31T12:00:00. Local time without an offset.
        until: Only events created before this time.
        limit: The maximum number of events; 0 for all.
        as_json: Print one JSON object per line, as the bank sends it, with names and account numbers.
    """
    chosen = filters(types=list(types) or None, object_id=object_id, since=since, until=until)
    async with client_from_env() as lead:
        found = await collect(lead.events.list(limit=page_size(limit), **chosen), limit, as_json=as_json)
    if not as_json:
        print_table(_COLUMNS, map(event_row, found))


@events.command(name="show")
async def show_event(event_id: str, *, as_json: AsJson = False) -> None:
    """Show one event.

    Args:
        event_id: The event's ID.
        as_json: Print it as the bank sends it, with names and account numbers.
    """
    async with client_from_env() as lead:
        event = await lead.events.retrieve(event_id)
    if as_json:
        print_model(event)
    else:
        print_fields(unstructure(event))


@events.command(name="resend")
async def resend_event(
    event_id: str,
    *,
    to: Annotated[str, Parameter(env_var="LEAD_WEBHOOK_URL")],
    secret: WebhookSecret = None,
    as_json: AsJson = False,
) -> int:
    """Send one event again, as a signed webhook (exit code 1 if it is refused).

    Its payment is the newest version. The signature is made here and now, so this also works if the bank gave up.

    Args:
        event_id: The event's ID.
        to: The URL to send it to.
        secret: The signing secret; of several, the first.
        as_json: Print one JSON object.
    """
    key = signing_secret(secret)
    async with client_from_env() as lead:
        event = await lead.events.retrieve(event_id)
    body = encode(unstructure(event))
    status = await post_webhook(to, body, sign(body, key, int(time.time() * 1000)))
    if as_json:
        print_json({"id": event.id, "event": str(event.type), "status": status})
    else:
        print_line(f"{event.type} {event.id} -> {status or 'no response'}")
    return exit_codes.for_delivery(status)


def event_row(event: Event | UnreadableObject) -> tuple[str, ...]:
    """Build a table row."""
    if isinstance(event, UnreadableObject):
        return unreadable_row(event, _COLUMNS, "TYPE")
    object_id = event.account_number.id if isinstance(event, AccountNumberEvent) else event.payment_id
    if object_id is None:
        object_id = str(event.object.get("id", "")) if isinstance(event.object, dict) else ""
    return (format_time(event.created_at), event.id, str(event.type), object_id)
