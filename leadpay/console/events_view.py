"""Stored events and instructions, as the pages show them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from leadpay.console.render import from_seconds, path_of, words
from leadpay.console.timeline import Entry, Part
from leadpay.converter import decode
from leadpay.errors import MalformedEventError
from leadpay.inbox import StoredEvent
from leadpay.masking import Field, fields
from leadpay.models import InstantPayment, InstantPaymentEvent
from leadpay.outbox import Instruction, LogEntry
from leadpay.webhooks.event import parse


def payment_of(event: StoredEvent) -> InstantPayment | None:
    """The payment in an event's body; None if it is about something else, was purged, or cannot be read."""
    if event.body is None:
        return None
    try:
        parsed = parse(event.body)
    except MalformedEventError:
        return None
    return parsed.payment if isinstance(parsed, InstantPaymentEvent) else None


def fields_of(event: StoredEvent) -> list[Field] | None:
    """The fields of an event's body; None if it is not JSON. Everything of what is no object is masked."""
    try:
        data: Any = decode(event.body or b"{}")
    except ValueError:
        return None
    return [field for field in fields(data) if field.text]


@attrs.frozen(kw_only=True)
class Run:
    """A handler run, with its error in two parts."""

    handler: str
    state: str
    attempts: int
    due_at: float | None
    headline: str
    """The type of the error, or the reason of a discard: the last line."""
    traceback: str


def runs_of(event: StoredEvent) -> list[Run]:
    """The handler runs that were kept."""
    found = []
    for run in event.handler_runs.values():
        lines = (run.error or "").strip().splitlines()
        found.append(
            Run(
                handler=run.handler,
                state=run.state,
                attempts=run.attempts,
                due_at=run.due_at,
                headline=lines[-1].strip() if lines else "",
                traceback="\n".join(lines),
            )
        )
    return found


def event_entries(events: Iterable[StoredEvent], root: str) -> list[Entry]:
    """What the stored events of a payment tell, each with its handler runs."""
    return [
        Entry(
            key=event.event_id,
            at=event.received_at,
            title=f"Event: {words(event.type)}",
            state=event.state,
            note=event.reason or "",
            url=root + path_of("events", event.event_id),
            parts=[
                Part(
                    title=run.handler,
                    state=run.state,
                    note=_attempts(run),
                    at=from_seconds(run.due_at),
                )
                for run in runs_of(event)
            ],
        )
        for event in events
    ]


def _attempts(run: Run) -> str:
    count = f"{run.attempts} attempt{'' if run.attempts == 1 else 's'}"
    return f"{count}: {run.headline}" if run.headline else count


LOG_TITLES: Final[Mapping[str, str]] = {
    "queued": "Queued",
    "held": "Held",
    "approved": "Approved",
    "first_approval": "First approval",
    "withdrawn": "Withdrawn",
    "attempt": "Attempt begins",
    "accepted": "Accepted by the bank",
    "refused": "Refused by the bank",
    "in_doubt": "Outcome unknown",
    "not_sent": "Not sent",
    "seen": "Seen at the bank",
    "resolved": "Resolved",
    "erased": "Erased",
}
"""What each action of an instruction's log means."""


def log_entries(instruction: Instruction, log: Sequence[LogEntry], root: str) -> list[Entry]:
    """What an instruction's log tells."""
    url = root + path_of("instructions", instruction.reference)
    return [
        Entry(
            key=f"log-{instruction.number}-{number}",
            at=entry.at,
            title=LOG_TITLES.get(entry.action, words(entry.action)),
            state=entry.action if entry.action in {"held", "accepted", "refused", "in_doubt", "resolved"} else "",
            note=" · ".join(part for part in (f"by {entry.by}" if entry.by else "", entry.detail or "") if part),
            url=url if entry.action == "queued" else "",
        )
        for number, entry in enumerate(log)
    ]
