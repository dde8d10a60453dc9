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
