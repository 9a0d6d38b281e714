"""PostgreSQL: all statements of the inbox, and the functions that execute them.

What receivers and workers do most often is one statement each, and so a transaction of its own: no lock is held from
one round trip to the next, and a pooler may give every statement another session. What takes several statements locks
the ordering key first, so that there is no deadlock, and so that the others see all that was done before.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

import attrs

from leadpay.errors import InboxError
from leadpay.inbox.database import PAGE, Completion, NewEvent, Steps, T, add_up
from leadpay.inbox.store import Claim, EventState, HandlerRun, KnownHandler, Note, RunFinishedError, Stats, StoredEvent
from leadpay.storage import Lease, LeaseLostError
from leadpay.storage.postgres.encoding import date, escaped, key, plain, utc, within
from leadpay.storage.postgres.pool import Rollback, in_transaction
from leadpay.storage.postgres.transaction import FinalStatement
from leadpay.webhooks.secrets import SecretUse

if TYPE_CHECKING:
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

_LATER: Final = f"{_NOW} + make_interval(secs => %({{}})s::double precision)"
"""A time so many seconds from now; NULL if the number is."""

MAX_DELAY: Final = 1e12
"""The longest delay, in seconds: PostgreSQL's times end in the year 294276."""

# The statements, in the order of an event's life. Tables are described in schema/postgres.

_BUMPED: Final = """
ON CONFLICT (consumer, ordering_key) DO UPDATE SET
    revision = old.revision + 1, needs = NULL,
    due_at = CASE WHEN old.leased THEN old.due_at ELSE least(old.due_at, excluded.due_at) END"""
"""While a key is leased, due_at is when the lease ends, and the revision tells its holder."""

# IDs in order, then keys in order, so that two of these statements cannot deadlock.
ADD: Final = f"""
WITH given AS MATERIALIZED (
    SELECT nextval('leadpay_events_number_seq') AS number, one.*
    FROM unnest(%(ids)s::text[], %(keys)s::text[], %(types)s::text[], %(created)s::timestamptz[],
                %(versions)s::timestamptz[], %(received)s::timestamptz[], %(bodies)s::bytea[])
        AS one (id, ordering_key, type, created_at, version, received_at, body)
), new AS (
    INSERT INTO leadpay_events (number, id, ordering_key, type, created_at, version, received_at, body)
    SELECT number, id, ordering_key, type, created_at, version, received_at, body FROM given ORDER BY id COLLATE "C"
    ON CONFLICT (id) DO NOTHING RETURNING number, id, ordering_key
), waits AS (
    INSERT INTO leadpay_pending (consumer, ordering_key, number)
    SELECT one.id, new.ordering_key, new.number FROM new, leadpay_consumers AS one
), bumped AS (
    INSERT INTO leadpay_ordering_keys AS old (consumer, ordering_key, due_at, revision)
    SELECT one.id, come.ordering_key, {_NOW}, 1
    FROM (SELECT DISTINCT ordering_key FROM new) AS come, leadpay_consumers AS one ORDER BY 1, 2 {_BUMPED}
)
SELECT ARRAY(SELECT id FROM new), set_config('synchronous_commit', %(durable)s, true), pg_notify('{CHANNEL}', '')"""  # noqa: S608 - constants

# A second copy of an event that waits makes it due at once. One that another connection adds at this moment is in no
# snapshot yet: its own statement makes the key due.
MAKE_DUE: Final = f"""
WITH known AS MATERIALIZED (
    SELECT pending.* FROM leadpay_events AS kept JOIN leadpay_pending AS pending USING (ordering_key, number)
    WHERE kept.id = ANY (%(ids)s)
), bumped AS (
    INSERT INTO leadpay_ordering_keys AS old (consumer, ordering_key, due_at, revision)
    SELECT DISTINCT consumer, ordering_key, {_NOW}, 1 FROM known ORDER BY 1, 2 {_BUMPED}
    RETURNING consumer, ordering_key
)
UPDATE leadpay_handler_runs AS waiting SET due_at = {_NOW} FROM known JOIN bumped USING (consumer, ordering_key)
WHERE waiting.consumer = known.consumer AND waiting.number = known.number AND waiting.state = 'waiting'
    AND waiting.due_at > {_NOW}"""  # noqa: S608 - constants

ADD_UNREADABLE: Final = """
WITH new AS (
    INSERT INTO leadpay_events (id, ordering_key, type, created_at, received_at, body)
    VALUES (%(id)s, %(ordering_key)s, %(type)s, %(created_at)s, %(received_at)s, %(body)s)
    ON CONFLICT (id) DO NOTHING RETURNING number
), aside AS (
    INSERT INTO leadpay_set_aside (consumer, number, state, reason)
    SELECT id, number, 'unreadable', %(problems)s FROM new, leadpay_consumers
)
SELECT count(*), set_config('synchronous_commit', %(durable)s, true) FROM new"""

# A claim only locks and leases. Its events are read by the next statements, by snapshots newer than the locks: an
# older snapshot may show an event as waiting that another worker has just finished.
CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    SELECT ordering_key FROM leadpay_ordering_keys
    WHERE consumer = %(consumer)s AND due_at <= {_NOW} AND (needs IS NULL OR needs = ANY (%(has)s))
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE leadpay_ordering_keys AS one SET
    fencing_token = nextval('leadpay_fencing_tokens'), abandoned = one.abandoned + one.leased::integer,
    leased = true, needs = NULL, due_at = {_LATER.format("lease")}
FROM due WHERE one.consumer = %(consumer)s AND one.ordering_key = due.ordering_key
RETURNING one.ordering_key, one.fencing_token, one.abandoned, one.revision, extract(epoch FROM {_NOW})"""  # noqa: S608 - constants

# Without time zones: the session's own may be any.
_EVENT: Final = """
    e.number, e.id, e.ordering_key, e.type, e.created_at AT TIME ZONE 'UTC' AS created, e.version AT TIME ZONE 'UTC',
    e.received_at AT TIME ZONE 'UTC', e.body"""

WAITING: Final = f"""
SELECT {_EVENT}, 'waiting', NULL, p.only_handlers
FROM leadpay_pending AS p JOIN leadpay_events AS e USING (number)
WHERE p.consumer = %(consumer)s AND p.ordering_key = ANY (%(keys)s) ORDER BY e.created_at, e.number"""  # noqa: S608 - a constant

_RUN: Final = "r.number, r.handler, r.state, r.attempts, extract(epoch FROM r.due_at), r.error"

RUNS: Final = f"""
SELECT {_RUN} FROM leadpay_handler_runs AS r
WHERE r.consumer = %(consumer)s AND r.number = ANY (%(numbers)s)"""  # noqa: S608 - a constant

WAITING_RUNS: Final = f"""
SELECT {_RUN} FROM leadpay_pending AS p JOIN leadpay_handler_runs AS r USING (consumer, number)
WHERE p.consumer = %(consumer)s AND p.ordering_key = ANY (%(keys)s)"""  # noqa: S608 - a constant

# What is through and newer than something that waits.
NEWER: Final = f"""
SELECT {_EVENT}, coalesce(s.state, 'done'), NULL, NULL FROM (
    SELECT p.ordering_key, min(version) AS version FROM leadpay_pending AS p JOIN leadpay_events USING (number)
    WHERE p.consumer = %(consumer)s AND p.ordering_key = ANY (%(keys)s) GROUP BY p.ordering_key
) AS waits JOIN leadpay_events AS e ON e.ordering_key = waits.ordering_key AND e.version > waits.version
LEFT JOIN leadpay_set_aside AS s ON s.consumer = %(consumer)s AND s.number = e.number
WHERE NOT EXISTS (
    SELECT FROM leadpay_pending AS p
    WHERE p.consumer = %(consumer)s AND p.ordering_key = e.ordering_key AND p.number = e.number)"""  # noqa: S608 - a constant

_KEY: Final = "consumer = %(consumer)s::smallint AND ordering_key = %(ordering_key)s::text"

_HELD: Final = f"{_KEY} AND fencing_token = %(fencing_token)s::bigint AND leased"

# The only handler of an event succeeded at once. This is one statement, so that it can be sent with the commit, and it
# fails if nothing is to be kept: also if the event was replayed since the claim. A DELETE looks at the newest version
# of its row, however old the statement's snapshot is.
FINISH: Final = f"""
WITH held AS MATERIALIZED (SELECT revision FROM leadpay_ordering_keys WHERE {_HELD} FOR UPDATE),
event AS MATERIALIZED (SELECT number FROM leadpay_events WHERE id = %(id)s::text),
finished AS (
    DELETE FROM leadpay_pending USING held
    WHERE {_KEY} AND number = (SELECT number FROM event) AND only_handlers IS NULL AND NOT replayed
    RETURNING 1
), forgotten AS (
    DELETE FROM leadpay_ordering_keys USING held
    WHERE {_HELD} AND %(releases)s::boolean AND held.revision = %(revision)s::bigint AND NOT EXISTS (
        SELECT FROM leadpay_pending WHERE {_KEY} AND number <> (SELECT number FROM event))
    RETURNING 1
), released AS (
    UPDATE leadpay_ordering_keys SET leased = false, abandoned = 0, due_at = to_timestamp(0) FROM held
    WHERE {_HELD} AND %(releases)s::boolean AND held.revision > %(revision)s::bigint
    RETURNING 1
)
SELECT (SELECT revision > %(revision)s::bigint FROM held), 1 / (SELECT count(*) FROM finished)::integer,
    set_config('synchronous_commit', %(durable)s::text, true)"""  # noqa: S608 - constants

IS_HELD: Final = f"""
SELECT EXISTS (
    SELECT FROM leadpay_pending WHERE {_KEY} AND number = (SELECT number FROM leadpay_events WHERE id = %(id)s::text))
FROM leadpay_ordering_keys WHERE {_HELD}"""  # noqa: S608 - a constant

LOCK: Final = f"""
SELECT revision > %(revision)s::bigint, (SELECT number FROM leadpay_events WHERE id = %(id)s::text),
    set_config('idle_in_transaction_session_timeout', %(idle_limit)s::text, true),
    set_config('synchronous_commit', %(durable)s::text, true)
FROM leadpay_ordering_keys WHERE {_HELD} FOR UPDATE"""  # noqa: S608 - constants

# Any write except a heartbeat resets the count of abandoned leases.
PROLONG: Final = f"""
UPDATE leadpay_ordering_keys SET
    due_at = {_LATER.format("lease")}, abandoned = CASE WHEN %(is_result)s::boolean THEN 0 ELSE abandoned END
WHERE {_HELD} RETURNING revision > %(revision)s::bigint, revision, extract(epoch FROM {_NOW})"""  # noqa: S608 - constants

RECORD_RUN: Final = f"""
INSERT INTO leadpay_handler_runs AS old (consumer, number, handler, state, attempts, due_at, error)
VALUES (%(consumer)s::smallint, %(number)s::bigint, %(handler)s::text, %(state)s::text, %(attempts)s::bigint,
    {_LATER.format("delay")}, %(error)s::text)
ON CONFLICT (consumer, number, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = excluded.error
WHERE old.state = 'waiting' RETURNING true"""  # noqa: S608 - constants

# If new work arrived for this key since the claim, an event with a waiting handler stays open: it may have been
# replayed.
CLOSE: Final = f"""
DELETE FROM leadpay_pending
WHERE {_KEY} AND number = %(number)s::bigint AND (NOT %(has_new_work)s::boolean OR NOT EXISTS (
    SELECT FROM leadpay_handler_runs
    WHERE consumer = %(consumer)s::smallint AND number = %(number)s::bigint AND state = 'waiting'))
RETURNING only_handlers"""  # noqa: S608 - a constant

IS_PENDING: Final = f"SELECT true FROM leadpay_pending WHERE {_KEY} AND number = %(number)s::bigint"  # noqa: S608 - a constant

SET_ASIDE: Final = """
INSERT INTO leadpay_set_aside (consumer, number, state, reason, only_handlers)
VALUES (%(consumer)s::smallint, %(number)s::bigint, %(state)s::text, %(reason)s::text, %(only)s::text[])
ON CONFLICT (consumer, number) DO UPDATE SET
    state = excluded.state, reason = excluded.reason, only_handlers = excluded.only_handlers
RETURNING true"""

TAKE_BACK: Final = """
DELETE FROM leadpay_set_aside WHERE consumer = %(consumer)s::smallint AND number = %(number)s::bigint RETURNING true"""

# An ordering key without new work and without a waiting event needs no row.
FORGET_KEY: Final = f"""
DELETE FROM leadpay_ordering_keys WHERE {_HELD} AND revision = %(revision)s::bigint AND NOT EXISTS (
    SELECT FROM leadpay_pending WHERE {_KEY})
RETURNING true"""  # noqa: S608 - constants

RELEASE: Final = f"""
UPDATE leadpay_ordering_keys SET leased = false, abandoned = %(abandoned)s::integer,
    needs = CASE WHEN revision > %(revision)s::bigint THEN NULL ELSE %(needs)s::text END,
    due_at = CASE WHEN revision > %(revision)s::bigint THEN to_timestamp(0)
        ELSE coalesce({_LATER.format("delay")}, {_NOW}) END
WHERE {_HELD} RETURNING revision > %(revision)s::bigint OR %(delay)s::double precision IS NULL"""  # noqa: S608 - constants

# What a person does takes several statements, and so a transaction that locks the ordering key first.
BUMP: Final = f"""
INSERT INTO leadpay_ordering_keys AS old (consumer, ordering_key, due_at, revision)
VALUES (%(consumer)s, %(ordering_key)s, {_NOW}, 1) {_BUMPED}
RETURNING set_config('idle_in_transaction_session_timeout', %(idle_limit)s, true)"""  # noqa: S608 - constants

ORDERING_KEY: Final = "SELECT number, ordering_key FROM leadpay_events WHERE id = %(id)s"

# Locked, since a purge doesn't lock the ordering key.
KNOWN: Final = """
SELECT e.body IS NOT NULL, p.number IS NOT NULL, coalesce(p.only_handlers, s.only_handlers), s.state
FROM leadpay_events AS e
LEFT JOIN leadpay_pending AS p
    ON p.consumer = %(consumer)s AND p.ordering_key = e.ordering_key AND p.number = e.number
LEFT JOIN leadpay_set_aside AS s ON s.consumer = %(consumer)s AND s.number = e.number
WHERE e.number = %(number)s FOR UPDATE OF e"""

REVIVE: Final = f"""
UPDATE leadpay_handler_runs SET state = 'waiting', attempts = 0, due_at = {_NOW}
WHERE consumer = %(consumer)s AND number = %(number)s AND state = 'dead'"""  # noqa: S608 - a constant

BEGIN_AGAIN: Final = f"""
INSERT INTO leadpay_handler_runs (consumer, number, handler, state, attempts, due_at)
VALUES (%(consumer)s, %(number)s, %(handler)s, 'waiting', 0, {_NOW})
ON CONFLICT (consumer, number, handler) DO UPDATE SET
    state = excluded.state, attempts = excluded.attempts, due_at = excluded.due_at, error = NULL"""  # noqa: S608 - a constant

REOPEN: Final = """
INSERT INTO leadpay_pending (consumer, ordering_key, number, only_handlers)
VALUES (%(consumer)s, %(ordering_key)s, %(number)s, %(only)s)
ON CONFLICT (consumer, ordering_key, number) DO UPDATE SET
    only_handlers = excluded.only_handlers, replayed = true"""

DISCARD: Final = f"DELETE FROM leadpay_pending WHERE {_KEY} AND number = %(number)s"  # noqa: S608 - a constant

UNREADABLE: Final = """
SELECT number, body FROM leadpay_events AS e WHERE id = %(id)s AND EXISTS (
    SELECT FROM leadpay_set_aside AS s WHERE s.number = e.number AND state = 'unreadable')"""

LOCK_EVENT: Final = "SELECT FROM leadpay_events WHERE number = %(number)s FOR UPDATE"

READABLE: Final = "DELETE FROM leadpay_set_aside WHERE number = %(number)s AND state = 'unreadable' RETURNING consumer"

TWIN: Final = "SELECT FROM leadpay_events WHERE id = %(id)s AND number <> %(number)s"

DELETE_EVENT: Final = "DELETE FROM leadpay_events WHERE number = %(number)s"

READ: Final = """
UPDATE leadpay_events SET id = %(id)s, ordering_key = %(ordering_key)s, type = %(type)s, created_at = %(created_at)s,
    version = %(version)s
WHERE number = %(number)s"""

CONSUMERS: Final = "SELECT id, name, is_registered, since FROM leadpay_consumers ORDER BY id"

# One registration at a time. An event is added before it, and has a number that is not greater than ``since``, or sees
# what it has registered.
REGISTERING: Final = "LOCK TABLE leadpay_consumers IN SHARE ROW EXCLUSIVE MODE"
NO_EVENT_MEANWHILE: Final = "LOCK TABLE leadpay_events IN SHARE MODE"

TAKE_OVER: Final = "UPDATE leadpay_consumers SET name = %(name)s, is_registered = true WHERE id = 1"

NEW_CONSUMER: Final = """
INSERT INTO leadpay_consumers (id, name, is_registered, since)
SELECT max(id) + 1, %(name)s, true, (SELECT coalesce(max(number), 0) FROM leadpay_events) FROM leadpay_consumers
RETURNING id"""

HANDLERS: Final = "SELECT name, patterns, since FROM leadpay_handlers WHERE consumer = %(consumer)s ORDER BY name"

REGISTER: Final = """
INSERT INTO leadpay_handlers (consumer, name, patterns, since)
VALUES (%(consumer)s, %(name)s, %(patterns)s,
    coalesce(%(since)s::bigint, (SELECT coalesce(max(number), 0) FROM leadpay_events)))
ON CONFLICT (consumer, name) DO UPDATE SET patterns = excluded.patterns"""

FORGET_HANDLER: Final = "DELETE FROM leadpay_handlers WHERE consumer = %(consumer)s AND name = %(name)s"

FREE_KEYS: Final = "UPDATE leadpay_ordering_keys SET needs = NULL WHERE consumer = %(consumer)s AND needs = %(name)s"

PURGE: Final = """
UPDATE leadpay_events SET body = NULL WHERE number = ANY (ARRAY(
    SELECT e.number FROM leadpay_events AS e
    WHERE body IS NOT NULL AND received_at < %(before)s AND NOT EXISTS (
        SELECT FROM leadpay_pending AS p WHERE p.ordering_key = e.ordering_key AND p.number = e.number
            AND p.consumer IN (SELECT id FROM leadpay_consumers)
    ) AND NOT EXISTS (
        SELECT FROM leadpay_set_aside AS s WHERE s.number = e.number AND s.state <> 'discarded'
            AND s.consumer IN (SELECT id FROM leadpay_consumers)
    )
    ORDER BY received_at LIMIT %(page)s FOR UPDATE SKIP LOCKED))"""

LOCK_ERASED: Final = """
UPDATE leadpay_ordering_keys SET revision = revision + 1 WHERE ordering_key = %(ordering_key)s"""

DISCARD_ERASED: Final = """
WITH waited AS (DELETE FROM leadpay_pending WHERE ordering_key = %(ordering_key)s RETURNING *)
INSERT INTO leadpay_set_aside (consumer, number, state, reason, only_handlers)
SELECT consumer, number, 'discarded', 'erased', only_handlers FROM waited
ON CONFLICT (consumer, number) DO UPDATE SET state = 'discarded', reason = 'erased'"""

ERASE: Final = "UPDATE leadpay_events SET body = NULL WHERE ordering_key = %(ordering_key)s AND body IS NOT NULL"

COUNT: Final = """
SELECT 'all', type, count(*) FROM leadpay_events WHERE number > %(since)s GROUP BY type
UNION ALL
SELECT CASE WHEN number > %(since)s THEN 'waiting' ELSE 'waiting, older' END AS word, type, count(*)
FROM leadpay_pending JOIN leadpay_events USING (number) WHERE consumer = %(consumer)s GROUP BY word, type
UNION ALL
SELECT CASE WHEN s.number > %(since)s THEN state ELSE state || ', older' END AS word, type, count(*)
FROM leadpay_set_aside AS s JOIN leadpay_events AS e ON e.number = s.number
LEFT JOIN leadpay_pending AS p
    ON p.consumer = %(consumer)s AND p.ordering_key = e.ordering_key AND p.number = e.number
WHERE s.consumer = %(consumer)s AND p.number IS NULL GROUP BY word, type"""

OLDEST: Final = """
SELECT received_at AT TIME ZONE 'UTC' FROM leadpay_events
WHERE number = (SELECT min(number) FROM leadpay_pending WHERE consumer = %(consumer)s)"""

# The first rows of each table that changes: enough to notice most changes, however many rows there are.
REVISION: Final = """
SELECT (SELECT max(number) FROM leadpay_events), (SELECT last_value FROM leadpay_fencing_tokens),
    (SELECT count(*) FROM (SELECT FROM leadpay_pending LIMIT 1000) AS p),
    (SELECT sum(revision) || '/' || sum(extract(epoch FROM due_at))
        FROM (SELECT revision, due_at FROM leadpay_ordering_keys LIMIT 1000) AS k),
    (SELECT sum(number + length(state)) FROM (SELECT number, state FROM leadpay_set_aside LIMIT 1000) AS s)"""

NOTE: Final = """
INSERT INTO leadpay_notes (number, at, action, done_by, reason)
VALUES (%(number)s, %(at)s, %(action)s, %(by)s, %(reason)s)"""

NOTES: Final = """
SELECT at AT TIME ZONE 'UTC', action, done_by, reason FROM leadpay_notes WHERE number = %(number)s ORDER BY at, ctid"""

_STATE: Final = """
CASE WHEN p.number IS NOT NULL THEN 'waiting' WHEN s.number IS NOT NULL THEN s.state
WHEN e.number > %(since)s OR EXISTS (
    SELECT FROM leadpay_handler_runs AS r WHERE r.consumer = %(consumer)s AND r.number = e.number) THEN 'done' END"""

LISTED: Final = f"""
SELECT {_EVENT}, {_STATE}, s.reason, p.only_handlers FROM leadpay_events AS e
LEFT JOIN leadpay_pending AS p
    ON p.consumer = %(consumer)s AND p.ordering_key = e.ordering_key AND p.number = e.number
LEFT JOIN leadpay_set_aside AS s ON s.consumer = %(consumer)s AND s.number = e.number
WHERE {{}} ORDER BY e.number DESC LIMIT %(limit)s"""  # noqa: S608 - constants

IN_STATE: Final[Mapping[str, str]] = {
    "waiting": "p.number IS NOT NULL",
    "done": f"p.number IS NULL AND s.number IS NULL AND {_STATE} IS NOT NULL",
}
"""Conditions; any other state is one of an event that was set aside."""

ASIDE: Final = "p.number IS NULL AND s.state = %(state)s"

WATERMARK: Final = "SELECT time AT TIME ZONE 'UTC' FROM leadpay_watermark"

SET_WATERMARK: Final = """
INSERT INTO leadpay_watermark AS old (time) VALUES (%(time)s)
ON CONFLICT (one) DO UPDATE SET time = greatest(old.time, excluded.time)"""

# Refused by a server that doesn't write, without waiting for anybody's lock.
PROBE: Final = "DELETE FROM leadpay_watermark WHERE false"

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


def row(new: NewEvent) -> tuple[Any, ...]:
    """Give an event's columns, the ID first."""
    version = None if new.version is None else within(new.version)
    times = (within(new.created_at), version, within(new.received_at))
    return (key(new.event_id), key(new.ordering_key), key(new.type), *times, new.body)


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
        added = set(new)
        if len(added) < len(rows):
            known = [one for one in columns["ids"] if one not in added]
            await connection.execute(MAKE_DUE, {"ids": known, "now": now})
        return added

    async def add_unreadable(self, connection: "Connection", new: NewEvent) -> bool:
        """Insert bytes that cannot be read."""
        event_id, ordering_key, event_type, created_at, _, received_at, body = row(new)
        given = {
            "id": event_id,
            "ordering_key": ordering_key,
            "type": event_type,
            "created_at": created_at,
            "received_at": received_at,
            "body": body,
            "problems": escaped(new.problems or ""),
            "durable": DURABLE,
        }
        count, *_ = await _row(connection, ADD_UNREADABLE, given)
        return bool(count)

    async def claim(
        self,
        connection: "Connection",
        *,
        consumer: int,
        has: Collection[str] | None,
        limit: int,
        now: float,
        seconds: float,
    ) -> list[Claim]:
        """Lease keys that are due, and read their events; a key without a waiting event is released again."""
        given = {
            "now": self._now(now),
            "lease": _delay(seconds),
            "limit": limit,
            "consumer": consumer,
            "has": [escaped(one) for one in has or ()],
        }
        claimed = await (await connection.execute(CLAIM, given)).fetchall()
        if not claimed:
            return []
        leases = [
            Lease(
                ordering_key=plain(ordering_key),
                fencing_token=fencing_token,
                until=now + seconds,
                seconds=seconds,
                revision=revision,
                consumer=consumer,
                abandoned=abandoned,
            )
            for ordering_key, fencing_token, abandoned, revision, _ in claimed
        ]
        return await self._claims(connection, consumer, leases, now=now, database_now=float(claimed[0][-1]))

    async def refresh(self, connection: "Connection", *, lease: Lease, now: float) -> Claim | None:
        """Prolong a lease, and read its events again; None if nothing waits, and the key is released."""
        given = {**self._lease(lease, now), "is_result": False}
        _, revision, database_now = self._held(await (await connection.execute(PROLONG, given)).fetchone(), lease)
        renewed = attrs.evolve(lease, until=now + lease.seconds, revision=revision)
        claims = await self._claims(connection, lease.consumer, [renewed], now=now, database_now=float(database_now))
        return claims[0] if claims else None

    async def _claims(
        self,
        connection: "Connection",
        consumer: int,
        leases: Sequence[Lease],
        *,
        now: float,
        database_now: float,
    ) -> list[Claim]:
        """Read the events of leased keys; a key without a waiting event is released again."""
        keys = [key(lease.ordering_key) for lease in leases]
        given = {"consumer": consumer, "keys": keys}
        async with connection.pipeline():
            reading = await connection.execute(WAITING, given)
            # Read after the events: every handler is known that was registered before one of them was added.
            reading_handlers = await connection.execute(HANDLERS, given)
            reading_runs = await connection.execute(WAITING_RUNS, given)
            reading_newer = await connection.execute(NEWER, given)
        handlers = _known_handlers(await reading_handlers.fetchall())
        # A handler run's due time by the caller's clock, which is compared with it.
        runs = _runs(await reading_runs.fetchall(), ahead=now - database_now)
        waiting: dict[str, list[StoredEvent]] = {}
        for columns in await reading.fetchall():
            waiting.setdefault(columns[2], []).append(_event(columns, runs))
        newer: dict[str, list[StoredEvent]] = {}
        if found := await reading_newer.fetchall():
            runs = await self._runs(connection, consumer, [one[0] for one in found])
            for columns in found:
                newer.setdefault(columns[2], []).append(_event(columns, runs))
        claims = []
        for ordering_key, lease in zip(keys, leases, strict=True):
            if ordering_key in waiting:
                claims.append(
                    Claim(
                        lease=lease,
                        events=waiting[ordering_key],
                        newer=newer.get(ordering_key, ()),
                        handlers=handlers,
                        abandoned=lease.abandoned,
                    )
                )
            else:
                await self.release(connection, lease=lease, due_at=None, now=now, abandoned=0, needs=None)
        return claims

    async def _runs(
        self, connection: "Connection", consumer: int, numbers: Sequence[int]
    ) -> dict[int, dict[str, HandlerRun]]:
        """Read the runs of events."""
        given = {"consumer": consumer, "numbers": list(numbers)}
        return _runs(await (await connection.execute(RUNS, given)).fetchall())

    async def record_result(
        self,
        connection: "Connection",
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        reason: str | None = None,
        releases: bool = False,
        again: bool = False,
        idle_limit: str = IDLE_LIMIT,
    ) -> bool:
        """Record how a handler ended, if the lease still holds, and say whether new work arrived.

        ``again`` says that this may have been done before, over a connection that was lost: a run that is finished was
        finished by this very lease then, unless there is new work.
        """
        given = {
            **self._lease(lease, now),
            "id": key(event_id),
            "is_result": run is not None or closes is not None,
            "idle_limit": idle_limit,
            "durable": DURABLE,
        }
        if run is None and closes is None:
            return bool(self._held(await (await connection.execute(PROLONG, given)).fetchone(), lease)[0])
        if not in_transaction(connection) and (
            final := self.final(lease=lease, event_id=event_id, run=run, closes=closes, now=now, releases=releases)
        ):
            finished = await final.execute(connection)
            if finished is not None:
                return finished
        steps = self.completion(
            lease=lease,
            event_id=event_id,
            run=run,
            closes=closes,
            now=now,
            reason=reason,
            releases=releases,
            again=again,
            idle_limit=idle_limit,
        )
        if in_transaction(connection):
            return await _execute(connection, steps)
        async with connection.transaction():
            return await _execute(connection, steps)

    def final(
        self,
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        releases: bool,
        **_: Any,
    ) -> FinalStatement[bool] | None:
        """Give the one statement that records that an event's only handler succeeded at once, if that is the result."""
        if run is not None or closes != "done" or (lease.abandoned and not releases):
            return None
        given = {**self._lease(lease, now), "id": key(event_id), "releases": releases, "durable": DURABLE}

        async def fail(connection: "Connection") -> bool:
            held = self._held(await (await connection.execute(IS_HELD, given)).fetchone(), lease)
            if held[0]:
                raise InboxError(f"{event_id} was replayed while it was handled")
            raise RunFinishedError(f"{event_id} was finished by another worker")

        return FinalStatement(FINISH, given, lambda row: bool(row[0]), fail)

    def completion(
        self,
        *,
        lease: Lease,
        event_id: str,
        run: HandlerRun | None,
        closes: EventState | None,
        now: float,
        reason: str | None = None,
        releases: bool = False,
        again: bool = False,
        idle_limit: str = IDLE_LIMIT,
    ) -> Completion:
        """Give the statements that record a result, the ordering key locked first, in a transaction that was begun."""
        given = {
            **self._lease(lease, now),
            "id": key(event_id),
            "is_result": True,
            "idle_limit": idle_limit,
            "durable": DURABLE,
        }
        held = self._held(next(iter((yield LOCK, given)), None), lease)
        has_new_work, number = bool(held[0]), held[1]
        given |= {"number": number, "has_new_work": has_new_work}
        is_finished = False
        if run is not None:
            is_finished = not (yield RECORD_RUN, {**given, **self._run(run, now)})
        if closes is not None:
            if closed := (yield CLOSE, given):
                yield from self._set_aside(given, closes, reason, closed[0][0])
            elif not has_new_work or not (yield IS_PENDING, given):
                is_finished = True
        if is_finished and (has_new_work or not again):
            raise RunFinishedError(f"{event_id} was finished by another worker")
        if releases:
            yield from self._release(lease, due_at=None, now=now, abandoned=0, needs=None)
        elif run is not None or lease.abandoned:
            yield PROLONG, given
        return has_new_work

    def _set_aside(
        self, given: Mapping[str, Any], state: EventState, reason: str | None, only: Sequence[str] | None
    ) -> Steps[None]:
        """Keep the state of an event that is through, unless it is done."""
        if state == "unhandled" and only is not None:
            return  # The handler that it was replayed for doesn't take it, so it is again what it was before.
        if state != "done":
            yield SET_ASIDE, {**given, "state": state, "reason": reason and escaped(reason), "only": only}
        elif only is not None:
            yield TAKE_BACK, given

    def _run(self, run: HandlerRun, now: float) -> dict[str, Any]:
        return {
            "handler": escaped(run.handler),
            "state": run.state,
            "attempts": run.attempts,
            "delay": None if run.due_at is None else _delay(run.due_at - now),
            "error": run.error and escaped(run.error),
        }

    def _lease(self, lease: Lease, now: float) -> dict[str, Any]:
        return {
            "consumer": lease.consumer,
            "ordering_key": key(lease.ordering_key),
            "fencing_token": lease.fencing_token,
            "revision": lease.revision,
            "lease": _delay(lease.seconds),
            "now": self._now(now),
        }

    def _held(self, row: tuple[Any, ...] | None, lease: Lease) -> tuple[Any, ...]:
        if row is None:
            raise LeaseLostError(f"{lease.ordering_key} is worked on by another worker")
        return row

    async def release(
        self,
        connection: "Connection",
        *,
        lease: Lease,
        due_at: float | None,
        now: float,
        abandoned: int,
        needs: str | None,
    ) -> bool:
        """Give a key back, and say whether it is due at once."""
        steps = self._release(lease, due_at=due_at, now=now, abandoned=abandoned, needs=needs)
        return await _execute(connection, steps)

    def _release(
        self, lease: Lease, *, due_at: float | None, now: float, abandoned: int, needs: str | None
    ) -> Steps[bool]:
        given = {
            **self._lease(lease, now),
            "delay": None if due_at is None else _delay(due_at - now),
            "abandoned": abandoned,
            "needs": needs and escaped(needs),
        }
        if due_at is None and (yield FORGET_KEY, given):
            return False
        return bool((yield RELEASE, given) == [(True,)])

    async def consumers(self, connection: "Connection") -> list[tuple[int, str, bool, int]]:
        """List ID, name, whether it is registered, and since when."""
        found = await (await connection.execute(CONSUMERS)).fetchall()
        return [(one[0], plain(one[1]), one[2], one[3]) for one in found]

    async def register(
        self,
        connection: "Connection",
        *,
        consumer: str,
        takes_over: bool,
        handlers: Mapping[str, Sequence[str]],
        aliases: Mapping[str, str],
    ) -> int:
        """Register a consumer and its handlers, and give the consumer's ID."""
        registered = {name: number for number, name, done, _ in await self.consumers(connection) if done}
        if consumer in registered:
            known = await self.known_handlers(connection, consumer=registered[consumer])
            same = all(name in known and known[name].patterns == tuple(one) for name, one in handlers.items())
            if same and not set(aliases) - set(handlers) & set(known):
                return registered[consumer]
        async with connection.transaction():
            await connection.execute(REGISTERING)
            await connection.execute(NO_EVENT_MEANWHILE)
            known_ids = {name: (number, done) for number, name, done, _ in await self.consumers(connection)}
            free = [number for number, done in known_ids.values() if not done]
            since: int | None = None
            if consumer in known_ids and known_ids[consumer][1]:
                number = known_ids[consumer][0]
            elif free and takes_over:
                # Nothing was handled before, so there is nothing that its handlers can have missed.
                number, since = free[0], 0
                await connection.execute(TAKE_OVER, {"name": escaped(consumer)})
            else:
                (number,) = await _row(connection, NEW_CONSUMER, {"name": escaped(consumer)})
            await self._register_handlers(connection, number, handlers, aliases, since=since)
        return number

    async def _register_handlers(
        self,
        connection: "Connection",
        consumer: int,
        handlers: Mapping[str, Sequence[str]],
        aliases: Mapping[str, str],
        *,
        since: int | None,
    ) -> None:
        before = await self.known_handlers(connection, consumer=consumer)
        for name, patterns in handlers.items():
            renamed = [before[old].since for old, new in aliases.items() if new == name and old in before]
            given = {"consumer": consumer, "name": escaped(name), "patterns": list(patterns)}
            await connection.execute(REGISTER, {**given, "since": min(renamed, default=since)})
        for old in aliases:
            if old in before and old not in handlers:
                await self.forget_handler(connection, consumer=consumer, handler=old)

    async def known_handlers(self, connection: "Connection", *, consumer: int) -> dict[str, KnownHandler]:
        """List the handlers of a consumer."""
        return _known_handlers(await (await connection.execute(HANDLERS, {"consumer": consumer})).fetchall())

    async def forget_handler(self, connection: "Connection", *, consumer: int, handler: str) -> bool:
        """Forget a handler, so that nothing waits for it."""
        given = {"consumer": consumer, "name": escaped(handler)}
        await connection.execute(FREE_KEYS, given)
        return bool((await connection.execute(FORGET_HANDLER, given)).rowcount)

    async def stats(self, connection: "Connection", *, consumer: int, since: int) -> Stats:
        """Count."""
        given = {"consumer": consumer, "since": since}
        rows = await (await connection.execute(COUNT, given)).fetchall()
        oldest = await (await connection.execute(OLDEST, given)).fetchone()
        by_type = add_up((word, plain(event_type), count) for word, event_type, count in rows)
        return Stats.of(by_type, None if oldest is None else utc(oldest[0]))

    async def page(
        self,
        connection: "Connection",
        *,
        consumer: int,
        since: int,
        wanted: Mapping[str, str | None],
        before: int,
        limit: int,
    ) -> list[StoredEvent]:
        """Read the newest events before a number; ``wanted`` maps ``id``, ``type`` and ``state`` to values."""
        given = {name: key(value) for name, value in wanted.items() if value is not None}
        conditions = ["e.number < %(before)s", *(f"e.{name} = %({name})s" for name in given if name != "state")]
        if "state" in given:
            conditions.append(IN_STATE.get(given["state"], ASIDE))
        elif "id" not in given:
            conditions.append(f"{_STATE} IS NOT NULL")
        sql = LISTED.format(" AND ".join(conditions)).encode()
        values = {**given, "consumer": consumer, "since": since, "before": before, "limit": limit}
        rows = await (await connection.execute(sql, values)).fetchall()
        runs = await self._runs(connection, consumer, [one[0] for one in rows]) if rows else {}
        return [_event(one, runs) for one in rows]

    async def note(self, connection: "Connection", *, number: int, note: Note) -> None:
        """Keep what a person did to an event."""
        texts = {"action": escaped(note.action), "by": escaped(note.by), "reason": escaped(note.reason)}
        await connection.execute(NOTE, {"number": number, "at": within(note.at), **texts})

    async def notes(self, connection: "Connection", *, number: int) -> list[Note]:
        """List what people did to an event."""
        rows = await (await connection.execute(NOTES, {"number": number})).fetchall()
        return [
            Note(at=utc(at), action=plain(action), by=plain(by), reason=plain(reason))
            for at, action, by, reason in rows
        ]

    async def revision(self, connection: "Connection") -> str:
        """Tell whether something has changed."""
        return str(await (await connection.execute(REVISION)).fetchone())

    async def replay(
        self, connection: "Connection", *, consumer: int, event_id: str, handler: str | None, now: float
    ) -> bool:
        """Bring an event back, if there is something to replay."""
        given = {
            "consumer": consumer,
            "id": key(event_id),
            "handler": handler and escaped(handler),
            "now": self._now(now),
            "idle_limit": IDLE_LIMIT,
        }
        async with connection.transaction() as transaction:
            found = await (await connection.execute(ORDERING_KEY, given)).fetchone()
            if found is None:
                return False
            given |= {"number": found[0], "ordering_key": found[1]}
            await connection.execute(BUMP, given)
            has_body, is_pending, only, state = await _row(connection, KNOWN, given)
            if has_body and state != "unreadable":
                if handler is not None:
                    await connection.execute(BEGIN_AGAIN, given)
                    if only is not None or not (is_pending or state):
                        only = sorted({given["handler"], *(only or ())})
                    await connection.execute(REOPEN, {**given, "only": only})
                    return True
                if (await connection.execute(REVIVE, given)).rowcount or state in ("discarded", "unhandled"):
                    await connection.execute(TAKE_BACK, given)
                    await connection.execute(REOPEN, {**given, "only": only})
                    return True
            raise Rollback(transaction)
        return False

    async def unreadable(self, connection: "Connection", *, event_id: str) -> tuple[int, bytes] | None:
        """Give the number and the bytes of an event, if it has them."""
        found = await (await connection.execute(UNREADABLE, {"id": key(event_id)})).fetchone()
        return None if found is None or found[1] is None else (found[0], found[1])

    async def make_readable(self, connection: "Connection", *, number: int, new: NewEvent, now: float) -> bool:
        """Give an event that could not be read its columns, and have it handled; drop it if it is known by its ID."""
        event_id, ordering_key, event_type, created_at, version, *_ = row(new)
        given = {
            "number": number,
            "id": event_id,
            "ordering_key": ordering_key,
            "type": event_type,
            "created_at": created_at,
            "version": version,
            "now": self._now(now),
            "idle_limit": IDLE_LIMIT,
            "only": None,
        }
        async with connection.transaction():
            await connection.execute(LOCK_EVENT, given)
            consumers = [one for (one,) in await (await connection.execute(READABLE, given)).fetchall()]
            if await (await connection.execute(TWIN, given)).fetchone() is not None:
                await connection.execute(DELETE_EVENT, given)
                return bool(consumers)
            await connection.execute(READ, given)
            for consumer in sorted(consumers):
                await connection.execute(REOPEN, {**given, "consumer": consumer})
                await connection.execute(BUMP, {**given, "consumer": consumer})
        return bool(consumers)

    async def discard(self, connection: "Connection", *, consumer: int, event_id: str, reason: str, now: float) -> bool:
        """Take an event out of the way; what waited for it goes on."""
        given = {
            "consumer": consumer,
            "id": key(event_id),
            "reason": escaped(reason),
            "now": self._now(now),
            "idle_limit": IDLE_LIMIT,
        }
        async with connection.transaction() as transaction:
            found = await (await connection.execute(ORDERING_KEY, given)).fetchone()
            if found is None:
                return False
            given |= {"number": found[0], "ordering_key": found[1]}
            await connection.execute(BUMP, given)
            _, is_pending, only, state = await _row(connection, KNOWN, given)
            if is_pending or state not in (None, "discarded"):
                await connection.execute(SET_ASIDE, {**given, "state": "discarded", "only": only})
                await connection.execute(DISCARD, given)
                return True
            raise Rollback(transaction)
        return False

    async def purge(self, connection: "Connection", *, before: datetime) -> int:
        """Empty one page of bodies, and count them."""
        return int((await connection.execute(PURGE, {"before": within(before), "page": PAGE})).rowcount)

    async def erase(self, connection: "Connection", *, ordering_key: str) -> int:
        """Empty the bodies of one payment, and have nothing of it wait."""
        given = {"ordering_key": key(ordering_key)}
        async with connection.transaction():
            await connection.execute(LOCK_ERASED, given)
            await connection.execute(DISCARD_ERASED, given)
            return int((await connection.execute(ERASE, given)).rowcount)

    async def watermark(self, connection: "Connection") -> datetime | None:
        """Read the watermark."""
        found = await (await connection.execute(WATERMARK)).fetchone()
        return None if found is None else utc(found[0])

    async def set_watermark(self, connection: "Connection", *, time: datetime) -> None:
        """Move the watermark, forwards only."""
        await connection.execute(SET_WATERMARK, {"time": within(time)})

    async def probe(self, connection: "Connection") -> None:
        """Write something that changes nothing."""
        await connection.execute(PROBE)

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


async def _execute(connection: "Connection", steps: Steps[T]) -> T:
    """Execute statements one after the other."""
    rows: list[tuple[Any, ...]] | None = None
    try:
        while True:
            sql, given = next(steps) if rows is None else steps.send(rows)
            rows = await (await connection.execute(sql.encode(), given)).fetchall()
    except StopIteration as end:
        result: T = end.value
        return result


def _known_handlers(rows: Sequence[tuple[Any, ...]]) -> dict[str, KnownHandler]:
    return {
        plain(name): KnownHandler(name=plain(name), patterns=tuple(patterns), since=since)
        for name, patterns, since in rows
    }


def _runs(rows: Sequence[tuple[Any, ...]], *, ahead: float = 0.0) -> dict[int, dict[str, HandlerRun]]:
    """Make the runs of each event; ``ahead`` is by how many seconds the caller's clock is ahead of the database's."""
    runs: dict[int, dict[str, HandlerRun]] = {}
    for number, handler, state, attempts, due_at, error in rows:
        run = HandlerRun(
            handler=plain(handler),
            state=state,
            attempts=attempts,
            due_at=None if due_at is None else float(due_at) + ahead,
            error=error and plain(error),
        )
        runs.setdefault(number, {})[run.handler] = run
    return runs


def _delay(seconds: float) -> float:
    return min(seconds, MAX_DELAY)


async def _row(connection: "Connection", query: LiteralString, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """Execute a statement that gives one row."""
    row = await (await connection.execute(query, given)).fetchone()
    assert row is not None  # noqa: S101 - for the type checker
    return row


def _event(columns: Sequence[Any], runs: Mapping[int, Mapping[str, HandlerRun]]) -> StoredEvent:
    number, event_id, ordering_key, event_type, created_at, version, received_at, body, state, reason, only = columns
    return StoredEvent(
        event_id=plain(event_id),
        ordering_key=plain(ordering_key),
        type=plain(event_type),
        created_at=utc(created_at),
        version=version and utc(version),
        received_at=utc(received_at),
        body=body,
        state=state or "unhandled",
        handler_runs=runs.get(number, {}),
        reason=reason and plain(reason),
        number=number,
        only=None if only is None else frozenset(map(plain, only)),
    )
