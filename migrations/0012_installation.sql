-- Which database this is: what its nodes make in an Asterisk carries this name, and what others make there
-- is left alone. One row, made by the first node that asks.
CREATE TABLE installation (
    only BIGINT PRIMARY KEY CHECK (only = 1),
    id TEXT NOT NULL
);
