-- What is worked on one at a time: a payment, or an event that is about no payment.
CREATE TABLE leadpay_ordering_keys (
    ordering_key TEXT PRIMARY KEY,
    due_at REAL,                                    -- seconds since 1970; NULL: nothing to do; while leased, when the lease ends
    leased INTEGER NOT NULL DEFAULT 0,
    fencing_token INTEGER NOT NULL DEFAULT 0,       -- grows with every claim
    revision INTEGER NOT NULL DEFAULT 0,            -- grows with all new work
    abandoned INTEGER NOT NULL DEFAULT 0            -- leases in a row that expired without a result
) WITHOUT ROWID;

-- A claim reads only keys that are due, however many rows there are.
CREATE INDEX leadpay_ordering_keys_due ON leadpay_ordering_keys (due_at) WHERE due_at IS NOT NULL;

-- One row an event, for ever; times are microseconds since 1970.
CREATE TABLE leadpay_events (
    number INTEGER PRIMARY KEY,                     -- the order of arrival
    id TEXT NOT NULL UNIQUE,
    ordering_key TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER,
    received_at INTEGER NOT NULL,
    body BLOB,                                      -- NULL once it has been purged
    state TEXT NOT NULL,
    reason TEXT
);

-- An ordering key's events, in the order of handling.
CREATE INDEX leadpay_events_ordering_key ON leadpay_events (ordering_key, created_at);

-- Counting without reading bodies.
CREATE INDEX leadpay_events_counted ON leadpay_events (state, type);

-- Walking through all of one state, and finding the longest-waiting, in the order of arrival.
CREATE INDEX leadpay_events_state ON leadpay_events (state);

-- What a purge may empty.
CREATE INDEX leadpay_events_kept ON leadpay_events (received_at)
    WHERE body IS NOT NULL AND state IN ('done', 'discarded');

-- One handler with one event.
CREATE TABLE leadpay_handler_runs (
    event_id TEXT NOT NULL,
    handler TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at REAL,
    error TEXT,
    PRIMARY KEY (event_id, handler)
) WITHOUT ROWID;

-- Up to when the bank's event list has been walked, in microseconds since 1970.
CREATE TABLE leadpay_watermark (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    time INTEGER NOT NULL
);
