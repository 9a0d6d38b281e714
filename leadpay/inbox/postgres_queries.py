"""What is said to PostgreSQL: all statements of the inbox, and what they are said for.

What receivers and workers do is one statement each, and so a transaction of its own: no lock is held from one round
trip to the next, and a pooler may give every statement another session. Who locks more than one row locks the subject
first, so that nobody waits in a circle.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from leadpay.inbox import Claim, EventState, HandlerRun, Lease, LeaseLostError, Stats, StoredEvent
from leadpay.inbox.pages import PAGE
from leadpay.models import Event, InstantPaymentEvent
from leadpay.storage.postgres.encoding import EPOCH, MICROSECOND, date, escaped, key, plain, utc, within

QUIET: Final = "5s"
"""How long a client that has locked a payment may say nothing before the server rolls it back and hangs up.

Whoever accepts an event of that payment waits for it, and so do all that share the commit: half of what they wait.
"""

# The statements, in the order of an event's life. Tables are described in schema/postgres.

# A client whose machine lost its power is noticed after 5 + 3 * 2 seconds, not after the two hours of most servers.
WATCH: Final = """
SELECT set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', '2', true),
    set_config('tcp_keepalives_count', '3', true)"""

# IDs in order, then subjects in order, then what belongs to them, so that two that add never wait for each other.
# An event that another adds at this moment is in no snapshot yet, and needs none: its own addition wakes it up.
ADD: Final = """
WITH given AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('leadpay_events', 'number')) AS number, one.*
    FROM unnest(%(ids)s::text[], %(subjects)s::text[], %(types)s::text[], %(created)s::timestamptz[],
                %(versions)s::timestamptz[], %(received)s::timestamptz[], %(bodies)s::bytea[])
        AS one (id, subject, type, created_at, version, received_at, body)
), new AS (
    INSERT INTO leadpay_events (number, id, subject, type, created_at, version, received_at, body)
    SELECT number, id, subject, type, created_at, version, received_at, body FROM given ORDER BY id COLLATE "C"
    ON CONFLICT (id) DO NOTHING RETURNING id, subject, received_at
), known AS MATERIALIZED (
    SELECT id, kept.subject, given.received_at FROM given JOIN leadpay_events AS kept USING (id)
    WHERE kept.state = 'waiting'
), woken AS (
    INSERT INTO leadpay_subjects AS old (subject, due_at, wakes)
    SELECT subject, min(received_at), 1 FROM (TABLE new UNION ALL TABLE known) AS come
    GROUP BY subject ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET
        wakes = old.wakes + 1,
        due_at = CASE WHEN old.leased THEN old.due_at ELSE least(old.due_at, excluded.due_at) END
    RETURNING subject
), hurried AS (
    UPDATE leadpay_handlings AS waiting SET due_at = known.received_at FROM known JOIN woken USING (subject)
    WHERE waiting.event_id = known.id AND waiting.state = 'waiting' AND waiting.due_at > known.received_at
)
SELECT ARRAY(SELECT id FROM new), pg_notify('leadpay_inbox', '')"""

_SECONDS: Final = "extract(epoch FROM due_at)"

_HANDLINGS: Final = f"""(
    SELECT json_agg(json_build_array(handler, state, attempts, {_SECONDS}, error))
    FROM leadpay_handlings WHERE event_id = id)"""  # noqa: S608 - a constant

# Without time zones, of which a session has one or another.
_COLUMNS: Final = f"""
    id, subject, type, created_at AT TIME ZONE 'UTC' AS created_at, version AT TIME ZONE 'UTC' AS version,
    received_at AT TIME ZONE 'UTC' AS received_at, body, state, reason, {_HANDLINGS} AS handlings"""

# The count of wakes is the snapshot's, as the events are, and not that of the row when it was locked: what came
# between the two is then new to whoever releases.
CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT subject FROM leadpay_subjects WHERE due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE leadpay_subjects AS one SET
        fence = one.fence + 1, lost = one.lost + one.leased::integer, leased = true, due_at = %(until)s
    FROM due WHERE one.subject = due.subject RETURNING one.subject, one.fence, one.lost
)
SELECT claimed.subject, claimed.fence, claimed.lost, seen.wakes, newest.versions, event.*
FROM claimed JOIN leadpay_subjects AS seen USING (subject)
CROSS JOIN LATERAL (
    SELECT json_object_agg(handler, micro) AS versions FROM (
        SELECT handler, (extract(epoch FROM max(version)) * 1000000)::bigint AS micro
        FROM leadpay_events JOIN leadpay_handlings AS handled ON event_id = id
        WHERE subject = claimed.subject AND version IS NOT NULL AND handled.state = 'done' GROUP BY handler
    ) AS each) AS newest
LEFT JOIN LATERAL (
    SELECT number, {_COLUMNS} FROM leadpay_events WHERE subject = claimed.subject AND state = 'waiting'
) AS event ON true
ORDER BY claimed.subject, event.created_at, event.number"""  # noqa: S608 - a constant

# Only the newest fence may; anything but a mere prolonging is a word, after which no lease counts as lost. What was
# woken since the claim is closed only if no other handler waits, or else somebody may have replayed what this worker is
# through with; and only if this snapshot has that, as it has what was done before the last wake that it knows.
SETTLE: Final = """
WITH held AS (
    UPDATE leadpay_subjects SET due_at = %(until)s, lost = CASE WHEN %(is_word)s::boolean THEN 0 ELSE lost END
    WHERE subject = %(subject)s AND fence = %(fence)s AND leased RETURNING subject, wakes
), handled AS (
    INSERT INTO leadpay_handlings AS old (event_id, handler, state, attempts, due_at, error)
    SELECT %(id)s, %(handler)s, %(state)s, %(attempts)s::bigint, %(due_at)s::timestamptz, %(error)s
    FROM held WHERE %(handler)s::text IS NOT NULL
    ON CONFLICT (event_id, handler) DO UPDATE SET
        state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error
    WHERE old.state = 'waiting'
), closed AS (
    UPDATE leadpay_events AS event SET state = %(closes)s FROM held JOIN leadpay_subjects AS seen USING (subject)
    WHERE id = %(id)s AND event.state = 'waiting' AND %(closes)s::text IS NOT NULL AND (
        held.wakes = %(wakes)s OR held.wakes = seen.wakes AND NOT EXISTS (
            SELECT FROM leadpay_handlings AS other
            WHERE event_id = id AND other.state = 'waiting' AND handler IS DISTINCT FROM %(handler)s))
)
SELECT wakes > %(wakes)s, set_config('idle_in_transaction_session_timeout', %(quiet)s, true) FROM held"""

RELEASE: Final = """
UPDATE leadpay_subjects SET leased = false, lost = 0,
    due_at = CASE WHEN wakes > %(wakes)s THEN to_timestamp(0) ELSE %(due_at)s::timestamptz END
WHERE subject = %(subject)s AND fence = %(fence)s AND leased RETURNING wakes > %(wakes)s"""

# A replay and a discard take several statements, and so a transaction, behind a lock on the subject.
LOCK: Final = """
SELECT subject, set_config('idle_in_transaction_session_timeout', %(quiet)s, true)
FROM leadpay_subjects WHERE subject = (SELECT subject FROM leadpay_events WHERE id = %(id)s) FOR UPDATE"""

# Locked, since whoever purges goes without a lock on the subject.
KNOWN: Final = "SELECT state, body IS NOT NULL FROM leadpay_events WHERE id = %(id)s FOR UPDATE"

REVIVE: Final = """
UPDATE leadpay_handlings SET state = 'waiting', attempts = 0, due_at = %(now)s
WHERE event_id = %(id)s AND state = 'dead'"""

BEGIN_AGAIN: Final = """
INSERT INTO leadpay_handlings (event_id, handler, state, attempts, due_at)
VALUES (%(id)s, %(handler)s, 'waiting', 0, %(now)s) ON CONFLICT (event_id, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = NULL"""

REOPEN: Final = "UPDATE leadpay_events SET state = 'waiting', reason = NULL WHERE id = %(id)s"

DISCARD: Final = "UPDATE leadpay_events SET state = 'discarded', reason = %(reason)s WHERE id = %(id)s"

WAKE: Final = """
UPDATE leadpay_subjects SET wakes = wakes + 1, due_at = CASE WHEN leased THEN due_at ELSE least(due_at, %(now)s) END
WHERE subject = %(subject)s"""

PURGE: Final = f"""
UPDATE leadpay_events SET body = NULL WHERE number = ANY (ARRAY(
    SELECT number FROM leadpay_events
    WHERE body IS NOT NULL AND state IN ('done', 'discarded') AND received_at < %(before)s
    ORDER BY received_at LIMIT {PAGE} FOR UPDATE SKIP LOCKED))"""  # noqa: S608 - a constant

COUNT: Final = "SELECT state, type, count(*) FROM leadpay_events GROUP BY state, type"

OLDEST: Final = """
SELECT received_at AT TIME ZONE 'UTC' FROM leadpay_events WHERE state = 'waiting' ORDER BY number LIMIT 1"""

WATERMARK: Final = "SELECT time AT TIME ZONE 'UTC' FROM leadpay_watermark"

SET_WATERMARK: Final = """
INSERT INTO leadpay_watermark AS old (time) VALUES (%(time)s)
ON CONFLICT (one) DO UPDATE SET time = greatest(old.time, excluded.time)"""


# What they are said for.


def row(event: Event, body: bytes, received_at: datetime) -> tuple[Any, ...]:
    """Say of an event what is kept, the ID first."""
    version = within(event.payment.updated_at) if isinstance(event, InstantPaymentEvent) else None
    times = (within(event.created_at), version, within(received_at))
    return (key(event.id), key(event.payment_id or event.id), key(str(event.type)), *times, body)


async def add(connection: Any, rows: Sequence[tuple[Any, ...]]) -> set[str]:
    """Keep events of different IDs, or wake them up; gives the IDs that were new."""
    names = ("ids", "subjects", "types", "created", "versions", "received", "bodies")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    (new, _) = await (await connection.execute(ADD, columns)).fetchone()
    return set(new)


async def claim(connection: Any, *, limit: int, now: float, seconds: float) -> list[Claim]:
    """Lease what is due; what has nothing that waits is let go again."""
    until = now + seconds
    given = {"now": date(now), "until": date(until), "limit": limit}
    claims: dict[str, Claim] = {}
    deliveries: dict[str, list[StoredEvent]] = {}
    found = await (await connection.execute(CLAIM, given)).fetchall()
    for subject, fence, lost, wakes, versions, number, *columns in found:
        lease = Lease(subject=plain(subject), fence=fence, until=until, seconds=seconds, wakes=wakes)
        if number is None:
            await release(connection, lease=lease, due_at=None)
            continue
        if subject not in claims:
            newest = {plain(handler): EPOCH + micro * MICROSECOND for handler, micro in (versions or {}).items()}
            waiting = deliveries[subject] = []
            claims[subject] = Claim(lease=lease, deliveries=waiting, newest=newest, lost=lost)
        deliveries[subject].append(_delivery(columns))
    return list(claims.values())


async def settle(
    connection: Any,
    *,
    lease: Lease,
    event_id: str,
    handling: HandlerRun | None,
    closes: EventState | None,
    now: float,
    quiet: str = QUIET,
) -> bool:
    """Record how a handler ended, if the lease still holds, and say whether the subject was woken meanwhile."""
    given = {
        "subject": key(lease.subject),
        "fence": lease.fence,
        "wakes": lease.wakes,
        "until": date(now + lease.seconds),
        "is_word": handling is not None or closes is not None,
        "id": key(event_id),
        "handler": None if handling is None else escaped(handling.handler),
        "state": None if handling is None else handling.state,
        "attempts": None if handling is None else handling.attempts,
        "due_at": None if handling is None or handling.due_at is None else date(handling.due_at),
        "error": None if handling is None or handling.error is None else escaped(handling.error),
        "closes": closes,
        "quiet": quiet,
    }
    held = await (await connection.execute(SETTLE, given)).fetchone()
    if held is None:
        raise LeaseLostError(f"{lease.subject} is worked on by somebody else")
    return bool(held[0])


async def release(connection: Any, *, lease: Lease, due_at: float | None) -> bool:
    """Let a subject go, and say whether there is something to do at once."""
    given = {
        "subject": key(lease.subject),
        "fence": lease.fence,
        "wakes": lease.wakes,
        "due_at": None if due_at is None else date(due_at),
    }
    return bool(await (await connection.execute(RELEASE, given)).fetchone() == (True,))


async def stats(connection: Any) -> Stats:
    """Count."""
    by_state: dict[str, int] = {}
    by_type: dict[str, dict[str, int]] = {}
    for state, event_type, count in await (await connection.execute(COUNT)).fetchall():
        by_state[state] = by_state.get(state, 0) + count
        by_type.setdefault(plain(event_type), {})[state] = count
    oldest = await (await connection.execute(OLDEST)).fetchone()
    return Stats(by_state=by_state, by_type=by_type, oldest_waiting=oldest and utc(oldest[0]))


async def page(
    connection: Any, *, wanted: Mapping[str, str | None], before: int, limit: int
) -> list[tuple[int, StoredEvent]]:
    """Read the newest events before a number, with that number; ``wanted`` maps columns to values."""
    given = {column: key(value) for column, value in wanted.items() if value is not None}
    conditions = " AND ".join(["number < %(before)s", *(f"{column} = %({column})s" for column in given)])
    sql = f"SELECT number, {_COLUMNS} FROM leadpay_events WHERE {conditions} ORDER BY number DESC LIMIT %(limit)s"  # noqa: S608 - our own columns
    found = await connection.execute(sql, {**given, "before": before, "limit": limit})
    return [(number, _delivery(columns)) for number, *columns in await found.fetchall()]


async def replay(connection: Any, *, event_id: str, handler: str | None, now: float) -> bool:
    """Bring an event back, if there is something to bring back."""
    given = {"id": key(event_id), "handler": handler and escaped(handler), "now": date(now)}
    async with connection.transaction():
        subject, state, has_body = await _locked(connection, given)
        if not has_body:
            return False
        revived = await connection.execute(REVIVE if handler is None else BEGIN_AGAIN, given)
        if not revived.rowcount and state != "discarded":
            return False
        await connection.execute(REOPEN, given)
        await connection.execute(WAKE, {**given, "subject": subject})
    return True


async def discard(connection: Any, *, event_id: str, reason: str, now: float) -> bool:
    """Throw an event away; what waited for it goes on."""
    given = {"id": key(event_id), "reason": escaped(reason), "now": date(now)}
    async with connection.transaction():
        subject, state, _ = await _locked(connection, given)
        if state not in ("waiting", "dead"):
            return False
        await connection.execute(DISCARD, given)
        await connection.execute(WAKE, {**given, "subject": subject})
    return True


async def _locked(connection: Any, given: Mapping[str, Any]) -> tuple[str | None, EventState | None, bool]:
    """Lock an event's subject, and then say how far the event is."""
    locked = await (await connection.execute(LOCK, {**given, "quiet": QUIET})).fetchone()
    if locked is None:
        return None, None, False
    state, has_body = await (await connection.execute(KNOWN, given)).fetchone()
    return locked[0], state, has_body


async def purge(connection: Any, *, before: datetime) -> int:
    """Empty one page of bodies, and count them."""
    return int((await connection.execute(PURGE, {"before": within(before)})).rowcount)


async def watermark(connection: Any) -> datetime | None:
    """Read the watermark."""
    found = await (await connection.execute(WATERMARK)).fetchone()
    return found and utc(found[0])


async def set_watermark(connection: Any, *, time: datetime) -> None:
    """Move the watermark, forward only."""
    await connection.execute(SET_WATERMARK, {"time": within(time)})


def _delivery(columns: Sequence[Any]) -> StoredEvent:
    event_id, subject, event_type, created_at, version, received_at, body, state, reason, handlings = columns
    return StoredEvent(
        event_id=plain(event_id),
        subject=plain(subject),
        type=plain(event_type),
        created_at=utc(created_at),
        version=version and utc(version),
        received_at=utc(received_at),
        body=body,
        state=state,
        handlings={plain(one[0]): _handling(*one) for one in handlings or ()},
        reason=reason and plain(reason),
    )


def _handling(handler: str, state: Any, attempts: int, due_at: float | None, error: str | None) -> HandlerRun:
    error = error and plain(error)
    return HandlerRun(handler=plain(handler), state=state, attempts=attempts, due_at=due_at, error=error)
