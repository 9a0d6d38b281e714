"""What is said to SQLite: all statements of the inbox, and what they are said for.

Every function takes a connection that is in a transaction.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from leadpay.inbox import Claim, EventState, HandlerRun, HandlerRunState, Lease, LeaseLostError, Stats, StoredEvent
from leadpay.inbox.pages import PAGE
from leadpay.models import Event, InstantPaymentEvent

# The statements, in the order of an event's life. Tables are described in schema/sqlite.

ADD: Final = """
INSERT INTO leadpay_events (id, subject, type, created_at, version, received_at, body, state)
VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting') ON CONFLICT (id) DO NOTHING"""

# What waits for a later attempt is tried as soon as its event comes again.
HURRY: Final = "UPDATE leadpay_handlings SET due_at = ? WHERE event_id = ? AND state = 'waiting' AND due_at > ?"

# While it is leased, due_at is when the lease ends, and the count of wakes tells its holder.
WAKE: Final = """
INSERT INTO leadpay_subjects (subject, due_at, wakes) VALUES (?, ?, 1) ON CONFLICT (subject) DO UPDATE SET
    wakes = wakes + 1,
    due_at = CASE WHEN leased THEN due_at ELSE min(coalesce(due_at, excluded.due_at), excluded.due_at) END"""

DUE: Final = """
SELECT subject, fence + 1, wakes, lost + leased FROM leadpay_subjects WHERE due_at <= ? ORDER BY due_at LIMIT ?"""

LEASE: Final = "UPDATE leadpay_subjects SET fence = ?, lost = ?, due_at = ?, leased = 1 WHERE subject = ?"

NOTHING_DUE: Final = "UPDATE leadpay_subjects SET due_at = NULL, leased = 0, lost = 0 WHERE subject = ?"

COLUMNS: Final = "id, subject, type, created_at, version, received_at, body, state, reason"

WAITING: Final = f"""
SELECT {COLUMNS} FROM leadpay_events WHERE subject = ? AND state = 'waiting' ORDER BY created_at, number"""  # noqa: S608 - a constant

HANDLINGS: Final = "SELECT handler, state, attempts, due_at, error FROM leadpay_handlings WHERE event_id = ?"

NEWEST: Final = """
SELECT handler, max(version) FROM leadpay_events JOIN leadpay_handlings ON event_id = id
WHERE subject = ? AND version IS NOT NULL AND leadpay_handlings.state = 'done' GROUP BY handler"""

# Only the newest fence may; anything but a mere prolonging is a word, after which no lease counts as lost.
PROLONG: Final = """
UPDATE leadpay_subjects SET due_at = ?, lost = CASE WHEN ? THEN 0 ELSE lost END
WHERE subject = ? AND fence = ? AND leased RETURNING wakes"""

SETTLE: Final = """
INSERT INTO leadpay_handlings (event_id, handler, state, attempts, due_at, error) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error
WHERE leadpay_handlings.state = 'waiting'"""

# Where the subject was woken since the claim, only if no handler waits: somebody may have replayed what this worker is
# through with.
CLOSE: Final = """
UPDATE leadpay_events SET state = ? WHERE id = ? AND state = 'waiting'
    AND (? OR NOT EXISTS (SELECT 1 FROM leadpay_handlings AS other WHERE event_id = id AND other.state = 'waiting'))"""

RELEASE: Final = """
UPDATE leadpay_subjects SET leased = 0, lost = 0, due_at = CASE WHEN wakes > ? THEN 0 ELSE ? END
WHERE subject = ? AND fence = ? AND leased RETURNING due_at"""

KNOWN: Final = "SELECT subject, state, body IS NOT NULL FROM leadpay_events WHERE id = ?"

REVIVE: Final = """
UPDATE leadpay_handlings SET state = 'waiting', attempts = 0, due_at = ? WHERE event_id = ? AND state = 'dead'"""

FORGET: Final = "DELETE FROM leadpay_handlings WHERE event_id = ? AND handler = ?"

REOPEN: Final = "UPDATE leadpay_events SET state = 'waiting', reason = NULL WHERE id = ?"

DISCARD: Final = "UPDATE leadpay_events SET state = 'discarded', reason = ? WHERE id = ?"

# The index holds only what has a body still, which the planner doesn't see.
PURGE: Final = f"""
UPDATE leadpay_events SET body = NULL WHERE number IN (
    SELECT number FROM leadpay_events INDEXED BY leadpay_events_kept
    WHERE body IS NOT NULL AND state IN ('done', 'discarded') AND received_at < ? LIMIT {PAGE})"""  # noqa: S608 - a constant

COUNT: Final = "SELECT state, type, count(*) FROM leadpay_events GROUP BY state, type"

OLDEST: Final = "SELECT received_at FROM leadpay_events WHERE state = 'waiting' ORDER BY number LIMIT 1"

WATERMARK: Final = "SELECT time FROM leadpay_watermark"

SET_WATERMARK: Final = """
INSERT INTO leadpay_watermark VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET time = max(time, excluded.time)"""


# What they are said for.


def add(connection: Any, *, event: Event, body: bytes, received_at: datetime) -> bool:
    """Keep an event, or wake it up."""
    now = received_at.timestamp()
    subject = event.payment_id or event.id
    version = _micro(event.payment.updated_at) if isinstance(event, InstantPaymentEvent) else None
    row = (event.id, subject, str(event.type), _micro(event.created_at), version, _micro(received_at), body)
    if connection.execute(ADD, row).rowcount:
        connection.execute(WAKE, (subject, now))
        return True
    # Where it is told twice with different objects, it is still about the first.
    subject, state, _ = connection.execute(KNOWN, (event.id,)).fetchone()
    if state == "waiting":
        connection.execute(HURRY, (now, event.id, now))
        connection.execute(WAKE, (subject, now))
    return False


def claim(connection: Any, *, limit: int, now: float, seconds: float) -> list[Claim]:
    """Lease what is due."""
    claims = []
    for subject, fence, wakes, lost in connection.execute(DUE, (now, limit)).fetchall():
        deliveries = [_delivery(connection, row) for row in connection.execute(WAITING, (subject,)).fetchall()]
        if not deliveries:
            connection.execute(NOTHING_DUE, (subject,))
            continue
        until = now + seconds
        connection.execute(LEASE, (fence, lost, until, subject))
        newest = {handler: _time(version) for handler, version in connection.execute(NEWEST, (subject,))}
        lease = Lease(subject=subject, fence=fence, until=until, seconds=seconds, wakes=wakes)
        claims.append(Claim(lease=lease, deliveries=deliveries, newest=newest, lost=lost))
    return claims


def settle(
    connection: Any,
    *,
    lease: Lease,
    event_id: str,
    handling: HandlerRun | None,
    closes: EventState | None,
    now: float,
) -> bool:
    """Record how a handler ended, if the lease still holds, and say whether the subject was woken meanwhile."""
    is_word = handling is not None or closes is not None
    held = connection.execute(PROLONG, (now + lease.seconds, is_word, lease.subject, lease.fence)).fetchone()
    if held is None:
        raise LeaseLostError(f"{lease.subject} is worked on by somebody else")
    was_woken = bool(held[0] > lease.wakes)
    if handling is not None:
        row = (handling.handler, handling.state, handling.attempts, handling.due_at, handling.error)
        connection.execute(SETTLE, (event_id, *row))
    if closes is not None:
        connection.execute(CLOSE, (closes, event_id, not was_woken))
    return was_woken


def release(connection: Any, *, lease: Lease, due_at: float | None) -> bool:
    """Let a subject go, and say whether there is something to do at once."""
    row = connection.execute(RELEASE, (lease.wakes, due_at, lease.subject, lease.fence)).fetchone()
    return row is not None and row[0] == 0


def stats(connection: Any) -> Stats:
    """Count."""
    by_state: dict[str, int] = {}
    by_type: dict[str, dict[str, int]] = {}
    for state, event_type, count in connection.execute(COUNT):
        by_state[state] = by_state.get(state, 0) + count
        by_type.setdefault(event_type, {})[state] = count
    oldest = connection.execute(OLDEST).fetchone()
    return Stats(by_state=by_state, by_type=by_type, oldest_waiting=None if oldest is None else _time(oldest[0]))


def page(connection: Any, *, wanted: Mapping[str, Any], before: int, limit: int) -> list[tuple[int, StoredEvent]]:
    """Read the newest events before a number, with that number; ``wanted`` maps columns to values."""
    given = {column: value for column, value in wanted.items() if value is not None}
    conditions = " AND ".join(["number < ?", *(f"{column} = ?" for column in given)])
    sql = f"SELECT number, {COLUMNS} FROM leadpay_events WHERE {conditions} ORDER BY number DESC LIMIT ?"  # noqa: S608 - our own columns
    rows = connection.execute(sql, (before, *given.values(), limit)).fetchall()
    return [(number, _delivery(connection, row)) for number, *row in rows]


def replay(connection: Any, *, event_id: str, handler: str | None, now: float) -> bool:
    """Bring an event back, if there is something to bring back."""
    subject, state, has_body = connection.execute(KNOWN, (event_id,)).fetchone() or (None, None, False)
    if not has_body:
        return False
    if handler is not None:
        connection.execute(FORGET, (event_id, handler))
        connection.execute(SETTLE, (event_id, handler, "waiting", 0, now, None))
    elif not connection.execute(REVIVE, (now, event_id)).rowcount and state != "discarded":
        return False
    connection.execute(REOPEN, (event_id,))
    connection.execute(WAKE, (subject, now))
    return True


def discard(connection: Any, *, event_id: str, reason: str, now: float) -> bool:
    """Throw an event away; what waited for it goes on."""
    subject, state, _ = connection.execute(KNOWN, (event_id,)).fetchone() or (None, None, False)
    if state not in ("waiting", "dead"):
        return False
    connection.execute(DISCARD, (reason, event_id))
    connection.execute(WAKE, (subject, now))
    return True


def purge(connection: Any, *, before: datetime) -> int:
    """Empty one page of bodies, and count them."""
    return int(connection.execute(PURGE, (_micro(before),)).rowcount)


def watermark(connection: Any) -> datetime | None:
    """Read the watermark."""
    row = connection.execute(WATERMARK).fetchone()
    return None if row is None else _time(row[0])


def set_watermark(connection: Any, *, time: datetime) -> None:
    """Move the watermark, forward only."""
    connection.execute(SET_WATERMARK, (_micro(time),))


def _delivery(connection: Any, row: Any) -> StoredEvent:
    event_id, subject, event_type, created_at, version, received_at, body, state, reason = row
    return StoredEvent(
        event_id=event_id,
        subject=subject,
        type=event_type,
        created_at=_time(created_at),
        version=None if version is None else _time(version),
        received_at=_time(received_at),
        body=body,
        state=state,
        handlings={one[0]: _handling(*one) for one in connection.execute(HANDLINGS, (event_id,))},
        reason=reason,
    )


def _handling(
    handler: str, state: HandlerRunState, attempts: int, due_at: float | None, error: str | None
) -> HandlerRun:
    return HandlerRun(handler=handler, state=state, attempts=attempts, due_at=due_at, error=error)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _micro(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(micro: int) -> datetime:
    return _EPOCH + micro * _MICROSECOND
