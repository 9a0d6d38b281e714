-- Works with: 1
-- When each signing secret last verified a webhook, by its fingerprint.
CREATE TABLE leadpay_secrets (
    fingerprint text COLLATE "C" PRIMARY KEY,
    first_seen_at timestamptz NOT NULL,
    last_verified_at timestamptz,
    verified bigint NOT NULL
);
