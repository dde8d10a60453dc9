-- What calls cost, and what accounts have to pay it with. Amounts are millionths of the account's
-- currency.

-- At most one row for a leg of a call, whatever is written twice. As with calls, nothing here refers
-- to the configuration: a bill outlives what it names.
CREATE TABLE cdr (
    call_id TEXT COLLATE "BINARY" NOT NULL,
    leg_no BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    flow_id TEXT,
    destination_id TEXT,
    trunk_id TEXT,
    endpoint TEXT NOT NULL,
    -- The rate it was billed by, as it was at that time.
    deck_id TEXT NOT NULL,
    prefix TEXT NOT NULL,
    per_minute BIGINT NOT NULL,
    increment TEXT NOT NULL,
    bills_ring_time BOOLEAN NOT NULL,
    rounding TEXT NOT NULL CHECK (rounding IN ('down', 'nearest', 'up')),
    decimals BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    answered_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    billed_sec BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    PRIMARY KEY (call_id, leg_no)
);

CREATE INDEX cdr_newest ON cdr (account_id, call_id, leg_no);
CREATE INDEX cdr_flow ON cdr (account_id, flow_id, call_id, leg_no);
CREATE INDEX cdr_destination ON cdr (account_id, destination_id, call_id, leg_no);
CREATE INDEX cdr_started ON cdr (account_id, started_at);

-- What is left of all credits after all bills.
CREATE TABLE balance (
    account_id TEXT PRIMARY KEY,
    amount BIGINT NOT NULL
);

CREATE TABLE credit (
    id TEXT COLLATE "BINARY" PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    amount BIGINT NOT NULL,
    note TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX credit_newest ON credit (account_id, id);

-- Legs that a node left behind when it died: they may have to be billed yet.
CREATE INDEX leg_open ON leg (call_id) WHERE ended_at IS NULL;

-- Up to this moment the node heard all that happened in its Asterisk.
ALTER TABLE node ADD COLUMN heard_at BIGINT;
