-- Works with: 1
-- Return requests of counterparties, by payment and time of the request; times are microseconds since 1970.
CREATE TABLE leadpay_return_requests (
    payment_id text COLLATE "C" NOT NULL,
    requested_at bigint NOT NULL,
    account_number_id text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,                        -- cents
    reason text COLLATE "C" NOT NULL,
    deadline bigint NOT NULL,
    deadline_source text COLLATE "C" NOT NULL,               -- bank, or computed where the bank gives none
    state text COLLATE "C" NOT NULL,                         -- open, accepted, rejected, expired
    version bigint NOT NULL,                       -- the payment's updated_at
    return_payment_id text COLLATE "C",
    return_state text COLLATE "C",                           -- pending, arrived, rejected
    reminded text COLLATE "C" NOT NULL DEFAULT '',           -- the reminders that were given, in seconds before the deadline
    PRIMARY KEY (payment_id, requested_at)
);

CREATE INDEX leadpay_return_requests_open ON leadpay_return_requests (deadline) WHERE state = 'open';

CREATE INDEX leadpay_return_requests_returns ON leadpay_return_requests (return_payment_id)
    WHERE return_payment_id IS NOT NULL;
