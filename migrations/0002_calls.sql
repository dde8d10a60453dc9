-- What is kept of calls. No references into the configuration: history outlives what it names,
-- and a record must never be refused because a row it mentions is gone or not yet written.

CREATE TABLE call (
    id TEXT COLLATE "BINARY" PRIMARY KEY,
    account_id TEXT NOT NULL,
    -- The node that owns it, or owned it last.
    node TEXT NOT NULL,
    did TEXT NOT NULL,
    caller_number TEXT NOT NULL,
    caller_name TEXT NOT NULL,
    flow_id TEXT,
    flow_name TEXT,
    is_test BOOLEAN NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ended', 'ringing', 'routing', 'talking')),
    started_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT,
    talk_ms BIGINT NOT NULL,
    result TEXT CHECK (result IN ('abandoned', 'answered', 'busy', 'capped', 'closed', 'declined',
        'failed', 'full', 'no_answer', 'no_credit', 'paused', 'rate_limited', 'refused_caller',
        'unrouted')),
    ended_by TEXT CHECK (ended_by IN ('caller', 'destination', 'divert', 'restart')),
    cause BIGINT,
    channel TEXT NOT NULL,
    bridge TEXT NOT NULL
);

CREATE INDEX call_newest ON call (account_id, id);
CREATE INDEX call_caller ON call (account_id, caller_number, id);
CREATE INDEX call_did ON call (account_id, did, id);
CREATE INDEX call_flow ON call (account_id, flow_id, id);
CREATE INDEX call_started ON call (account_id, started_at);
CREATE INDEX call_open ON call (node) WHERE ended_at IS NULL;

-- At most one row for a leg of a call, whatever is written twice.
CREATE TABLE leg (
    call_id TEXT NOT NULL,
    no BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    destination_id TEXT,
    name TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ringing_at BIGINT,
    answered_at BIGINT,
    ended_at BIGINT,
    outcome TEXT CHECK (outcome IN ('abandoned', 'answered', 'bad_number', 'busy', 'cancelled',
        'codec_mismatch', 'declined', 'lost_race', 'no_answer', 'redirected', 'trunk_failed',
        'trunk_rejected', 'unreachable')),
    cause BIGINT,
    sip_code BIGINT,
    PRIMARY KEY (call_id, no)
);

CREATE TABLE timeline (
    call_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    step JSONB NOT NULL,
    PRIMARY KEY (call_id, seq)
);

CREATE TABLE journal (
    call_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (call_id, seq)
);
