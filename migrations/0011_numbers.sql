-- Numbers in pages, newest first, by their ids as bytes.
CREATE INDEX number_newest ON number (account_id, id COLLATE "BINARY");
