-- What a node has to remember from one process to the next. A node serves every account, so its row
-- belongs to none.

CREATE TABLE node (
    name TEXT PRIMARY KEY,
    -- When the Asterisk it was connected to last was started, in Asterisk's own words.
    asterisk_startup TEXT,
    -- When its process last said that it runs.
    alive_at BIGINT
);
