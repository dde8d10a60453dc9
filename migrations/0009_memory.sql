-- What routing remembers from one call to the next, so that a restart forgets nothing.

-- To which destination a caller of a flow belongs.
CREATE TABLE binding (
    flow_id TEXT NOT NULL,
    caller_key TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    destination_id TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    PRIMARY KEY (flow_id, caller_key)
);

CREATE INDEX binding_account ON binding (account_id);

-- How much of a cap is used in the newest period that was counted.
CREATE TABLE volume (
    -- A destination or a forwarding flow.
    throttled_id TEXT NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('day', 'hour', 'month', 'total')),
    counted TEXT NOT NULL CHECK (counted IN ('answers', 'attempts', 'billable_minutes')),
    account_id TEXT NOT NULL REFERENCES account (id),
    -- When that period began.
    since BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (throttled_id, period, counted)
);

CREATE INDEX volume_account ON volume (account_id);

-- How the wheel of one tier of a flow stands: [{"destination": "dst_…", "standing": -2}, …]
CREATE TABLE wheel (
    flow_id TEXT NOT NULL,
    priority BIGINT NOT NULL,
    account_id TEXT NOT NULL REFERENCES account (id),
    standings JSONB NOT NULL,
    PRIMARY KEY (flow_id, priority)
);

CREATE INDEX wheel_account ON wheel (account_id);
