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
