-- Works with: 1
-- What people did to an event by hand, and why. Rows are only added.
CREATE TABLE leadpay_notes (
    number bigint NOT NULL,                         -- the event's
    at timestamptz NOT NULL,
    action text NOT NULL,
    done_by text NOT NULL,
    reason text NOT NULL
);
CREATE INDEX leadpay_notes_number ON leadpay_notes (number);
