"""SQLite: all statements of the inbox, and the functions that execute them.

Every function takes a connection that is in a transaction.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from leadpay.inbox.database import PAGE, Completion, NewEvent, Steps, T, add_up
from leadpay.inbox.store import Claim, EventState, HandlerRun, KnownHandler, Note, RunFinishedError, Stats, StoredEvent
from leadpay.storage import Lease, LeaseLostError
from leadpay.webhooks.secrets import SecretUse

if TYPE_CHECKING:
    import sqlite3

# The statements, in the order of an event's life. Tables are described in schema/sqlite.

ADD: Final = """
INSERT INTO leadpay_events (id, ordering_key, type, created_at, version, received_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""

WAIT: Final = "INSERT INTO leadpay_pending (consumer, ordering_key, number) SELECT id, ?, ? FROM leadpay_consumers"

# While it is leased, due_at is when the lease ends, and the revision tells its holder.
_BUMPED: Final = """
ON CONFLICT (consumer, ordering_key) DO UPDATE SET
    revision = revision + 1, needs = NULL,
    due_at = CASE WHEN leased THEN due_at ELSE min(due_at, excluded.due_at) END"""

BUMP: Final = f"""
INSERT INTO leadpay_ordering_keys (consumer, ordering_key, due_at, revision) VALUES (?, ?, ?, 1){_BUMPED}"""  # noqa: S608 - a constant

BUMP_ALL: Final = f"""
INSERT INTO leadpay_ordering_keys (consumer, ordering_key, due_at, revision)
SELECT id, ?, ?, 1 FROM leadpay_consumers WHERE true{_BUMPED}"""  # noqa: S608 - a constant

BUMP_PENDING: Final = f"""
INSERT INTO leadpay_ordering_keys (consumer, ordering_key, due_at, revision)
SELECT consumer, ordering_key, ?, 1 FROM leadpay_pending WHERE ordering_key = ? AND number = ?
    AND consumer IN (SELECT id FROM leadpay_consumers){_BUMPED}"""  # noqa: S608 - a constant

# A waiting handler run is due as soon as its event comes again.
MAKE_DUE: Final = "UPDATE leadpay_handler_runs SET due_at = ? WHERE number = ? AND state = 'waiting' AND due_at > ?"

SET_ALL_ASIDE: Final = """
INSERT INTO leadpay_set_aside (consumer, number, state, reason) SELECT id, ?, ?, ? FROM leadpay_consumers"""

DUE: Final = """
SELECT ordering_key, revision, abandoned + leased FROM leadpay_ordering_keys
WHERE consumer = ? AND due_at <= ? AND (needs IS NULL OR needs IN (SELECT value FROM json_each(?)))
ORDER BY due_at LIMIT ?"""

NEXT_TOKENS: Final = "UPDATE leadpay_fencing_tokens SET last = last + ? RETURNING last"

LEASE: Final = """
UPDATE leadpay_ordering_keys SET fencing_token = ?, abandoned = ?, due_at = ?, leased = 1, needs = NULL
WHERE consumer = ? AND ordering_key = ?"""

EVENT: Final = "e.number, e.id, e.ordering_key, e.type, e.created_at, e.version, e.received_at, e.body"

WAITING: Final = f"""
SELECT {EVENT}, 'waiting', NULL, only_handlers FROM leadpay_pending AS p JOIN leadpay_events AS e USING (number)
WHERE p.consumer = ? AND p.ordering_key = ? ORDER BY e.created_at, e.number"""  # noqa: S608 - a constant

RUNS: Final = """
SELECT handler, state, attempts, due_at, error FROM leadpay_handler_runs WHERE consumer = ? AND number = ?"""

# What is through and newer than something that waits.
NEWER: Final = f"""
SELECT {EVENT}, coalesce(s.state, 'done'), NULL, NULL FROM leadpay_events AS e
LEFT JOIN leadpay_set_aside AS s ON s.consumer = ?1 AND s.number = e.number
WHERE e.ordering_key = ?2 AND e.version > ?3 AND NOT EXISTS (
    SELECT 1 FROM leadpay_pending AS p WHERE p.consumer = ?1 AND p.ordering_key = ?2 AND p.number = e.number)"""  # noqa: S608 - a constant

_KEY: Final = "consumer = :consumer AND ordering_key = :ordering_key"

_HELD: Final = f"{_KEY} AND fencing_token = :fencing_token AND leased"

HELD: Final = f"""
SELECT revision > :revision, (SELECT number FROM leadpay_events WHERE id = :id) FROM leadpay_ordering_keys
WHERE {_HELD}"""  # noqa: S608 - a constant

# Any write except a heartbeat resets the count of abandoned leases.
PROLONG: Final = f"""
UPDATE leadpay_ordering_keys SET due_at = :until, abandoned = CASE WHEN :is_result THEN 0 ELSE abandoned END
WHERE {_HELD} RETURNING revision > :revision, revision"""  # noqa: S608 - a constant

RECORD_RUN: Final = """
INSERT INTO leadpay_handler_runs (consumer, number, handler, state, attempts, due_at, error)
VALUES (:consumer, :number, :handler, :state, :attempts, :due_at, :error)
ON CONFLICT (consumer, number, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error
WHERE leadpay_handler_runs.state = 'waiting' RETURNING 1"""

# If new work arrived for this key since the claim, an event with a waiting handler stays open: it may have been
# replayed.
CLOSE: Final = f"""
DELETE FROM leadpay_pending WHERE {_KEY} AND number = :number AND (NOT :has_new_work OR NOT EXISTS (
    SELECT 1 FROM leadpay_handler_runs WHERE consumer = :consumer AND number = :number AND state = 'waiting'))
RETURNING only_handlers"""  # noqa: S608 - a constant

IS_PENDING: Final = f"SELECT 1 FROM leadpay_pending WHERE {_KEY} AND number = :number"  # noqa: S608 - a constant

SET_ASIDE: Final = """
INSERT INTO leadpay_set_aside (consumer, number, state, reason, only_handlers)
VALUES (:consumer, :number, :state, :reason, :only)
ON CONFLICT (consumer, number) DO UPDATE SET
    state = excluded.state, reason = excluded.reason, only_handlers = excluded.only_handlers RETURNING 1"""

TAKE_BACK: Final = "DELETE FROM leadpay_set_aside WHERE consumer = :consumer AND number = :number RETURNING 1"

# An ordering key without new work and without a waiting event needs no row.
FORGET_KEY: Final = f"""
DELETE FROM leadpay_ordering_keys WHERE {_HELD} AND revision = :revision AND NOT EXISTS (
    SELECT 1 FROM leadpay_pending WHERE {_KEY})
RETURNING 1"""  # noqa: S608 - a constant

RELEASE: Final = f"""
UPDATE leadpay_ordering_keys SET
    leased = 0, abandoned = :abandoned, needs = CASE WHEN revision > :revision THEN NULL ELSE :needs END,
    due_at = CASE WHEN revision > :revision THEN 0 ELSE coalesce(:due_at, 0) END
WHERE {_HELD} RETURNING due_at = 0"""  # noqa: S608 - a constant

KNOWN: Final = """
SELECT e.number, e.ordering_key, e.body IS NOT NULL, p.number IS NOT NULL, coalesce(p.only_handlers, s.only_handlers),
    s.state
FROM leadpay_events AS e
LEFT JOIN leadpay_pending AS p ON p.consumer = ?1 AND p.ordering_key = e.ordering_key AND p.number = e.number
LEFT JOIN leadpay_set_aside AS s ON s.consumer = ?1 AND s.number = e.number
WHERE e.id = ?2"""

REVIVE: Final = """
UPDATE leadpay_handler_runs SET state = 'waiting', attempts = 0, due_at = ?
WHERE consumer = ? AND number = ? AND state = 'dead'"""

BEGIN_AGAIN: Final = """
INSERT INTO leadpay_handler_runs (consumer, number, handler, state, attempts, due_at) VALUES (?, ?, ?, 'waiting', 0, ?)
ON CONFLICT (consumer, number, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = NULL"""

REOPEN: Final = """
INSERT INTO leadpay_pending (consumer, ordering_key, number, only_handlers) VALUES (?, ?, ?, ?)
ON CONFLICT (consumer, ordering_key, number) DO UPDATE SET only_handlers = excluded.only_handlers"""

DISCARD: Final = "DELETE FROM leadpay_pending WHERE consumer = ? AND ordering_key = ? AND number = ?"

UNREADABLE: Final = """
SELECT number, body FROM leadpay_events AS e WHERE id = ? AND EXISTS (
    SELECT 1 FROM leadpay_set_aside AS s WHERE s.number = e.number AND state = 'unreadable')"""

READ: Final = """
UPDATE leadpay_events SET id = ?, ordering_key = ?, type = ?, created_at = ?, version = ? WHERE number = ?"""

DELETE_EVENT: Final = "DELETE FROM leadpay_events WHERE number = ?"

DELETE_RUNS: Final = "DELETE FROM leadpay_handler_runs WHERE number = ?"

NUMBER: Final = "SELECT number FROM leadpay_events WHERE id = ?"

READABLE: Final = "DELETE FROM leadpay_set_aside WHERE number = ? AND state = 'unreadable' RETURNING consumer"

CONSUMERS: Final = "SELECT id, name, is_registered, since FROM leadpay_consumers ORDER BY id"

TAKE_OVER: Final = "UPDATE leadpay_consumers SET name = ?, is_registered = 1 WHERE id = 1"

NEW_CONSUMER: Final = """
INSERT INTO leadpay_consumers (id, name, is_registered, since)
SELECT max(id) + 1, ?, 1, (SELECT coalesce(max(number), 0) FROM leadpay_events) FROM leadpay_consumers RETURNING id"""

HANDLERS: Final = "SELECT name, patterns, since FROM leadpay_handlers WHERE consumer = ? ORDER BY name"

REGISTER: Final = """
INSERT INTO leadpay_handlers (consumer, name, patterns, since)
VALUES (?, ?, ?, coalesce(?, (SELECT coalesce(max(number), 0) FROM leadpay_events)))
ON CONFLICT (consumer, name) DO UPDATE SET patterns = excluded.patterns"""

FORGET_HANDLER: Final = "DELETE FROM leadpay_handlers WHERE consumer = ? AND name = ?"

FREE_KEYS: Final = "UPDATE leadpay_ordering_keys SET needs = NULL WHERE consumer = ? AND needs = ?"

# The index holds only rows that still have a body, which the planner doesn't see.
PURGE: Final = f"""
UPDATE leadpay_events SET body = NULL WHERE number IN (
    SELECT e.number FROM leadpay_events AS e INDEXED BY leadpay_events_kept
    WHERE body IS NOT NULL AND received_at < ? AND NOT EXISTS (
        SELECT 1 FROM leadpay_pending AS p WHERE p.ordering_key = e.ordering_key AND p.number = e.number
            AND p.consumer IN (SELECT id FROM leadpay_consumers)
    ) AND NOT EXISTS (
        SELECT 1 FROM leadpay_set_aside AS s WHERE s.number = e.number AND s.state <> 'discarded'
            AND s.consumer IN (SELECT id FROM leadpay_consumers)
    ) LIMIT {PAGE})"""  # noqa: S608 - a constant

DISCARD_ERASED: Final = """
INSERT INTO leadpay_set_aside (consumer, number, state, reason, only_handlers)
SELECT consumer, number, 'discarded', 'erased', only_handlers FROM leadpay_pending WHERE ordering_key = ?
    AND consumer IN (SELECT id FROM leadpay_consumers)
ON CONFLICT (consumer, number) DO UPDATE SET state = 'discarded', reason = 'erased'"""

DELETE_ERASED: Final = """
DELETE FROM leadpay_pending WHERE ordering_key = ? AND consumer IN (SELECT id FROM leadpay_consumers)"""

ERASE: Final = "UPDATE leadpay_events SET body = NULL WHERE ordering_key = ? AND body IS NOT NULL"

COUNT: Final = """
SELECT 'all', type, count(*) FROM leadpay_events WHERE number > ?2 GROUP BY type
UNION ALL
SELECT CASE WHEN number > ?2 THEN 'waiting' ELSE 'waiting, older' END AS word, type, count(*)
FROM leadpay_pending JOIN leadpay_events USING (number) WHERE consumer = ?1 GROUP BY word, type
UNION ALL
SELECT CASE WHEN s.number > ?2 THEN state ELSE state || ', older' END AS word, type, count(*)
FROM leadpay_set_aside AS s JOIN leadpay_events AS e ON e.number = s.number
LEFT JOIN leadpay_pending AS p ON p.consumer = ?1 AND p.ordering_key = e.ordering_key AND p.number = e.number
WHERE s.consumer = ?1 AND p.number IS NULL GROUP BY word, type"""

OLDEST: Final = """
SELECT received_at FROM leadpay_events WHERE number = (SELECT min(number) FROM leadpay_pending WHERE consumer = ?)"""

# The first rows of each table that changes: enough to notice most changes, however many rows there are.
REVISION: Final = """
SELECT (SELECT max(number) FROM leadpay_events), (SELECT last FROM leadpay_fencing_tokens),
    (SELECT count(*) FROM (SELECT 1 FROM leadpay_pending LIMIT 1000)),
    (SELECT total(revision) FROM (SELECT revision FROM leadpay_ordering_keys LIMIT 1000)),
    (SELECT total(due_at) FROM (SELECT due_at FROM leadpay_ordering_keys LIMIT 1000)),
    (SELECT total(number + length(state)) FROM (SELECT number, state FROM leadpay_set_aside LIMIT 1000))"""

NOTE: Final = "INSERT INTO leadpay_notes (number, at, action, done_by, reason) VALUES (?, ?, ?, ?, ?)"

NOTES: Final = "SELECT at, action, done_by, reason FROM leadpay_notes WHERE number = ? ORDER BY at, rowid"

_STATE: Final = """
CASE WHEN p.number IS NOT NULL THEN 'waiting' WHEN s.number IS NOT NULL THEN s.state
WHEN e.number > :since OR EXISTS (
    SELECT 1 FROM leadpay_handler_runs AS r WHERE r.consumer = :consumer AND r.number = e.number) THEN 'done' END"""

LISTED: Final = f"""
SELECT {EVENT}, {_STATE}, s.reason, p.only_handlers FROM leadpay_events AS e
LEFT JOIN leadpay_pending AS p ON p.consumer = :consumer AND p.ordering_key = e.ordering_key AND p.number = e.number
LEFT JOIN leadpay_set_aside AS s ON s.consumer = :consumer AND s.number = e.number
WHERE {{}} ORDER BY e.number DESC LIMIT :limit"""  # noqa: S608 - a constant

IN_STATE: Final[Mapping[str, str]] = {
    "waiting": "p.number IS NOT NULL",
    "done": f"p.number IS NULL AND s.number IS NULL AND {_STATE} IS NOT NULL",
}
"""Conditions; any other state is one of an event that was set aside."""

ASIDE: Final = "p.number IS NULL AND s.state = :state"

WATERMARK: Final = "SELECT time FROM leadpay_watermark"

SET_WATERMARK: Final = """
INSERT INTO leadpay_watermark VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET time = max(time, excluded.time)"""

# The same value again, which still has to be written to the disk.
PROBE: Final = "UPDATE leadpay_fencing_tokens SET last = last"

RECORD_USE: Final = """
INSERT INTO leadpay_secrets (fingerprint, first_seen_at, last_verified_at, verified) VALUES (?, ?, ?, ?)
ON CONFLICT (fingerprint) DO UPDATE SET
    last_verified_at = nullif(max(coalesce(last_verified_at, -1), coalesce(excluded.last_verified_at, -1)), -1),
    verified = verified + excluded.verified"""

USES: Final = "SELECT fingerprint, first_seen_at, last_verified_at, verified FROM leadpay_secrets"


# The functions that execute them.


def add(connection: "sqlite3.Connection", *, new: NewEvent) -> bool:
    """Insert an event, or make a known one due."""
    now = new.received_at.timestamp()
    added = connection.execute(ADD, _row(new))
    if added.rowcount:
        if new.problems is not None:
            connection.execute(SET_ALL_ASIDE, (added.lastrowid, "unreadable", new.problems))
            return True
        connection.execute(WAIT, (new.ordering_key, added.lastrowid))
        connection.execute(BUMP_ALL, (new.ordering_key, now))
        return True
    if new.problems is None:
        # A second copy with a different object still belongs to the first one's key.
        number, ordering_key, *_ = connection.execute(KNOWN, (0, new.event_id)).fetchone()
        if connection.execute(BUMP_PENDING, (now, ordering_key, number)).rowcount:
            connection.execute(MAKE_DUE, (now, number, now))
    return False


def claim(
    connection: "sqlite3.Connection",
    *,
    consumer: int,
    has: Collection[str] | None,
    limit: int,
    now: float,
    seconds: float,
) -> list[Claim]:
    """Lease keys that are due."""
    due = connection.execute(DUE, (consumer, now, json.dumps(list(has or ())), limit)).fetchall()
    if not due:
        return []
    (token,) = connection.execute(NEXT_TOKENS, (len(due),)).fetchone()
    leases = []
    for ordering_key, revision, abandoned in due:
        lease = Lease(
            ordering_key=ordering_key,
            fencing_token=token,
            until=now + seconds,
            seconds=seconds,
            revision=revision,
            consumer=consumer,
            abandoned=abandoned,
        )
        token -= 1
        connection.execute(LEASE, (lease.fencing_token, abandoned, lease.until, consumer, ordering_key))
        leases.append(lease)
    return _claims(connection, consumer, leases)


def refresh(connection: "sqlite3.Connection", *, lease: Lease, now: float) -> Claim | None:
    """Prolong a lease, and read its events again; None if nothing waits, and the key is released."""
    until = now + lease.seconds
    held = connection.execute(PROLONG, {**_lease(lease), "until": until, "is_result": False, "revision": 0}).fetchone()
    if held is None:
        raise LeaseLostError(f"{lease.ordering_key} is worked on by another worker")
    return next(iter(_claims(connection, lease.consumer, [attrs.evolve(lease, until=until, revision=held[1])])), None)


def _claims(connection: "sqlite3.Connection", consumer: int, leases: Sequence[Lease]) -> list[Claim]:
    """Read the events of leased keys; a key without a waiting event is released again."""
    claims = []
    handlers = known_handlers(connection, consumer=consumer)
    for lease in leases:
        rows = connection.execute(WAITING, (consumer, lease.ordering_key)).fetchall()
        if not rows:
            _execute(connection, _release(lease, due_at=None, abandoned=0, needs=None))
            continue
        events = [_event(connection, row, consumer) for row in rows]
        newer: Sequence[StoredEvent] = ()
        if versions := [row[5] for row in rows if row[5] is not None]:
            found = connection.execute(NEWER, (consumer, lease.ordering_key, min(versions))).fetchall()
            newer = [_event(connection, row, consumer) for row in found]
        claims.append(Claim(lease=lease, events=events, newer=newer, handlers=handlers, abandoned=lease.abandoned))
    return claims


def record_result(connection: "sqlite3.Connection", *, lease: Lease, event_id: str, **result: Any) -> bool:
    """Record how a handler ended, if the lease still holds, and say whether new work arrived."""
    return _execute(connection, completion(lease=lease, event_id=event_id, **result))


def completion(
    *,
    lease: Lease,
    event_id: str,
    run: HandlerRun | None,
    closes: EventState | None,
    now: float,
    reason: str | None = None,
    releases: bool = False,
) -> Completion:
    """Give the statements that record a result, in a transaction that is begun already."""
    is_result = run is not None or closes is not None
    given = {**_lease(lease), "id": event_id, "until": now + lease.seconds, "is_result": is_result}
    held = yield HELD, given
    if not held:
        raise LeaseLostError(f"{lease.ordering_key} is worked on by another worker")
    has_new_work, number = bool(held[0][0]), held[0][1]
    given |= {"number": number, "has_new_work": has_new_work}
    if run is not None and not (yield RECORD_RUN, {**given, **attrs.asdict(run)}):
        raise RunFinishedError(f"{event_id} was finished by another worker")
    if closes is not None:
        if closed := (yield CLOSE, given):
            yield from _set_aside(given, closes, reason, closed[0][0])
        elif not has_new_work or not (yield IS_PENDING, given):
            raise RunFinishedError(f"{event_id} was finished by another worker")
    if releases:
        yield from _release(lease, due_at=None, abandoned=0, needs=None)
    elif run is not None or closes is None or lease.abandoned:
        yield PROLONG, given
    return has_new_work


def _set_aside(
    given: Mapping[str, Any], state: EventState, reason: str | None, only_handlers: str | None
) -> Steps[None]:
    """Keep the state of an event that is through, unless it is done."""
    if state == "unhandled" and only_handlers is not None:
        return  # The handler that it was replayed for doesn't take it, so it is again what it was before.
    if state != "done":
        yield SET_ASIDE, {**given, "state": state, "reason": reason, "only": only_handlers}
    elif only_handlers is not None:
        yield TAKE_BACK, given


def release(
    connection: "sqlite3.Connection",
    *,
    lease: Lease,
    due_at: float | None,
    now: float,  # noqa: ARG001 - the machine has one clock
    abandoned: int,
    needs: str | None,
) -> bool:
    """Give a key back, and say whether it is due at once."""
    return _execute(connection, _release(lease, due_at=due_at, abandoned=abandoned, needs=needs))


def _release(lease: Lease, *, due_at: float | None, abandoned: int, needs: str | None) -> Steps[bool]:
    given = {**_lease(lease), "due_at": due_at, "abandoned": abandoned, "needs": needs}
    if due_at is None and (yield FORGET_KEY, given):
        return False
    return bool((yield RELEASE, given) == [(1,)])


def _lease(lease: Lease) -> dict[str, Any]:
    return {
        "consumer": lease.consumer,
        "ordering_key": lease.ordering_key,
        "fencing_token": lease.fencing_token,
        "revision": lease.revision,
    }


def _execute(connection: "sqlite3.Connection", steps: Steps[T]) -> T:
    """Execute statements one after the other."""
    rows: list[tuple[Any, ...]] | None = None
    try:
        while True:
            rows = connection.execute(*(next(steps) if rows is None else steps.send(rows))).fetchall()
    except StopIteration as end:
        result: T = end.value
        return result


def consumers(connection: "sqlite3.Connection") -> list[tuple[int, str, bool, int]]:
    """List ID, name, whether it is registered, and since when."""
    return [(one[0], one[1], bool(one[2]), one[3]) for one in connection.execute(CONSUMERS).fetchall()]


def register(
    connection: "sqlite3.Connection",
    *,
    consumer: str,
    takes_over: bool,
    handlers: Mapping[str, Sequence[str]],
    aliases: Mapping[str, str],
) -> int:
    """Register a consumer and its handlers, and give the consumer's ID."""
    known = {name: (number, is_registered) for number, name, is_registered, _ in consumers(connection)}
    free = [number for number, is_registered in known.values() if not is_registered]
    first: int | None = None
    if consumer in known and known[consumer][1]:
        number = known[consumer][0]
    elif free and takes_over:
        # Nothing was handled before, so there is nothing that its handlers can have missed.
        number, first = free[0], 0
        connection.execute(TAKE_OVER, (consumer,))
    else:
        (number,) = connection.execute(NEW_CONSUMER, (consumer,)).fetchone()
    before = known_handlers(connection, consumer=number)
    for name, patterns in handlers.items():
        since = [before[old].since for old, new in aliases.items() if new == name and old in before]
        row = (number, name, json.dumps(list(patterns)), min(since, default=first))
        connection.execute(REGISTER, row)
    for old in aliases:
        if old in before and old not in handlers:
            forget_handler(connection, consumer=number, handler=old)
    return int(number)


def known_handlers(connection: "sqlite3.Connection", *, consumer: int) -> dict[str, KnownHandler]:
    """List the handlers of a consumer."""
    return {
        name: KnownHandler(name=name, patterns=tuple(json.loads(patterns)), since=since)
        for name, patterns, since in connection.execute(HANDLERS, (consumer,)).fetchall()
    }


def forget_handler(connection: "sqlite3.Connection", *, consumer: int, handler: str) -> bool:
    """Forget a handler, so that nothing waits for it."""
    connection.execute(FREE_KEYS, (consumer, handler))
    return bool(connection.execute(FORGET_HANDLER, (consumer, handler)).rowcount)


def stats(connection: "sqlite3.Connection", *, consumer: int, since: int) -> Stats:
    """Count."""
    by_type = add_up(connection.execute(COUNT, (consumer, since)).fetchall())
    oldest = connection.execute(OLDEST, (consumer,)).fetchone()
    return Stats.of(by_type, None if oldest is None else _time(oldest[0]))


def page(
    connection: "sqlite3.Connection",
    *,
    consumer: int,
    since: int,
    wanted: Mapping[str, Any],
    before: int,
    limit: int,
) -> list[StoredEvent]:
    """Read the newest events before a number; ``wanted`` maps an event's ``id``, ``type`` and ``state`` to values."""
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = ["e.number < :before", *(f"e.{name} = :{name}" for name in given if name != "state")]
    if "state" in given:
        conditions.append(IN_STATE.get(given["state"], ASIDE))
    elif "id" not in given:
        conditions.append(f"{_STATE} IS NOT NULL")
    sql = LISTED.format(" AND ".join(conditions))
    values = {**given, "consumer": consumer, "since": since, "before": before, "limit": limit}
    return [_event(connection, row, consumer) for row in connection.execute(sql, values).fetchall()]


def note(connection: "sqlite3.Connection", *, number: int, note: Note) -> None:
    """Keep what a person did to an event."""
    connection.execute(NOTE, (number, _micro(note.at), note.action, note.by, note.reason))


def notes(connection: "sqlite3.Connection", *, number: int) -> list[Note]:
    """List what people did to an event."""
    return [
        Note(at=_time(at), action=action, by=by, reason=reason)
        for at, action, by, reason in connection.execute(NOTES, (number,))
    ]


def revision(connection: "sqlite3.Connection") -> str:
    """Tell whether something has changed."""
    return str(connection.execute(REVISION).fetchone())


def replay(connection: "sqlite3.Connection", *, consumer: int, event_id: str, handler: str | None, now: float) -> bool:
    """Bring an event back, if there is something to replay."""
    found = connection.execute(KNOWN, (consumer, event_id)).fetchone()
    if found is None:
        return False
    number, ordering_key, has_body, is_pending, only_handlers, state = found
    if not has_body or state == "unreadable":
        return False
    if handler is not None:
        connection.execute(BEGIN_AGAIN, (consumer, number, handler, now))
        if only_handlers is not None or not (is_pending or state):
            only_handlers = json.dumps(sorted({handler, *json.loads(only_handlers or "[]")}))
    else:
        revived = connection.execute(REVIVE, (now, consumer, number)).rowcount
        if not revived and state not in ("discarded", "unhandled"):
            return False
        connection.execute(TAKE_BACK, {"consumer": consumer, "number": number})
    connection.execute(REOPEN, (consumer, ordering_key, number, only_handlers))
    connection.execute(BUMP, (consumer, ordering_key, now))
    return True


def unreadable(connection: "sqlite3.Connection", *, event_id: str) -> tuple[int, bytes] | None:
    """Give the number and the bytes of an event, if it has them."""
    row = connection.execute(UNREADABLE, (event_id,)).fetchone()
    return None if row is None or row[1] is None else (row[0], row[1])


def make_readable(connection: "sqlite3.Connection", *, number: int, new: NewEvent, now: float) -> bool:
    """Give an event that could not be read its columns, and have it handled; drop it if it is known by its ID."""
    consumers = [one for (one,) in connection.execute(READABLE, (number,)).fetchall()]
    known = connection.execute(NUMBER, (new.event_id,)).fetchone()
    if known is not None and known[0] != number:
        connection.execute(DELETE_EVENT, (number,))
        connection.execute(DELETE_RUNS, (number,))
        return bool(consumers)
    connection.execute(READ, (*_row(new)[:5], number))
    for consumer in consumers:
        connection.execute(REOPEN, (consumer, new.ordering_key, number, None))
        connection.execute(BUMP, (consumer, new.ordering_key, now))
    return bool(consumers)


def discard(connection: "sqlite3.Connection", *, consumer: int, event_id: str, reason: str, now: float) -> bool:
    """Take an event out of the way; what waited for it goes on."""
    found = connection.execute(KNOWN, (consumer, event_id)).fetchone()
    if found is None:
        return False
    number, ordering_key, _, is_pending, only_handlers, state = found
    if not is_pending and state in (None, "discarded"):
        return False
    aside = {"consumer": consumer, "number": number, "state": "discarded", "reason": reason, "only": only_handlers}
    connection.execute(SET_ASIDE, aside)
    if connection.execute(DISCARD, (consumer, ordering_key, number)).rowcount:
        connection.execute(BUMP, (consumer, ordering_key, now))
    return True


def purge(connection: "sqlite3.Connection", *, before: datetime) -> int:
    """Empty one page of bodies, and count them."""
    return int(connection.execute(PURGE, (_micro(before),)).rowcount)


def erase(connection: "sqlite3.Connection", *, ordering_key: str) -> int:
    """Empty the bodies of one payment, and have nothing of it wait."""
    connection.execute(DISCARD_ERASED, (ordering_key,))
    connection.execute(DELETE_ERASED, (ordering_key,))
    return int(connection.execute(ERASE, (ordering_key,)).rowcount)


def watermark(connection: "sqlite3.Connection") -> datetime | None:
    """Read the watermark."""
    row = connection.execute(WATERMARK).fetchone()
    return None if row is None else _time(row[0])


def set_watermark(connection: "sqlite3.Connection", *, time: datetime) -> None:
    """Move the watermark, forwards only."""
    connection.execute(SET_WATERMARK, (_micro(time),))


def probe(connection: "sqlite3.Connection") -> None:
    """Write something that changes nothing."""
    connection.execute(PROBE)


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


def _row(new: NewEvent) -> tuple[Any, ...]:
    version = None if new.version is None else _micro(new.version)
    return (
        new.event_id,
        new.ordering_key,
        new.type,
        _micro(new.created_at),
        version,
        _micro(new.received_at),
        new.body,
    )


def _event(connection: "sqlite3.Connection", row: Any, consumer: int) -> StoredEvent:
    number, event_id, ordering_key, event_type, created_at, version, received_at, body, state, reason, only = row
    return StoredEvent(
        event_id=event_id,
        ordering_key=ordering_key,
        type=event_type,
        created_at=_time(created_at),
        version=None if version is None else _time(version),
        received_at=_time(received_at),
        body=body,
        state=state or "unhandled",
        handler_runs={
            one[0]: HandlerRun(handler=one[0], state=one[1], attempts=one[2], due_at=one[3], error=one[4])
            for one in connection.execute(RUNS, (consumer, number))
        },
        reason=reason,
        number=number,
        only=None if only is None else frozenset(json.loads(only)),
    )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _micro(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(micro: int) -> datetime:
    return _EPOCH + micro * _MICROSECOND
