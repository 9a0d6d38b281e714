"""``leadpay inbox``: look at stored events, and replay or discard them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from leadpay.cli.exit_codes import NEGATIVE, OK
from leadpay.cli.options import AsJson, InboxUrl, require_inbox_url
from leadpay.cli.output import format_time, print_fields, print_json, print_line, print_table
from leadpay.converter import decode
from leadpay.errors import ConfigurationError
from leadpay.inbox import EventState, Inbox, StoredEvent, open_inbox
from leadpay.inbox.store import DEFAULT

inbox = App(name="inbox", help="Look at stored events, and replay or discard them.")


@inbox.command
async def stats(*, consumer: str = DEFAULT, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """Count events by state and type, and show how long the oldest waiting event has waited.

    Args:
        consumer: The consumer whose progress is counted.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object.
    """
    async with opened(inbox_url) as store:
        found = await store.stats(consumer=consumer)
    oldest = found.oldest_waiting
    age = None if oldest is None else max(0.0, time() - oldest.timestamp())
    if as_json:
        print_json({"by_state": found.by_state, "by_type": found.by_type, "oldest_waiting_seconds": age})
        return
    states: tuple[EventState, ...] = ("waiting", "dead", "unhandled", "unreadable", "done", "discarded")
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
    state: EventState | None = None,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    handler: str | None = None,
    consumer: str = DEFAULT,
    inbox_url: InboxUrl = None,
    as_json: AsJson = False,
) -> int:
    """Run the failed handlers of events again, or the handler that --handler names.

    Without IDs, all events that the filters choose are replayed. With --handler, these are the events that came before
    the handler was registered and that it has not handled.

    Args:
        event_ids: The IDs of the events.
        dead: All dead letters.
        state: All events in this state, such as unhandled or unreadable.
        event_type: All events of this type, such as instant_payment.posted.
        handler: Only this handler, by its name, also if it succeeded before.
        consumer: The consumer whose handlers run.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object per line.
    """
    exit_code = OK
    async with opened(inbox_url) as store:
        if not event_ids and not dead:
            if state is None and event_type is None and handler is None:
                raise ConfigurationError("name events, or choose them by --dead, --state, --type or --handler")
            count = await store.replay_all(
                state=state, event_type=event_type, handler=handler, now=time(), consumer=consumer
            )
            if as_json:
                print_json({"replayed": count})
            else:
                print_line(f"{count} events will be handled again")
            return OK if count else NEGATIVE
        dead_ids = [one.event_id async for one in store.events(state="dead", consumer=consumer)] if dead else []
        for event_id in (*event_ids, *dead_ids):
            replayed = await store.replay(event_id, handler=handler, now=time(), consumer=consumer)
            exit_code = exit_code if replayed else NEGATIVE
            if as_json:
                print_json({"id": event_id, "replayed": replayed})
            else:
                print_line(f"{event_id}: {'will be handled again' if replayed else 'there is nothing to replay'}")
    return exit_code


@inbox.command
async def consumers(*, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """List the consumers, with what waits for each, and their handlers.

    Args:
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: Print one JSON object per line.
    """
    rows = []
    async with opened(inbox_url) as store:
        for one in await store.consumers():
            if as_json:
                print_json({"name": one.name, "by_state": one.by_state, "handlers": sorted(one.handlers)})
                continue
            counts = (one.by_state.get("waiting", 0), one.by_state.get("dead", 0), one.by_state.get("unhandled", 0))
            rows.append((one.name, *map(str, counts), ", ".join(sorted(one.handlers))))
    if not as_json:
        print_table(("CONSUMER", "WAITING", "DEAD", "UNHANDLED", "HANDLERS"), rows)


@inbox.command
async def forget(handler: str, *, consumer: str = DEFAULT, inbox_url: InboxUrl = None) -> int:
    """Forget a handler that was removed from the code for good, so that no event waits for it.

    Args:
        handler: The handler's name.
        consumer: The consumer that had it.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
    """
    async with opened(inbox_url) as store:
        forgotten = await store.forget_handler(handler, consumer=consumer)
    print_line(f"{handler}: {'forgotten' if forgotten else 'is not known'}")
    return OK if forgotten else NEGATIVE


@inbox.command
async def migrate(
    *, only_print: Annotated[bool, Parameter(name="--print", negative=())] = False, inbox_url: InboxUrl = None
) -> None:
    """Make the inbox's schema, or bring it up to date. Receivers and workers do the same as they start.

    Args:
        only_print: Print the SQL, and change nothing.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
    """
    store = open_inbox(require_inbox_url(inbox_url))
    missing = await store.missing_migrations()
    if only_print:
        for sql in missing:
            print_line(sql.strip())
        return
    async with store:
        print_line(f"{len(missing)} schema files applied")


@inbox.command
async def purge(*, days: float, inbox_url: InboxUrl = None) -> None:
    """Delete the bodies of done and discarded events, and give the disk space back. IDs, types and times stay.

    Args:
        days: Only of events that were received more than this number of days ago.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
    """
    async with opened(inbox_url) as store:
        count = await store.purge(before=datetime.now(UTC) - timedelta(days=days))
    print_line(f"the bodies of {count} events were deleted")


@inbox.command
async def erase(payment_id: str, *, inbox_url: InboxUrl = None) -> int:
    """Delete the bodies of all events of one payment, whatever their state; what waits is discarded.

    Args:
        payment_id: The payment's ID.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
    """
    async with opened(inbox_url) as store:
        count = await store.erase(payment_id)
    print_line(f"the bodies of {count} events were deleted")
    return OK if count else NEGATIVE


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
