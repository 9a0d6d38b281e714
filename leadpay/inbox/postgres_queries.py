"""PostgreSQL: all statements of the inbox, and the functions that execute them.

What receivers and workers do is one statement each, and so a transaction of its own: no lock is held from one round
trip to the next, and a pooler may give every statement another session. A statement that locks more than one row locks
the ordering key first, so that there is no deadlock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

from leadpay.errors import InboxError
from leadpay.inbox.database import PAGE
from leadpay.inbox.store import Claim, EventState, HandlerRun, RunFinishedError, Stats, StoredEvent
from leadpay.models import Event, InstantPaymentEvent
from leadpay.storage import Lease, LeaseLostError
from leadpay.storage.postgres.encoding import EPOCH, MICROSECOND, date, escaped, key, plain, utc, within
from leadpay.webhooks.secrets import SecretUse

if TYPE_CHECKING:
    from psycopg import AsyncCursor

    from leadpay.storage.postgres.pool import Connection

CHANNEL: Final = "leadpay_inbox"
"""Where new events are announced."""

DURABLE: Final = "on"
"""``synchronous_commit``, whatever the database's default: a commit is on disk before the bank gets its response."""

IDLE_LIMIT: Final = "5s"
"""How long a client that has locked an ordering key may be silent before the server rolls back and disconnects it.

A receiver that accepts an event of that payment waits for it, and so do all that share the commit: this is half of the
time that they have.
"""

_NOW: Final = "coalesce(%(now)s::timestamptz, statement_timestamp())"
"""The database's time, since workers' clocks differ; %(now)s is given by tests that move a clock by hand."""

_LATER: Final = f"{_NOW} + make_interval(secs => %({{}})s)"
"""A time so many seconds from now; NULL if the number is."""

MAX_DELAY: Final = 1e12
"""The longest delay, in seconds: PostgreSQL's times end in the year 294276."""

# The statements, in the order of an event's life. Tables are described in schema/postgres.

# IDs in order, then keys in order, then their handler runs, so that two of these statements cannot deadlock.
# An event that another connection adds at this moment is in no snapshot yet: its own statement makes the key due.
ADD: Final = f"""
WITH given AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('leadpay_events', 'number')) AS number, one.*
    FROM unnest(%(ids)s::text[], %(keys)s::text[], %(types)s::text[], %(created)s::timestamptz[],
                %(versions)s::timestamptz[], %(received)s::timestamptz[], %(bodies)s::bytea[])
        AS one (id, ordering_key, type, created_at, version, received_at, body)
), new AS (
    INSERT INTO leadpay_events (number, id, ordering_key, type, created_at, version, received_at, body)
    SELECT number, id, ordering_key, type, created_at, version, received_at, body FROM given ORDER BY id COLLATE "C"
    ON CONFLICT (id) DO NOTHING RETURNING id, ordering_key
), known AS MATERIALIZED (
    SELECT id, kept.ordering_key FROM given JOIN leadpay_events AS kept USING (id)
    WHERE kept.state = 'waiting'
), bumped AS (
    INSERT INTO leadpay_ordering_keys AS old (ordering_key, due_at, revision)
    SELECT ordering_key, {_NOW}, 1 FROM (TABLE new UNION ALL TABLE known) AS come
    GROUP BY ordering_key ORDER BY ordering_key
    ON CONFLICT (ordering_key) DO UPDATE SET
        revision = old.revision + 1,
        due_at = CASE WHEN old.leased THEN old.due_at ELSE least(old.due_at, excluded.due_at) END
    RETURNING ordering_key
), made_due AS (
    UPDATE leadpay_handler_runs AS waiting SET due_at = {_NOW} FROM known JOIN bumped USING (ordering_key)
    WHERE waiting.event_id = known.id AND waiting.state = 'waiting' AND waiting.due_at > {_NOW}
)
SELECT ARRAY(SELECT id FROM new), set_config('synchronous_commit', %(durable)s, true), pg_notify('{CHANNEL}', '')"""  # noqa: S608 - constants

_SECONDS: Final = "extract(epoch FROM due_at)"

_HANDLER_RUNS: Final = f"""(
    SELECT json_agg(json_build_array(handler, state, attempts, {_SECONDS}, error))
    FROM leadpay_handler_runs WHERE event_id = id)"""  # noqa: S608 - a constant

# Without time zones: the session's own may be any.
_COLUMNS: Final = f"""
    id, ordering_key, type, created_at AT TIME ZONE 'UTC' AS created_at, version AT TIME ZONE 'UTC' AS version,
    received_at AT TIME ZONE 'UTC' AS received_at, body, state, reason, {_HANDLER_RUNS} AS handler_runs"""

# A claim only locks and leases. Its events are read by the next statements, by snapshots newer than the locks: an
# older snapshot may show an event as waiting that another worker has just finished.
CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT ordering_key FROM leadpay_ordering_keys WHERE due_at <= {_NOW} ORDER BY due_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE leadpay_ordering_keys AS one SET
    fencing_token = one.fencing_token + 1, abandoned = one.abandoned + one.leased::integer,
    leased = true, due_at = {_LATER.format("lease")}
FROM due WHERE one.ordering_key = due.ordering_key
RETURNING one.ordering_key, one.fencing_token, one.abandoned, one.revision, extract(epoch FROM {_NOW})"""  # noqa: S608 - constants

WAITING: Final = f"""
SELECT {_COLUMNS} FROM leadpay_events WHERE ordering_key = ANY (%(keys)s) AND state = 'waiting'
ORDER BY leadpay_events.created_at, number"""  # noqa: S608 - a constant

LATEST_VERSIONS: Final = """
SELECT ordering_key, handler, (extract(epoch FROM max(version)) * 1000000)::bigint
FROM leadpay_events JOIN leadpay_handler_runs AS run ON event_id = id
WHERE ordering_key = ANY (%(keys)s) AND version IS NOT NULL AND run.state = 'done' GROUP BY ordering_key, handler"""

# Only the current fencing token may write. Any write except a heartbeat resets the count of abandoned leases.
# A finished run is not written again, unless by this very lease: a statement whose connection is lost is run twice.
# If new work arrived for this key since the claim, an event with a pending handler stays open: it may have been
# replayed. It is closed only if this statement's snapshot is as new as the revision of the locked row.
RECORD_RESULT: Final = f"""
WITH held AS (
    UPDATE leadpay_ordering_keys SET
        due_at = {_LATER.format("lease")}, abandoned = CASE WHEN %(is_result)s::boolean THEN 0 ELSE abandoned END
    WHERE ordering_key = %(ordering_key)s AND fencing_token = %(fencing_token)s AND leased
    RETURNING ordering_key, revision, fencing_token
), recorded AS (
    INSERT INTO leadpay_handler_runs AS old (event_id, handler, state, attempts, due_at, error, fencing_token)
    SELECT %(id)s, %(handler)s, %(state)s, %(attempts)s::bigint, {_LATER.format("delay")}, %(error)s, held.fencing_token
    FROM held WHERE %(handler)s::text IS NOT NULL
    ON CONFLICT (event_id, handler) DO UPDATE SET
        state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error,
        fencing_token = excluded.fencing_token
    WHERE old.state = 'waiting' OR (old.state, old.attempts, old.fencing_token)
        = (excluded.state, excluded.attempts, excluded.fencing_token)
    RETURNING 1
), closed AS (
    UPDATE leadpay_events AS event SET state = %(closes)s
    FROM held JOIN leadpay_ordering_keys AS seen USING (ordering_key)
    WHERE id = %(id)s AND event.state IN ('waiting', %(closes)s) AND %(closes)s::text IS NOT NULL AND (
        held.revision = %(revision)s OR held.revision = seen.revision AND NOT EXISTS (
            SELECT FROM leadpay_handler_runs AS other
            WHERE event_id = id AND other.state = 'waiting' AND handler IS DISTINCT FROM %(handler)s))
    RETURNING 1
)
SELECT revision > %(revision)s, (SELECT count(*) FROM recorded), (SELECT count(*) FROM closed),
    set_config('idle_in_transaction_session_timeout', %(idle_limit)s, true),
    set_config('synchronous_commit', %(durable)s, true)
FROM held"""  # noqa: S608 - constants

RELEASE: Final = f"""
UPDATE leadpay_ordering_keys SET leased = false, abandoned = %(abandoned)s,
    due_at = CASE WHEN revision > %(revision)s THEN to_timestamp(0) ELSE {_LATER.format("delay")} END
WHERE ordering_key = %(ordering_key)s AND fencing_token = %(fencing_token)s AND leased
RETURNING revision > %(revision)s"""  # noqa: S608 - constants

# A replay and a discard take several statements, and so a transaction that locks the ordering key first.
LOCK: Final = """
SELECT ordering_key, set_config('idle_in_transaction_session_timeout', %(idle_limit)s, true)
FROM leadpay_ordering_keys
WHERE ordering_key = (SELECT ordering_key FROM leadpay_events WHERE id = %(id)s) FOR UPDATE"""

# Locked, since a purge doesn't lock the ordering key.
KNOWN: Final = "SELECT state, body IS NOT NULL FROM leadpay_events WHERE id = %(id)s FOR UPDATE"

REVIVE: Final = f"""
UPDATE leadpay_handler_runs SET state = 'waiting', attempts = 0, due_at = {_NOW}
WHERE event_id = %(id)s AND state = 'dead'"""  # noqa: S608 - a constant

BEGIN_AGAIN: Final = f"""
INSERT INTO leadpay_handler_runs (event_id, handler, state, attempts, due_at)
VALUES (%(id)s, %(handler)s, 'waiting', 0, {_NOW}) ON CONFLICT (event_id, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = NULL"""  # noqa: S608 - a constant

REOPEN: Final = "UPDATE leadpay_events SET state = 'waiting', reason = NULL WHERE id = %(id)s"

DISCARD: Final = "UPDATE leadpay_events SET state = 'discarded', reason = %(reason)s WHERE id = %(id)s"

BUMP: Final = f"""
UPDATE leadpay_ordering_keys SET
    revision = revision + 1, due_at = CASE WHEN leased THEN due_at ELSE least(due_at, {_NOW}) END
WHERE ordering_key = %(ordering_key)s"""  # noqa: S608 - a constant

PURGE: Final = """
UPDATE leadpay_events SET body = NULL WHERE number = ANY (ARRAY(
    SELECT number FROM leadpay_events
    WHERE body IS NOT NULL AND state IN ('done', 'discarded') AND received_at < %(before)s
    ORDER BY received_at LIMIT %(page)s FOR UPDATE SKIP LOCKED))"""

COUNT: Final = "SELECT state, type, count(*) FROM leadpay_events GROUP BY state, type"

OLDEST: Final = """
SELECT received_at AT TIME ZONE 'UTC' FROM leadpay_events WHERE state = 'waiting' ORDER BY number LIMIT 1"""

WATERMARK: Final = "SELECT time AT TIME ZONE 'UTC' FROM leadpay_watermark"

SET_WATERMARK: Final = """
INSERT INTO leadpay_watermark AS old (time) VALUES (%(time)s)
ON CONFLICT (one) DO UPDATE SET time = greatest(old.time, excluded.time)"""

# In the order of fingerprints, so that two receivers cannot deadlock.
RECORD_USES: Final = """
INSERT INTO leadpay_secrets AS old (fingerprint, first_seen_at, last_verified_at, verified)
SELECT * FROM unnest(%(names)s::text[], %(first)s::timestamptz[], %(last)s::timestamptz[], %(counts)s::bigint[])
    AS given (fingerprint, first_seen_at, last_verified_at, verified) ORDER BY fingerprint
ON CONFLICT (fingerprint) DO UPDATE SET
    last_verified_at = greatest(old.last_verified_at, excluded.last_verified_at),
    verified = old.verified + excluded.verified"""

USES: Final = """
SELECT fingerprint, first_seen_at AT TIME ZONE 'UTC', last_verified_at AT TIME ZONE 'UTC', verified
FROM leadpay_secrets"""


def row(event: Event, body: bytes, received_at: datetime) -> tuple[Any, ...]:
    """Give an event's columns, the ID first."""
    version = within(event.payment.updated_at) if isinstance(event, InstantPaymentEvent) else None
    times = (within(event.created_at), version, within(received_at))
    return (key(event.id), key(event.payment_id or event.id), key(str(event.type)), *times, body)


class PostgresQueries:
    """The functions that execute the statements.

    Callers' times are seconds since 1970 by their own clocks, and become delays by the database's clock.

    Args:
        database_clock: False in tests that move a clock by hand, whose time the database then takes over.
    """

    def __init__(self, *, database_clock: bool = True) -> None:
        self._database_clock = database_clock

    async def add(self, connection: "Connection", rows: Sequence[tuple[Any, ...]]) -> set[str]:
        """Insert events of different IDs, or make known ones due; gives the IDs that were new."""
        names = ("ids", "keys", "types", "created", "versions", "received", "bodies")
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        now = None if self._database_clock else min(columns["received"])
        new, *_ = await _row(connection, ADD, {**columns, "now": now, "durable": DURABLE})
        return set(new)

    async def claim(self, connection: "Connection", *, limit: int, now: float, seconds: float) -> list[Claim]:
        """Lease keys that are due, and read their events; a key without a waiting event is released again."""
        given = {"now": self._now(now), "lease": _delay(seconds), "limit": limit}
        claimed = await (await connection.execute(CLAIM, given)).fetchall()
        if not claimed:
            return []
        keys = {"keys": [row[0] for row in claimed]}
        # A handler run's due time by the caller's clock, which is compared with it.
        ahead = now - float(claimed[0][-1])
        waiting: dict[str, list[StoredEvent]] = {}
        for columns in await (await connection.execute(WAITING, keys)).fetchall():
            waiting.setdefault(columns[1], []).append(_event(columns, ahead=ahead))
        latest: dict[str, dict[str, datetime]] = {}
        for ordering_key, handler, micro in await (await connection.execute(LATEST_VERSIONS, keys)).fetchall():
            latest.setdefault(ordering_key, {})[plain(handler)] = EPOCH + micro * MICROSECOND
        claims = []
        for ordering_key, fencing_token, abandoned, revision, _ in claimed:
            lease = Lease(
                ordering_key=plain(ordering_key),
                fencing_token=fencing_token,
                until=now + seconds,
                seconds=seconds,
                revision=revision,
            )
            if ordering_key in waiting:
                versions = latest.get(ordering_key, {})
                claims.append(
                    Claim(lease=lease, events=waiting[ordering_key], latest_versions=versions, abandoned=abandoned)
                )
            else:
                await self.release(connection, lease=lease, due_at=None, now=now, abandoned=0)
        return claims

    async def record_result(
        self,
        connection: "Connection",
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        idle_limit: str = IDLE_LIMIT,
    ) -> bool:
        """Record how a handler ended, if the lease still holds, and say whether new work arrived."""
        given = {
            "ordering_key": key(lease.ordering_key),
            "fencing_token": lease.fencing_token,
            "revision": lease.revision,
            "now": self._now(now),
            "lease": _delay(lease.seconds),
            "is_result": run is not None or closes is not None,
            "id": key(event_id),
            "handler": None if run is None else escaped(run.handler),
            "state": None if run is None else run.state,
            "attempts": None if run is None else run.attempts,
            "delay": None if run is None or run.due_at is None else _delay(run.due_at - now),
            "error": None if run is None or run.error is None else escaped(run.error),
            "closes": closes,
            "idle_limit": idle_limit,
            "durable": DURABLE,
        }
        held = await (await connection.execute(RECORD_RESULT, given)).fetchone()
        if held is None:
            raise LeaseLostError(f"{lease.ordering_key} is worked on by another worker")
        has_new_work, recorded, closed, *_ = held
        if (run is not None and not recorded) or (closes is not None and not closed and not has_new_work):
            raise RunFinishedError(f"{event_id} was finished by another worker")
        return bool(has_new_work)

    async def release(
        self, connection: "Connection", *, lease: Lease, due_at: float | None, now: float, abandoned: int
    ) -> bool:
        """Give a key back, and say whether it is due at once."""
        given = {
            "ordering_key": key(lease.ordering_key),
            "fencing_token": lease.fencing_token,
            "revision": lease.revision,
            "now": self._now(now),
            "delay": None if due_at is None else _delay(due_at - now),
            "abandoned": abandoned,
        }
        return bool(await (await connection.execute(RELEASE, given)).fetchone() == (True,))

    async def stats(self, connection: "Connection") -> Stats:
        """Count."""
        by_state: dict[str, int] = {}
        by_type: dict[str, dict[str, int]] = {}
        for state, event_type, count in await (await connection.execute(COUNT)).fetchall():
            by_state[state] = by_state.get(state, 0) + count
            by_type.setdefault(plain(event_type), {})[state] = count
        oldest = await (await connection.execute(OLDEST)).fetchone()
        return Stats(by_state=by_state, by_type=by_type, oldest_waiting=None if oldest is None else utc(oldest[0]))

    async def page(
        self, connection: "Connection", *, wanted: Mapping[str, str | None], before: int, limit: int
    ) -> list[tuple[int, StoredEvent]]:
        """Read the newest events before a number, with that number; ``wanted`` maps columns to values."""
        given = {column: key(value) for column, value in wanted.items() if value is not None}
        conditions = " AND ".join(["number < %(before)s", *(f"{column} = %({column})s" for column in given)])
        sql = f"SELECT number, {_COLUMNS} FROM leadpay_events WHERE {conditions} ORDER BY number DESC LIMIT %(limit)s"  # noqa: S608 - our own columns
        found = await connection.execute(sql.encode(), {**given, "before": before, "limit": limit})
        return [(number, _event(columns)) for number, *columns in await found.fetchall()]

    async def replay(self, connection: "Connection", *, event_id: str, handler: str | None, now: float) -> bool:
        """Bring an event back, if there is something to replay."""
        given = {"id": key(event_id), "handler": handler and escaped(handler), "now": self._now(now)}
        async with connection.transaction():
            ordering_key, state, has_body = await self._locked(connection, given)
            if not has_body:
                return False
            revived = await connection.execute(REVIVE if handler is None else BEGIN_AGAIN, given)
            if not revived.rowcount and state not in ("discarded", "unhandled"):
                return False
            _expect_one(await connection.execute(REOPEN, given))
            _expect_one(await connection.execute(BUMP, {**given, "ordering_key": ordering_key}))
        return True

    async def discard(self, connection: "Connection", *, event_id: str, reason: str, now: float) -> bool:
        """Take an event out of the way; what waited for it goes on."""
        given = {"id": key(event_id), "reason": escaped(reason), "now": self._now(now)}
        async with connection.transaction():
            ordering_key, state, _ = await self._locked(connection, given)
            if state not in ("waiting", "dead", "unhandled"):
                return False
            _expect_one(await connection.execute(DISCARD, given))
            _expect_one(await connection.execute(BUMP, {**given, "ordering_key": ordering_key}))
        return True

    async def _locked(
        self, connection: "Connection", given: Mapping[str, Any]
    ) -> tuple[str | None, EventState | None, bool]:
        """Lock an event's ordering key, and then read the event's state."""
        locked = await (await connection.execute(LOCK, {**given, "idle_limit": IDLE_LIMIT})).fetchone()
        if locked is None:
            return None, None, False
        state, has_body = await _row(connection, KNOWN, given)
        return locked[0], state, has_body

    async def purge(self, connection: "Connection", *, before: datetime) -> int:
        """Empty one page of bodies, and count them."""
        return int((await connection.execute(PURGE, {"before": within(before), "page": PAGE})).rowcount)

    async def watermark(self, connection: "Connection") -> datetime | None:
        """Read the watermark."""
        found = await (await connection.execute(WATERMARK)).fetchone()
        return None if found is None else utc(found[0])

    async def set_watermark(self, connection: "Connection", *, time: datetime) -> None:
        """Move the watermark, forwards only."""
        await connection.execute(SET_WATERMARK, {"time": within(time)})

    async def record_secrets(self, connection: "Connection", *, uses: Sequence[SecretUse]) -> None:
        """Add to what is known of secrets."""
        given = {
            "names": [use.fingerprint for use in uses],
            "first": [use.first_seen_at for use in uses],
            "last": [use.last_verified_at for use in uses],
            "counts": [use.verified for use in uses],
        }
        await connection.execute(RECORD_USES, given)

    async def secrets(self, connection: "Connection") -> list[SecretUse]:
        """List what is known of secrets."""
        return [
            SecretUse(
                fingerprint=name, first_seen_at=utc(first), last_verified_at=last and utc(last), verified=verified
            )
            for name, first, last, verified in await (await connection.execute(USES)).fetchall()
        ]

    def _now(self, now: float) -> datetime | None:
        return None if self._database_clock else date(now)


def _delay(seconds: float) -> float:
    return min(seconds, MAX_DELAY)


def _expect_one(cursor: "AsyncCursor[Any]") -> None:
    """Raise unless a statement changed its one row, so that the transaction is rolled back."""
    if cursor.rowcount != 1:
        raise InboxError("a row that is locked was changed by another program")


async def _row(connection: "Connection", query: LiteralString, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """Execute a statement that gives one row."""
    row = await (await connection.execute(query, given)).fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    return row


def _event(columns: Sequence[Any], *, ahead: float = 0.0) -> StoredEvent:
    event_id, ordering_key, event_type, created_at, version, received_at, body, state, reason, handler_runs = columns
    return StoredEvent(
        event_id=plain(event_id),
        ordering_key=plain(ordering_key),
        type=plain(event_type),
        created_at=utc(created_at),
        version=version and utc(version),
        received_at=utc(received_at),
        body=body,
        state=state,
        handler_runs={plain(one[0]): _handler_run(*one, ahead=ahead) for one in handler_runs or ()},
        reason=reason and plain(reason),
    )


def _handler_run(
    handler: str, state: Any, attempts: int, due_at: float | None, error: str | None, *, ahead: float
) -> HandlerRun:
    """Make a record; ``ahead`` is by how many seconds the caller's clock is ahead of the database's."""
    return HandlerRun(
        handler=plain(handler),
        state=state,
        attempts=attempts,
        due_at=None if due_at is None else due_at + ahead,
        error=error and plain(error),
    )
