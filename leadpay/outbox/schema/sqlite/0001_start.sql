-- Times are microseconds since 1970. One row an instruction, for ever.
CREATE TABLE leadpay_instructions (
    number INTEGER PRIMARY KEY,                     -- the order of queuing
    reference TEXT NOT NULL UNIQUE,                 -- the user's own
    operation TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    account_number_id TEXT,
    amount INTEGER,
    target_payment_id TEXT,                         -- the payment that is returned, canceled and so on
    payment_id TEXT,                                -- the bank's payment, once it is known
    return_payment_id TEXT,                         -- the incoming payment that gave the money back
    payment BLOB,                                   -- as last seen; NULL once it was erased
    payment_version INTEGER,                        -- its updated_at
    content BLOB,                                   -- what is sent; NULL once it was purged or erased
    digest TEXT NOT NULL,                           -- of the content, to notice a reference that is used again
    fingerprint TEXT,                               -- of account number, counterparty and amount; NULL once it was erased
    creditor TEXT,                                  -- of the counterparty
    key TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    due_at INTEGER,                                 -- NULL: nothing to do; while leased, when the lease ends
    leased INTEGER NOT NULL DEFAULT 0,
    fencing_token INTEGER NOT NULL DEFAULT 0,       -- grows with every claim
    attempts INTEGER NOT NULL DEFAULT 0,
    first_attempt_at INTEGER,                       -- NULL while the bank has surely executed none
    task TEXT,                                      -- what the last claim is for
    may_resend INTEGER NOT NULL DEFAULT 1,          -- 0: the bank said that it knows the key with another request
    polls INTEGER NOT NULL DEFAULT 0,
    counted_on INTEGER,                             -- the day against whose limits it counts
    reason TEXT,
    evidence TEXT,
    needs_person INTEGER NOT NULL DEFAULT 0,
    two_people INTEGER NOT NULL DEFAULT 0           -- 1: was held where two people must agree
);

-- The queue: only what may be sent, in the order of sending, however many rows there are.
CREATE INDEX leadpay_instructions_queue ON leadpay_instructions (priority DESC, number)
    WHERE state IN ('queued', 'sending', 'in_doubt') AND due_at IS NOT NULL;

-- What is looked at, since no webhook told.
CREATE INDEX leadpay_instructions_polled ON leadpay_instructions (due_at) WHERE state = 'accepted' AND due_at IS NOT NULL;

-- An event's instruction, and the other claimants of a payment.
CREATE INDEX leadpay_instructions_payment ON leadpay_instructions (payment_id) WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX leadpay_instructions_owner ON leadpay_instructions (payment_id)
    WHERE payment_id IS NOT NULL AND operation IN ('send', 'return');
CREATE INDEX leadpay_instructions_target ON leadpay_instructions (target_payment_id) WHERE target_payment_id IS NOT NULL;
CREATE INDEX leadpay_instructions_begun ON leadpay_instructions (fingerprint) WHERE state IN ('sending', 'in_doubt');

-- Suspected duplicates.
CREATE INDEX leadpay_instructions_fingerprint ON leadpay_instructions (fingerprint, created_at)
    WHERE fingerprint IS NOT NULL;

-- Listing and counting.
CREATE INDEX leadpay_instructions_state ON leadpay_instructions (state, number);
CREATE INDEX leadpay_instructions_outcome ON leadpay_instructions (outcome) WHERE outcome IS NOT NULL;
CREATE INDEX leadpay_instructions_amount ON leadpay_instructions (amount, number) WHERE amount IS NOT NULL;

-- What a purge may empty.
CREATE INDEX leadpay_instructions_kept ON leadpay_instructions (updated_at)
    WHERE content IS NOT NULL AND outcome IS NOT NULL;

-- The audit trail: who did what and when. It is never changed.
CREATE TABLE leadpay_instruction_log (
    number INTEGER PRIMARY KEY,
    instruction INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT,
    detail TEXT
);

CREATE INDEX leadpay_instruction_log_instruction ON leadpay_instruction_log (instruction, number);

CREATE TRIGGER leadpay_instruction_log_kept BEFORE UPDATE ON leadpay_instruction_log BEGIN SELECT RAISE(ABORT, 'the audit trail is never changed'); END;

CREATE TRIGGER leadpay_instruction_log_not_deleted BEFORE DELETE ON leadpay_instruction_log BEGIN SELECT RAISE(ABORT, 'the audit trail is never changed'); END;

-- One row for each limit of a day, and for each suspected duplicate: locked while one instruction is checked.
CREATE TABLE leadpay_outbox_guards (
    guard TEXT PRIMARY KEY,
    day INTEGER NOT NULL,
    total INTEGER NOT NULL
) WITHOUT ROWID;

-- What all senders share about the bank.
CREATE TABLE leadpay_outbox_bank (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    namespace TEXT NOT NULL,                        -- from which keys are made
    failures INTEGER NOT NULL,                      -- in a row
    paused_until INTEGER NOT NULL,
    retry_after_until INTEGER NOT NULL              -- what the bank asked for
);

INSERT INTO leadpay_outbox_bank VALUES (1, lower(hex(randomblob(16))), 0, 0, 0);
