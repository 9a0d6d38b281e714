"""SQLite: all statements of the inbox, and the functions that execute them.

Every function takes a connection that is in a transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from leadpay.inbox.database import PAGE
from leadpay.inbox.store import Claim, EventState, HandlerRun, HandlerRunState, RunFinishedError, Stats, StoredEvent
from leadpay.models import Event, InstantPaymentEvent
from leadpay.storage import Lease, LeaseLostError
from leadpay.webhooks.secrets import SecretUse

if TYPE_CHECKING:
    import sqlite3

# The statements, in the order of an event's life. Tables are described in schema/sqlite.

ADD: Final = """
INSERT INTO leadpay_events (id, ordering_key, type, created_at, version, received_at, body, state)
VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting') ON CONFLICT (id) DO NOTHING"""

# A waiting handler run is due as soon as its event comes again.
MAKE_DUE: Final = "UPDATE leadpay_handler_runs SET due_at = ? WHERE event_id = ? AND state = 'waiting' AND due_at > ?"

# While it is leased, due_at is when the lease ends, and the revision tells its holder.
BUMP: Final = """
INSERT INTO leadpay_ordering_keys (ordering_key, due_at, revision) VALUES (?, ?, 1)
ON CONFLICT (ordering_key) DO UPDATE SET
    revision = revision + 1,
    due_at = CASE WHEN leased THEN due_at ELSE min(coalesce(due_at, excluded.due_at), excluded.due_at) END"""

DUE: Final = """
SELECT ordering_key, fencing_token + 1, revision, abandoned + leased FROM leadpay_ordering_keys
WHERE due_at <= ? ORDER BY due_at LIMIT ?"""

LEASE: Final = (
    "UPDATE leadpay_ordering_keys SET fencing_token = ?, abandoned = ?, due_at = ?, leased = 1 WHERE ordering_key = ?"
)

NOTHING_DUE: Final = "UPDATE leadpay_ordering_keys SET due_at = NULL, leased = 0, abandoned = 0 WHERE ordering_key = ?"

COLUMNS: Final = "id, ordering_key, type, created_at, version, received_at, body, state, reason"

WAITING: Final = f"""
SELECT {COLUMNS} FROM leadpay_events WHERE ordering_key = ? AND state = 'waiting' ORDER BY created_at, number"""  # noqa: S608 - a constant

HANDLER_RUNS: Final = "SELECT handler, state, attempts, due_at, error FROM leadpay_handler_runs WHERE event_id = ?"

LATEST_VERSIONS: Final = """
SELECT handler, max(version) FROM leadpay_events JOIN leadpay_handler_runs ON event_id = id
WHERE ordering_key = ? AND version IS NOT NULL AND leadpay_handler_runs.state = 'done' GROUP BY handler"""

# Only the current fencing token may write. Any write except a heartbeat resets the count of abandoned leases.
PROLONG: Final = """
UPDATE leadpay_ordering_keys SET due_at = ?, abandoned = CASE WHEN ? THEN 0 ELSE abandoned END
WHERE ordering_key = ? AND fencing_token = ? AND leased RETURNING revision"""

RECORD_RUN: Final = """
INSERT INTO leadpay_handler_runs (event_id, handler, state, attempts, due_at, error) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error
WHERE leadpay_handler_runs.state = 'waiting'"""

# If new work arrived for this key since the claim, an event with a pending handler stays open: it may have been
# replayed.
CLOSE: Final = """
UPDATE leadpay_events SET state = ? WHERE id = ? AND state = 'waiting' AND (
    ? OR NOT EXISTS (SELECT 1 FROM leadpay_handler_runs AS other WHERE event_id = id AND other.state = 'waiting'))"""

RELEASE: Final = """
UPDATE leadpay_ordering_keys SET leased = 0, abandoned = ?, due_at = CASE WHEN revision > ? THEN 0 ELSE ? END
WHERE ordering_key = ? AND fencing_token = ? AND leased RETURNING due_at"""

KNOWN: Final = "SELECT ordering_key, state, body IS NOT NULL FROM leadpay_events WHERE id = ?"

REVIVE: Final = """
UPDATE leadpay_handler_runs SET state = 'waiting', attempts = 0, due_at = ? WHERE event_id = ? AND state = 'dead'"""

DELETE_RUN: Final = "DELETE FROM leadpay_handler_runs WHERE event_id = ? AND handler = ?"

REOPEN: Final = "UPDATE leadpay_events SET state = 'waiting', reason = NULL WHERE id = ?"

DISCARD: Final = "UPDATE leadpay_events SET state = 'discarded', reason = ? WHERE id = ?"

# The index holds only rows that still have a body, which the planner doesn't see.
PURGE: Final = f"""
UPDATE leadpay_events SET body = NULL WHERE number IN (
    SELECT number FROM leadpay_events INDEXED BY leadpay_events_kept
    WHERE body IS NOT NULL AND state IN ('done', 'discarded') AND received_at < ? LIMIT {PAGE})"""  # noqa: S608 - a constant

COUNT: Final = "SELECT state, type, count(*) FROM leadpay_events GROUP BY state, type"

OLDEST: Final = "SELECT received_at FROM leadpay_events WHERE state = 'waiting' ORDER BY number LIMIT 1"

WATERMARK: Final = "SELECT time FROM leadpay_watermark"

SET_WATERMARK: Final = """
INSERT INTO leadpay_watermark VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET time = max(time, excluded.time)"""

RECORD_USE: Final = """
INSERT INTO leadpay_secrets (fingerprint, first_seen_at, last_verified_at, verified) VALUES (?, ?, ?, ?)
ON CONFLICT (fingerprint) DO UPDATE SET
    last_verified_at = nullif(max(coalesce(last_verified_at, -1), coalesce(excluded.last_verified_at, -1)), -1),
    verified = verified + excluded.verified"""

USES: Final = "SELECT fingerprint, first_seen_at, last_verified_at, verified FROM leadpay_secrets"


# The functions that execute them.


def add(connection: "sqlite3.Connection", *, event: Event, body: bytes, received_at: datetime) -> bool:
    """Insert an event, or make a known one due."""
    now = received_at.timestamp()
    ordering_key = event.payment_id or event.id
    version = _micro(event.payment.updated_at) if isinstance(event, InstantPaymentEvent) else None
    row = (event.id, ordering_key, str(event.type), _micro(event.created_at), version, _micro(received_at), body)
    if connection.execute(ADD, row).rowcount:
        connection.execute(BUMP, (ordering_key, now))
        return True
    # A second copy with a different object still belongs to the first one's key.
    ordering_key, state, _ = connection.execute(KNOWN, (event.id,)).fetchone()
    if state == "waiting":
        connection.execute(MAKE_DUE, (now, event.id, now))
        connection.execute(BUMP, (ordering_key, now))
    return False


def claim(connection: "sqlite3.Connection", *, limit: int, now: float, seconds: float) -> list[Claim]:
    """Lease keys that are due."""
    claims = []
    for ordering_key, fencing_token, revision, abandoned in connection.execute(DUE, (now, limit)).fetchall():
        events = [_event(connection, row) for row in connection.execute(WAITING, (ordering_key,)).fetchall()]
        if not events:
            connection.execute(NOTHING_DUE, (ordering_key,))
            continue
        until = now + seconds
        connection.execute(LEASE, (fencing_token, abandoned, until, ordering_key))
        latest_versions = {
            handler: _time(version) for handler, version in connection.execute(LATEST_VERSIONS, (ordering_key,))
        }
        lease = Lease(
            ordering_key=ordering_key, fencing_token=fencing_token, until=until, seconds=seconds, revision=revision
        )
        claims.append(Claim(lease=lease, events=events, latest_versions=latest_versions, abandoned=abandoned))
    return claims


def record_result(
    connection: "sqlite3.Connection",
    *,
    lease: Lease,
    event_id: str,
    run: HandlerRun | None,
    closes: EventState | None,
    now: float,
) -> bool:
    """Record how a handler ended, if the lease still holds, and say whether new work arrived."""
    is_result = run is not None or closes is not None
    held = connection.execute(
        PROLONG, (now + lease.seconds, is_result, lease.ordering_key, lease.fencing_token)
    ).fetchone()
    if held is None:
        raise LeaseLostError(f"{lease.ordering_key} is worked on by another worker")
    has_new_work = bool(held[0] > lease.revision)
    if run is not None:
        row = (run.handler, run.state, run.attempts, run.due_at, run.error)
        if connection.execute(RECORD_RUN, (event_id, *row)).rowcount != 1:
            raise RunFinishedError(f"{event_id} was finished by another worker")
    if closes is not None:
        closed = connection.execute(CLOSE, (closes, event_id, not has_new_work)).rowcount
        if closed != 1 and not has_new_work:
            raise RunFinishedError(f"{event_id} was finished by another worker")
    return has_new_work


def release(
    connection: "sqlite3.Connection",
    *,
    lease: Lease,
    due_at: float | None,
    now: float,  # noqa: ARG001 - the machine has one clock
    abandoned: int,
) -> bool:
    """Give a key back, and say whether it is due at once."""
    given = (abandoned, lease.revision, due_at, lease.ordering_key, lease.fencing_token)
    row = connection.execute(RELEASE, given).fetchone()
    return row is not None and row[0] == 0


def stats(connection: "sqlite3.Connection") -> Stats:
    """Count."""
    by_state: dict[str, int] = {}
    by_type: dict[str, dict[str, int]] = {}
    for state, event_type, count in connection.execute(COUNT):
        by_state[state] = by_state.get(state, 0) + count
        by_type.setdefault(event_type, {})[state] = count
    oldest = connection.execute(OLDEST).fetchone()
    return Stats(by_state=by_state, by_type=by_type, oldest_waiting=None if oldest is None else _time(oldest[0]))


def page(
    connection: "sqlite3.Connection", *, wanted: Mapping[str, Any], before: int, limit: int
) -> list[tuple[int, StoredEvent]]:
    """Read the newest events before a number, with that number; ``wanted`` maps columns to values."""
    given = {column: value for column, value in wanted.items() if value is not None}
    conditions = " AND ".join(["number < ?", *(f"{column} = ?" for column in given)])
    sql = f"SELECT number, {COLUMNS} FROM leadpay_events WHERE {conditions} ORDER BY number DESC LIMIT ?"  # noqa: S608 - our own columns
    rows = connection.execute(sql, (before, *given.values(), limit)).fetchall()
    return [(number, _event(connection, row)) for number, *row in rows]


def replay(connection: "sqlite3.Connection", *, event_id: str, handler: str | None, now: float) -> bool:
    """Bring an event back, if there is something to replay."""
    ordering_key, state, has_body = connection.execute(KNOWN, (event_id,)).fetchone() or (None, None, False)
    if not has_body:
        return False
    if handler is not None:
        connection.execute(DELETE_RUN, (event_id, handler))
        connection.execute(RECORD_RUN, (event_id, handler, "waiting", 0, now, None))
    elif not connection.execute(REVIVE, (now, event_id)).rowcount and state not in ("discarded", "unhandled"):
        return False
    connection.execute(REOPEN, (event_id,))
    connection.execute(BUMP, (ordering_key, now))
    return True


def discard(connection: "sqlite3.Connection", *, event_id: str, reason: str, now: float) -> bool:
    """Take an event out of the way; what waited for it goes on."""
    ordering_key, state, _ = connection.execute(KNOWN, (event_id,)).fetchone() or (None, None, False)
    if state not in ("waiting", "dead", "unhandled"):
        return False
    connection.execute(DISCARD, (reason, event_id))
    connection.execute(BUMP, (ordering_key, now))
    return True


def purge(connection: "sqlite3.Connection", *, before: datetime) -> int:
    """Empty one page of bodies, and count them."""
    return int(connection.execute(PURGE, (_micro(before),)).rowcount)


def watermark(connection: "sqlite3.Connection") -> datetime | None:
    """Read the watermark."""
    row = connection.execute(WATERMARK).fetchone()
    return None if row is None else _time(row[0])


def set_watermark(connection: "sqlite3.Connection", *, time: datetime) -> None:
    """Move the watermark, forwards only."""
    connection.execute(SET_WATERMARK, (_micro(time),))


def record_secrets(connection: "sqlite3.Connection", *, uses: Sequence[SecretUse]) -> None:
    """Add to what is known of secrets."""
    for use in uses:
        last = None if use.last_verified_at is None else _micro(use.last_verified_at)
        connection.execute(RECORD_USE, (use.fingerprint, _micro(use.first_seen_at), last, use.verified))


def secrets(connection: "sqlite3.Connection") -> list[SecretUse]:
    """List what is known of secrets."""
    return [
        SecretUse(
            fingerprint=name,
            first_seen_at=_time(first),
            last_verified_at=None if last is None else _time(last),
            verified=verified,
        )
        for name, first, last, verified in connection.execute(USES)
    ]


def _event(connection: "sqlite3.Connection", row: Any) -> StoredEvent:
    event_id, ordering_key, event_type, created_at, version, received_at, body, state, reason = row
    return StoredEvent(
        event_id=event_id,
        ordering_key=ordering_key,
        type=event_type,
        created_at=_time(created_at),
        version=None if version is None else _time(version),
        received_at=_time(received_at),
        body=body,
        state=state,
        handler_runs={one[0]: _handler_run(*one) for one in connection.execute(HANDLER_RUNS, (event_id,))},
        reason=reason,
    )


def _handler_run(
    handler: str, state: HandlerRunState, attempts: int, due_at: float | None, error: str | None
) -> HandlerRun:
    return HandlerRun(handler=handler, state=state, attempts=attempts, due_at=due_at, error=error)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _micro(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(micro: int) -> datetime:
    return _EPOCH + micro * _MICROSECOND
