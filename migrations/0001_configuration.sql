-- What an operator configures. One text for SQLite and Postgres, in the dialect both share.
--
-- Every table carries account_id, and every reference names the account as well: a row can only
-- point into its own account. References are checked at the end of a transaction, so the order of
-- changes within one does not matter.
--
-- "BINARY" is SQLite's name for byte order; the store makes a collation of that name on Postgres
-- before it migrates, so that text sorts and pages alike whatever the locale of the database.

CREATE TABLE account (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- One more with every change of the account's configuration; nodes poll it.
    version BIGINT NOT NULL DEFAULT 0,
    changed_at BIGINT NOT NULL DEFAULT 0
);

INSERT INTO account (id, name) VALUES ('acc_00000000000000000000000001', 'default');

CREATE TABLE trunk (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    address TEXT,
    endpoint TEXT,
    max_live BIGINT,
    UNIQUE (account_id, id),
    UNIQUE (account_id, name),
    CHECK ((address IS NULL) <> (endpoint IS NULL))
);

CREATE TABLE server (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('master', 'slave')),
    trunk_id TEXT,
    max_live BIGINT,
    UNIQUE (account_id, id),
    UNIQUE (account_id, name),
    FOREIGN KEY (account_id, trunk_id) REFERENCES trunk (account_id, id)
        DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE forwarding_flow (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    master_id TEXT NOT NULL,
    spread TEXT NOT NULL CHECK (spread IN ('round_robin', 'weighted')),
    ringback TEXT NOT NULL CHECK (ringback IN ('early_media', 'ring')),
    ring_timeout_sec BIGINT NOT NULL,
    ring_budget_sec BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    max_call_sec BIGINT NOT NULL,
    fallback TEXT NOT NULL CHECK (fallback IN ('dialplan', 'hang_up', 'number')),
    fallback_cause BIGINT,
    fallback_trunk_id TEXT,
    fallback_number TEXT,
    UNIQUE (account_id, id),
    UNIQUE (account_id, name),
    FOREIGN KEY (account_id, master_id) REFERENCES server (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, fallback_trunk_id) REFERENCES trunk (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    CHECK ((fallback = 'number') = (fallback_trunk_id IS NOT NULL)),
    CHECK ((fallback = 'number') = (fallback_number IS NOT NULL)),
    CHECK (fallback = 'hang_up' OR fallback_cause IS NULL)
);

CREATE TABLE destination (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    forwarding_flow_id TEXT NOT NULL,
    -- Place in the list of its flow, from 0.
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- On a slave, or over a trunk.
    server_id TEXT,
    trunk_id TEXT,
    number TEXT NOT NULL,
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    max_live BIGINT,
    ring_timeout_sec BIGINT,
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'paused')),
    UNIQUE (forwarding_flow_id, name),
    FOREIGN KEY (account_id, forwarding_flow_id) REFERENCES forwarding_flow (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, server_id) REFERENCES server (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, trunk_id) REFERENCES trunk (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    CHECK ((server_id IS NULL) <> (trunk_id IS NULL))
);

-- The other side of each reference, for the checks that a deletion causes.
CREATE INDEX destination_server ON destination (account_id, server_id);
CREATE INDEX destination_trunk ON destination (account_id, trunk_id);

CREATE TABLE number (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    did TEXT NOT NULL,
    server_id TEXT NOT NULL,
    forwarding_flow_id TEXT,
    UNIQUE (server_id, did),
    FOREIGN KEY (account_id, server_id) REFERENCES server (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, forwarding_flow_id) REFERENCES forwarding_flow (account_id, id)
        DEFERRABLE INITIALLY DEFERRED
);

CREATE INDEX number_account ON number (account_id, forwarding_flow_id);
