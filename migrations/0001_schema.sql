-- One text for SQLite and Postgres, in the dialect both share.
--
-- Every table of an account carries account_id, and every reference names the account as well: a row
-- can only point into its own account. References are checked at the end of a transaction, so the
-- order of changes within one does not matter.
--
-- "BINARY" is SQLite's name for byte order; the store makes a collation of that name on Postgres
-- before it migrates, so that text sorts and pages alike whatever the locale of the database.

-- What an operator configures.

CREATE TABLE account (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- One more with every change of the account's configuration; nodes poll it.
    version BIGINT NOT NULL DEFAULT 0,
    -- The version at which a number last changed: most changes are of something else, and then nobody
    -- needs to read all numbers again.
    numbers_version BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT 0
);

INSERT INTO account (id, name) VALUES ('acc_00000000000000000000000001', 'default');

-- Objects of every kind, and the settings of the account under the account's own id.
CREATE TABLE object (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    -- What its id begins with: srv, trk, …; account for the settings.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- All of it, as a document says it, but with ids for what it refers to. It may have keys that a
    -- newer node wrote.
    body JSONB NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, kind, name)
);

-- What the bodies refer to, so that the database itself refuses to delete it.
CREATE TABLE object_reference (
    account_id TEXT NOT NULL,
    from_id TEXT NOT NULL,
    to_id TEXT NOT NULL,
    PRIMARY KEY (account_id, from_id, to_id),
    FOREIGN KEY (account_id, from_id) REFERENCES object (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, to_id) REFERENCES object (account_id, id)
        DEFERRABLE INITIALLY DEFERRED
);

-- For the checks that a deletion causes.
CREATE INDEX object_reference_to ON object_reference (account_id, to_id);

-- There may be a million numbers, which is why they are no objects.
CREATE TABLE number (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    did TEXT NOT NULL,
    server_id TEXT NOT NULL,
    -- Where its calls go.
    owner_id TEXT,
    -- With a blank before and after each: ' a b '.
    tags TEXT NOT NULL DEFAULT '',
    UNIQUE (server_id, did),
    FOREIGN KEY (account_id, server_id) REFERENCES object (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, owner_id) REFERENCES object (account_id, id)
        DEFERRABLE INITIALLY DEFERRED
);

-- Holds all that a node needs of a million numbers, in the order in which it asks for them.
CREATE INDEX number_owner ON number (account_id, owner_id, server_id, did);
-- Numbers in pages, newest first, by their ids as bytes.
CREATE INDEX number_newest ON number (account_id, id COLLATE "BINARY");

-- Who changed what: one row for each object or number of each version. It outlives what it names.
CREATE TABLE object_change (
    account_id TEXT NOT NULL REFERENCES account (id),
    version BIGINT NOT NULL,
    -- Among those of its version, from 0.
    place BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- NULL where it did not come through the HTTP API.
    by_key TEXT,
    by_name TEXT NOT NULL,
    -- As in object; num for a number.
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- NULL for what is new.
    before JSONB,
    -- NULL for what is gone.
    after JSONB,
    PRIMARY KEY (account_id, version, place)
);

CREATE INDEX object_change_id ON object_change (account_id, id, version, place);
CREATE INDEX object_change_kind ON object_change (account_id, kind, version, place);

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
    -- Who the caller is, however the number is written.
    caller_key TEXT,
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
    bridge TEXT NOT NULL,
    -- The first call of the redials that are shown as one row: itself, or an earlier one.
    session_id TEXT COLLATE "BINARY" NOT NULL DEFAULT '',
    is_repeat BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX call_newest ON call (account_id, id);
CREATE INDEX call_caller ON call (account_id, caller_number, id);
CREATE INDEX call_caller_key ON call (flow_id, caller_key, started_at);
CREATE INDEX call_did ON call (account_id, did, id);
CREATE INDEX call_flow ON call (account_id, flow_id, id);
CREATE INDEX call_started ON call (account_id, started_at);
CREATE INDEX call_recent ON call (node, started_at);
CREATE INDEX call_open ON call (node) WHERE ended_at IS NULL;
CREATE INDEX call_session ON call (account_id, session_id, id);
-- The first call of each session: what the log lists when it collapses redials.
CREATE INDEX call_first ON call (account_id, id) WHERE session_id = id;

-- At most one row for a leg of a call, whatever is written twice.
CREATE TABLE leg (
    call_id TEXT NOT NULL,
    no BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    destination_id TEXT,
    trunk_id TEXT,
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

CREATE INDEX leg_destination ON leg (account_id, destination_id, started_at);
-- Legs that a node left behind when it died: they may have to be billed yet.
CREATE INDEX leg_open ON leg (call_id) WHERE ended_at IS NULL;

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

-- Who may use the API, and what became of requests that may be sent twice.

CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    -- In hexadecimal; the key itself is never stored.
    sha256 TEXT NOT NULL,
    scopes JSONB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX api_key_account ON api_key (account_id);

CREATE TABLE request (
    account_id TEXT NOT NULL REFERENCES account (id),
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    -- Both NULL while the request is being served.
    status BIGINT,
    body TEXT,
    PRIMARY KEY (account_id, key),
    CHECK ((status IS NULL) = (body IS NULL))
);

CREATE INDEX request_started ON request (account_id, started_at);

-- What a node has to remember from one process to the next. A node serves every account, so its row
-- belongs to none.

CREATE TABLE node (
    name TEXT PRIMARY KEY,
    -- When the Asterisk it was connected to last was started, in Asterisk's own words.
    asterisk_startup TEXT,
    -- When its process last said that it runs.
    alive_at BIGINT,
    -- Up to this moment the node heard all that happened in its Asterisk.
    heard_at BIGINT
);

-- Which database this is: what its nodes make in an Asterisk carries this name, and what others make
-- there is left alone. One row, made by the first node that asks.
CREATE TABLE installation (
    place BIGINT PRIMARY KEY CHECK (place = 1),
    id TEXT NOT NULL
);

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

-- Live-call limits: who holds which slots. A slot is one row, so nothing is ever given back twice; the
-- counts beside it are what a limit is compared with, under the lock of their row.

CREATE TABLE slot (
    call_id TEXT COLLATE "BINARY" NOT NULL,
    no BIGINT NOT NULL,
    -- dst_…, srv_…, trk_… or acc_…: what the slot is one of.
    scope TEXT COLLATE "BINARY" NOT NULL,
    account_id TEXT NOT NULL,
    -- The node whose Asterisk carries the leg.
    node TEXT NOT NULL,
    taken_at BIGINT NOT NULL,
    -- By then Asterisk itself has hung the leg up, whatever has become of its node.
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (call_id, no, scope)
);

CREATE INDEX slot_account ON slot (account_id, scope);
CREATE INDEX slot_expires ON slot (expires_at);
CREATE INDEX slot_node ON slot (node);
CREATE INDEX slot_scope ON slot (scope);

-- A scope may belong to several accounts' calls at once, and the count is of all of them.
CREATE TABLE live (
    scope TEXT COLLATE "BINARY" PRIMARY KEY,
    live BIGINT NOT NULL,
    -- The limit under which a slot was last given out.
    max BIGINT
);

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
