"""``leadpay inbox`` and ``leadpay backfill``: what is kept, and what was missed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from leadpay.cli.look import AsJson, flat
from leadpay.cli.screen import progress, say, say_json, table
from leadpay.cli.statuses import NOT_SO
from leadpay.client import LeadClient
from leadpay.errors import ConfigurationError
from leadpay.inbox import EventState, Inbox, StoredEvent, open_inbox
from leadpay.inbox.backfill import Backfilled
from leadpay.inbox.backfill import backfill as walk
from leadpay.inbox.sqlite import SqliteInbox
from leadpay.wire import decode

InboxUrl = Annotated[str | None, Parameter(name="--inbox", env_var="LEAD_INBOX")]
"""``sqlite:///path`` or ``postgresql://...``; LEAD_INBOX if it is left out."""

inbox = App(name="inbox", help="Look at what an inbox holds, and set right what went wrong.")


@inbox.command
async def stats(*, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """Count events by state and type, and tell how old the oldest waiting one is.

    Args:
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: One object, for programs.
    """
    async with opened(inbox_url) as kept:
        found = await kept.stats()
    oldest = found.oldest_waiting
    age = None if oldest is None else max(0.0, time() - oldest.timestamp())
    if as_json:
        say_json({"by_state": found.by_state, "by_type": found.by_type, "oldest_waiting_seconds": age})
        return
    states: tuple[EventState, ...] = ("waiting", "dead", "done", "discarded")
    rows = [(name, *(str(counts.get(state, 0)) for state in states)) for name, counts in sorted(found.by_type.items())]
    table(
        ("TYPE", *(state.upper() for state in states)),
        [*rows, ("all", *(str(found.by_state.get(state, 0)) for state in states))],
    )
    if age is not None:
        say(f"the oldest waiting event was received {age:.0f} seconds ago")


@inbox.command(name="list")
async def list_kept(
    *,
    state: EventState | None = None,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    limit: int = 20,
    inbox_url: InboxUrl = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest receipt first.

    Args:
        state: waiting, done, dead or discarded.
        event_type: Only of this type, such as instant_payment.posted.
        limit: At most so many; 0 for all.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: One object a line, without bodies.
    """
    rows = []
    async with opened(inbox_url) as kept:
        async for one in kept.events(state=state, event_type=event_type, limit=limit or None):
            if as_json:
                say_json(facts(one))
            else:
                about = "" if one.ordering_key == one.event_id else one.ordering_key
                rows.append((f"{one.received_at:%Y-%m-%d %H:%M:%S}", one.event_id, one.type, one.state, about))
    if not as_json:
        table(("RECEIVED", "ID", "TYPE", "STATE", "ABOUT"), rows)


@inbox.command
async def show(event_id: str, *, inbox_url: InboxUrl = None, as_json: AsJson = False) -> int:
    """Show an event, and how far each handler got with it.

    Args:
        event_id: Its ID.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: One object, with the body, names and account numbers included.
    """
    async with opened(inbox_url) as kept:
        found = await kept.get(event_id)
    if found is None:
        say(f"{event_id}: there is no such event here")
        return NOT_SO
    body = None if found.body is None else _read(found.body)
    if as_json:
        say_json({**facts(found), "body": body})
        return 0
    known = {**facts(found), "handler_runs": None, "body": "(purged)" if body is None else body}
    for path, value in flat({name: value for name, value in known.items() if value is not None}):
        say(f"{path:<42}{value}")
    for handling in found.handler_runs.values():
        say(f"\n{handling.handler}: {handling.state} after {handling.attempts} attempts")
        if handling.error is not None:
            say(handling.error)
    return 0


@inbox.command
async def replay(
    *event_ids: str,
    dead: bool = False,
    handler: str | None = None,
    inbox_url: InboxUrl = None,
    as_json: AsJson = False,
) -> int:
    """Have events handled again; by the handlers that gave up, unless one is named. They keep their time of receipt.

    Args:
        event_ids: Which.
        dead: All dead letters.
        handler: Only this handler, as MODULE:NAME, whatever came of it before.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: One object a line, for programs.
    """
    status = 0
    async with opened(inbox_url) as kept:
        chosen = [*event_ids, *([one.event_id async for one in kept.events(state="dead")] if dead else [])]
        for event_id in chosen:
            replayed = await kept.replay(event_id, handler=handler, now=time())
            status |= not replayed
            if as_json:
                say_json({"id": event_id, "replayed": replayed})
            else:
                say(f"{event_id}: {'will be handled again' if replayed else 'there is nothing to replay'}")
    return status


@inbox.command
async def discard(*event_ids: str, reason: str, inbox_url: InboxUrl = None, as_json: AsJson = False) -> int:
    """Throw waiting or dead events away; they are kept, and can be replayed.

    Args:
        event_ids: Which.
        reason: Why, for whoever looks at them later.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: One object a line, for programs.
    """
    status = 0
    async with opened(inbox_url) as kept:
        for event_id in event_ids:
            discarded = await kept.discard(event_id, reason=reason, now=time())
            status |= not discarded
            if as_json:
                say_json({"id": event_id, "discarded": discarded})
            else:
                say(f"{event_id}: {'discarded' if discarded else 'it is neither waiting nor dead'}")
    return status


async def backfill(*, since: datetime | None = None, inbox_url: InboxUrl = None, as_json: AsJson = False) -> None:
    """Fetch what was missed from the bank's list of events, into the inbox.

    Args:
        since: Where to begin, in local time unless it has an offset; where the last walk ended, if left out.
        inbox_url: The inbox, such as sqlite:///inbox.db or postgresql://host/database.
        as_json: One object, for programs.
    """
    # An inbox that isn't there yet is made: it may have been lost in the outage.
    async with LeadClient.from_env() as lead, open_inbox(_named(inbox_url)) as kept:
        with progress("recovered") as tell:
            done = await walk(lead, kept, since=since and since.astimezone(), progress=lambda far: tell(far.recovered))
    if as_json:
        say_json(_walked(done))
        return
    say(f"from {done.start:%Y-%m-%d %H:%M} to {done.end:%Y-%m-%d %H:%M} UTC the bank lists {done.seen} events")
    say(f"{done.recovered} of them were missing, and are in the inbox now")
    if done.near_limit:
        say("WARNING: the bank lists 90 days of events; what is older cannot be fetched any more")


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[Inbox]:
    """Open an inbox that is there already; looking must not make one.

    Raises:
        ConfigurationError: there is none.
    """
    async with _existing(_named(url)) as found:
        yield found


def facts(delivery: StoredEvent) -> dict[str, Any]:
    """Put what is known of an event into JSON, without its body."""
    return {
        "id": delivery.event_id,
        "type": delivery.type,
        "ordering_key": delivery.ordering_key,
        "state": delivery.state,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
        "received_at": delivery.received_at,
        "handler_runs": [
            {
                "handler": one.handler,
                "state": one.state,
                "attempts": one.attempts,
                "due_at": None if one.due_at is None else datetime.fromtimestamp(one.due_at, UTC),
                "error": one.error,
            }
            for one in delivery.handler_runs.values()
        ],
    }


def _existing(url: str) -> Inbox:
    found = open_inbox(url)
    if isinstance(found, SqliteInbox) and not Path(found.path).is_file():
        raise ConfigurationError(f"{found.path}: there is no such file")
    return found


def _walked(done: Backfilled) -> dict[str, Any]:
    return {
        "start": done.start,
        "end": done.end,
        "seen": done.seen,
        "recovered": done.recovered,
        "near_limit": done.near_limit,
    }


def _named(url: str | None) -> str:
    if not url:
        raise ConfigurationError("name the inbox: --inbox sqlite:///inbox.db, or LEAD_INBOX")
    return url


def _read(body: bytes) -> Any:
    try:
        return decode(body)
    except ValueError:
        return "(cannot be read)"
