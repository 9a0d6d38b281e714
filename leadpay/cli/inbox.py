"""``leadpay inbox``: look at stored events, and replay or discard them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.options import AsJson, InboxUrl, require_inbox_url
from leadpay.cli.output import format_time, print_fields, print_json, print_line, print_table
from leadpay.converter import decode
from leadpay.inbox import EventState, Inbox, StoredEvent, open_inbox

inbox = App(name="inbox", help="Look at stored events, and replay or discard them.")


@inbox.command
async def stats(*, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """Count events by state and type, and show how long the oldest waiting event has waited.

    Args:
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    async with opened(inbox_url) as store:
        found = await store.stats()
    oldest = found.oldest_waiting
    age = None if oldest is None else max(0.0, time() - oldest.timestamp())
    if as_json:
        print_json({"by_state": found.by_state, "by_type": found.by_type, "oldest_waiting_seconds": age})
        return
    states: tuple[EventState, ...] = ("waiting", "dead", "unhandled", "done", "discarded")
    rows = [(name, *(str(counts.get(state, 0)) for state in states)) for name, counts in sorted(found.by_type.items())]
    total = ("all", *(str(found.by_state.get(state, 0)) for state in states))
    print_table(("TYPE", *(state.upper() for state in states)), [*rows, total])
    if age is not None:
        print_line(f"the oldest waiting event was received {age:.0f} seconds ago")


@inbox.command(name="list")
async def list_events(
    *,
    state: EventState | None = None,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    limit: int = 20,
    inbox_url: InboxUrl = None,
    as_json: AsJson = False,
) -> None:
    """List stored events, last received first.

    Args:
        state: Only events in this state.
        event_type: Only events of this type, such as instant_payment.posted.
        limit: The maximum number of events; 0 for all.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object per line, without bodies.
    """
    rows = []
    async with opened(inbox_url) as store:
        async for one in store.events(state=state, event_type=event_type, limit=limit or None):
            if as_json:
                print_json(event_data(one))
            else:
                payment_id = "" if one.ordering_key == one.event_id else one.ordering_key
                rows.append((format_time(one.received_at), one.event_id, one.type, one.state, payment_id))
    if not as_json:
        print_table(("RECEIVED", "ID", "TYPE", "STATE", "PAYMENT"), rows)


@inbox.command
async def show(event_id: str, *, inbox_url: InboxUrl = None, as_json: AsJson = False) -> int:
    """Show a stored event and the state of each handler.

    Args:
        event_id: The event's ID.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object with the body, including names and account numbers.
    """
    async with opened(inbox_url) as store:
        found = await store.get(event_id)
    if found is None:
        print_line(f"{event_id}: not found in this inbox")
        return NEGATIVE
    body = None if found.body is None else _decode(found.body)
    if as_json:
        print_json({**event_data(found), "body": body})
        return OK
    data = {**event_data(found), "handler_runs": None, "body": "(purged)" if body is None else body}
    print_fields({name: value for name, value in data.items() if value is not None})
    for run in found.handler_runs.values():
        print_line(f"\n{run.handler}: {run.state} after {run.attempts} attempts")
        if run.error is not None:
            print_line(run.error)
    return OK


@inbox.command
async def replay(
    *event_ids: str,
    dead: bool = False,
    handler: str | None = None,
    inbox_url: InboxUrl = None,
    as_json: AsJson = False,
) -> int:
    """Run the failed handlers of events again, or the handler that --handler names.

    Args:
        event_ids: The IDs of the events.
        dead: All dead letters.
        handler: Only this handler, as MODULE:NAME, also if it succeeded before.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object per line.
    """
    exit_code = OK
    async with opened(inbox_url) as store:
        chosen = [*event_ids, *([one.event_id async for one in store.events(state="dead")] if dead else [])]
        for event_id in chosen:
            replayed = await store.replay(event_id, handler=handler, now=time())
            exit_code = exit_code if replayed else NEGATIVE
            if as_json:
                print_json({"id": event_id, "replayed": replayed})
            else:
                print_line(f"{event_id}: {'will be handled again' if replayed else 'there is nothing to replay'}")
    return exit_code


@inbox.command
async def discard(*event_ids: str, reason: str, inbox_url: InboxUrl = None, as_json: AsJson = False) -> int:
    """Discard waiting or dead events. They stay in the inbox and can be replayed.

    Args:
        event_ids: The IDs of the events.
        reason: Why they are discarded; stored with the event.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object per line.
    """
    exit_code = OK
    async with opened(inbox_url) as store:
        for event_id in event_ids:
            discarded = await store.discard(event_id, reason=reason, now=time())
            exit_code = exit_code if discarded else NEGATIVE
            if as_json:
                print_json({"id": event_id, "discarded": discarded})
            else:
                print_line(f"{event_id}: {'discarded' if discarded else 'is not waiting, dead or unhandled'}")
    return exit_code


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[Inbox]:
    """Open an existing inbox; a missing one is not created.

    Raises:
        ConfigurationError: it does not exist.
    """
    async with open_inbox(require_inbox_url(url), migrate=False) as store:
        yield store


def event_data(event: StoredEvent) -> dict[str, Any]:
    """Convert a stored event to JSON data, without its body."""
    return {
        "id": event.event_id,
        "type": event.type,
        "ordering_key": event.ordering_key,
        "state": event.state,
        "reason": event.reason,
        "created_at": event.created_at,
        "received_at": event.received_at,
        "handler_runs": [
            {
                "handler": run.handler,
                "state": run.state,
                "attempts": run.attempts,
                "due_at": None if run.due_at is None else datetime.fromtimestamp(run.due_at, UTC),
                "error": run.error,
            }
            for run in event.handler_runs.values()
        ],
    }


def _decode(body: bytes) -> Any:
    try:
        return decode(body)
    except ValueError:
        return "(cannot be read)"
