-- Posts in a dataset's thread up to this message were looked at; after a pause the bot goes on behind it.
ALTER TABLE dataset ADD COLUMN read_until INTEGER NOT NULL DEFAULT 0;
