-- What distribution is made of: rate decks, schedules, throttles, stickiness, toll-free numbers.
--
-- A JSONB column that is NULL stands for the default of its kind. References to a rate deck cannot
-- name the account as others do, because SQLite adds no composite reference to a table that exists;
-- the store checks whose the deck is.

CREATE TABLE rate_deck (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    bills_ring_time BOOLEAN NOT NULL,
    rounding TEXT NOT NULL CHECK (rounding IN ('down', 'nearest', 'up')),
    decimals BIGINT NOT NULL,
    -- Objects of prefix, price and increment.
    rates JSONB NOT NULL,
    UNIQUE (account_id, name)
);

ALTER TABLE account ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE account ADD COLUMN max_live BIGINT;
ALTER TABLE account ADD COLUMN toll_free_termination BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE account ADD COLUMN prepaid BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE account ADD COLUMN currency TEXT NOT NULL DEFAULT 'USD';
ALTER TABLE account ADD COLUMN rate_deck_id TEXT REFERENCES rate_deck (id)
    DEFERRABLE INITIALLY DEFERRED;
-- The version at which a number last changed: most changes are of something else, and then nobody
-- needs to read all numbers again.
ALTER TABLE account ADD COLUMN numbers_version BIGINT NOT NULL DEFAULT 0;
UPDATE account SET numbers_version = version;

ALTER TABLE trunk ADD COLUMN carries_toll_free BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE trunk ADD COLUMN rate_deck_id TEXT REFERENCES rate_deck (id)
    DEFERRABLE INITIALLY DEFERRED;

CREATE INDEX account_rate_deck ON account (rate_deck_id);
CREATE INDEX trunk_rate_deck ON trunk (rate_deck_id);

ALTER TABLE forwarding_flow ADD COLUMN time_zone TEXT;
ALTER TABLE forwarding_flow ADD COLUMN schedule JSONB;
ALTER TABLE forwarding_flow ADD COLUMN throttle JSONB;
ALTER TABLE forwarding_flow ADD COLUMN stickiness JSONB;
ALTER TABLE forwarding_flow ADD COLUMN repeat_caller JSONB;
ALTER TABLE forwarding_flow ADD COLUMN caller_numbers JSONB;
ALTER TABLE forwarding_flow ADD COLUMN redial_gap_sec BIGINT NOT NULL DEFAULT 60;

-- Its checks change, and SQLite can only do that with a new table. Nothing refers to this one. The
-- rows wait in another, so that all names are those of a table that was never anything else.
CREATE TABLE destination_before AS
    SELECT id, account_id, forwarding_flow_id, place, name, server_id, trunk_id, number, priority,
        weight, max_live, ring_timeout_sec, state
    FROM destination;

DROP TABLE destination;

CREATE TABLE destination (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id),
    forwarding_flow_id TEXT NOT NULL,
    -- Place in the list of its flow, from 0.
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- On a slave, over a trunk, or over whichever trunk carries toll-free calls.
    server_id TEXT,
    trunk_id TEXT,
    toll_free TEXT,
    -- What is dialled on the slave or over the trunk.
    number TEXT,
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    max_live BIGINT,
    ring_timeout_sec BIGINT,
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'draining', 'paused')),
    time_zone TEXT,
    schedule JSONB,
    throttle JSONB,
    UNIQUE (forwarding_flow_id, name),
    FOREIGN KEY (account_id, forwarding_flow_id) REFERENCES forwarding_flow (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, server_id) REFERENCES server (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (account_id, trunk_id) REFERENCES trunk (account_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    CHECK (CASE WHEN server_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN trunk_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN toll_free IS NULL THEN 0 ELSE 1 END = 1),
    CHECK ((number IS NULL) = (toll_free IS NOT NULL))
);

CREATE INDEX destination_server ON destination (account_id, server_id);
CREATE INDEX destination_trunk ON destination (account_id, trunk_id);

INSERT INTO destination (id, account_id, forwarding_flow_id, place, name, server_id, trunk_id,
        number, priority, weight, max_live, ring_timeout_sec, state)
    SELECT id, account_id, forwarding_flow_id, place, name, server_id, trunk_id, number, priority,
        weight, max_live, ring_timeout_sec, state
    FROM destination_before;

DROP TABLE destination_before;

-- Holds all that a node needs of a million numbers, in the order in which it asks for them.
DROP INDEX number_account;
CREATE INDEX number_owner ON number (account_id, forwarding_flow_id, server_id, did);
