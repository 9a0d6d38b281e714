-- Works with: 1
-- Return requests of counterparties, by payment and time of the request; times are microseconds since 1970.
CREATE TABLE leadpay_return_requests (
    payment_id TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    account_number_id TEXT NOT NULL,
    amount INTEGER NOT NULL,                        -- cents
    reason TEXT NOT NULL,
    deadline INTEGER NOT NULL,
    deadline_source TEXT NOT NULL,               -- bank, or computed where the bank gives none
    state TEXT NOT NULL,                         -- open, accepted, rejected, expired
    version INTEGER NOT NULL,                       -- the payment's updated_at
    return_payment_id TEXT,
    return_state TEXT,                           -- pending, arrived, rejected
    reminded TEXT NOT NULL DEFAULT '',           -- the reminders that were given, in seconds before the deadline
    PRIMARY KEY (payment_id, requested_at)
) WITHOUT ROWID;

CREATE INDEX leadpay_return_requests_open ON leadpay_return_requests (deadline) WHERE state = 'open';

CREATE INDEX leadpay_return_requests_returns ON leadpay_return_requests (return_payment_id)
    WHERE return_payment_id IS NOT NULL;
