-- Works with: 1
-- Programs that each get every event. The first one that registers takes the row that is here from the start.
CREATE TABLE leadpay_consumers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    is_registered INTEGER NOT NULL,
    since INTEGER NOT NULL                          -- the newest event when it was registered
);
INSERT INTO leadpay_consumers VALUES (1, 'default', 0, 0);

-- The handlers that workers of a consumer have, or had.
CREATE TABLE leadpay_handlers (
    consumer INTEGER NOT NULL,
    name TEXT NOT NULL,
    patterns TEXT NOT NULL,                         -- types of event, as a JSON array
    since INTEGER NOT NULL,                         -- the newest event when it was registered
    PRIMARY KEY (consumer, name)
) WITHOUT ROWID;

-- One row an event; it changes only when its body is deleted, or when bytes that could not be read are read.
-- Times are microseconds since 1970.
CREATE TABLE leadpay_events (
    number INTEGER PRIMARY KEY,                     -- the order of arrival
    id TEXT NOT NULL UNIQUE,
    ordering_key TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER,
    received_at INTEGER NOT NULL,
    body BLOB                                       -- NULL once it has been purged
);

-- A payment's events.
CREATE INDEX leadpay_events_ordering_key ON leadpay_events (ordering_key);

-- Counting without reading bodies.
CREATE INDEX leadpay_events_type ON leadpay_events (type);

-- What a purge may empty.
CREATE INDEX leadpay_events_kept ON leadpay_events (received_at) WHERE body IS NOT NULL;

-- What waits: a row for each consumer and event, which the result deletes.
CREATE TABLE leadpay_pending (
    consumer INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,
    number INTEGER NOT NULL,
    only_handlers TEXT,                             -- after a replay by name, as a JSON array; NULL: all
    PRIMARY KEY (consumer, ordering_key, number)
) WITHOUT ROWID;

-- What is worked on one at a time and waits: a payment, or an event that is about no payment.
CREATE TABLE leadpay_ordering_keys (
    consumer INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,
    due_at REAL NOT NULL,                           -- seconds since 1970; while leased, when the lease ends
    leased INTEGER NOT NULL DEFAULT 0,
    fencing_token INTEGER NOT NULL DEFAULT 0,       -- grows with every claim
    revision INTEGER NOT NULL DEFAULT 0,            -- grows with all new work
    abandoned INTEGER NOT NULL DEFAULT 0,           -- leases in a row that expired without a result
    needs TEXT,                                     -- the handler whose workers it is left to
    PRIMARY KEY (consumer, ordering_key)
) WITHOUT ROWID;

-- A claim reads only keys that are due, however many rows there are.
CREATE INDEX leadpay_ordering_keys_due ON leadpay_ordering_keys (consumer, due_at);

-- Rows of ordering keys come and go; a fencing token never comes again.
CREATE TABLE leadpay_fencing_tokens (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
);
INSERT INTO leadpay_fencing_tokens VALUES (1, 0);

-- One handler with one event, unless it was the only one and succeeded at its first attempt.
CREATE TABLE leadpay_handler_runs (
    consumer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    handler TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at REAL,
    error TEXT,
    PRIMARY KEY (consumer, number, handler)
) WITHOUT ROWID;

-- Events that are through and not done: dead, discarded, unhandled, unreadable.
CREATE TABLE leadpay_set_aside (
    consumer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    only_handlers TEXT,                             -- as it was when the event was pending
    PRIMARY KEY (consumer, number)
) WITHOUT ROWID;
CREATE INDEX leadpay_set_aside_state ON leadpay_set_aside (consumer, state, number);

-- Up to when the bank's event list has been walked, in microseconds since 1970.
CREATE TABLE leadpay_watermark (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    time INTEGER NOT NULL
);
