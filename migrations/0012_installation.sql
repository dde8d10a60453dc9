-- Which database this is: what its nodes make in an Asterisk carries this name, and what others make there
-- is left alone. One row, made by the first node that asks.
CREATE TABLE installation (
    place BIGINT PRIMARY KEY CHECK (place = 1),
    id TEXT NOT NULL
);
