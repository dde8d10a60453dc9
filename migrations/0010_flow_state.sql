-- A flow that is paused takes test calls only.
ALTER TABLE forwarding_flow ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
    CHECK (state IN ('active', 'paused'));
