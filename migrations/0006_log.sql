-- What the call log asks of a call: who the caller is however the number is written, which redials
-- are shown as one, and over which trunk a leg went.

ALTER TABLE call ADD COLUMN caller_key TEXT;
-- The first call of the redials that are shown as one row: itself, or an earlier one.
ALTER TABLE call ADD COLUMN session_id TEXT COLLATE "BINARY" NOT NULL DEFAULT '';
UPDATE call SET session_id = id;
ALTER TABLE call ADD COLUMN is_repeat BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE leg ADD COLUMN trunk_id TEXT;

CREATE INDEX call_caller_key ON call (flow_id, caller_key, started_at);
CREATE INDEX call_session ON call (account_id, session_id, id);
-- The first call of each session: what the log lists when it collapses redials.
CREATE INDEX call_first ON call (account_id, id) WHERE session_id = id;
CREATE INDEX call_recent ON call (node, started_at);
CREATE INDEX leg_destination ON leg (account_id, destination_id, started_at);
