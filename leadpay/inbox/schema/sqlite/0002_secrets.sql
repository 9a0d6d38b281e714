-- Works with: 1
-- When each signing secret last verified a webhook, by its fingerprint; times are microseconds since 1970.
CREATE TABLE leadpay_secrets (
    fingerprint TEXT PRIMARY KEY,
    first_seen_at INTEGER NOT NULL,
    last_verified_at INTEGER,
    verified INTEGER NOT NULL
) WITHOUT ROWID;
