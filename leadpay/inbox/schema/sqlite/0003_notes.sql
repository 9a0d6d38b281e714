-- Works with: 1
-- What people did to an event by hand, and why. Rows are only added; times are microseconds since 1970.
CREATE TABLE leadpay_notes (
    number INTEGER NOT NULL,                        -- the event's
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    done_by TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX leadpay_notes_number ON leadpay_notes (number);
