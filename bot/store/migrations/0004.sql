-- How the tagger writes a dataset's captions: JSON of the options that differ from the host's.
ALTER TABLE dataset ADD COLUMN tag_options TEXT NOT NULL DEFAULT '{}';

-- What a pager shows of its pictures: '' all of them, or 'uncaptioned', or 'red'.
ALTER TABLE card ADD COLUMN shows TEXT NOT NULL DEFAULT '';

-- Bulk edits of captions: offered with a diff, applied, perhaps undone. Applied ones are the dataset's history.
CREATE TABLE caption_edit (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id    INTEGER NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL,
    title         TEXT NOT NULL,                 -- what it does, in a few words; holds people's words
    operation     TEXT NOT NULL,                 -- JSON while it is offered; '' once applied
    mark          TEXT NOT NULL,                 -- hash of the captions it was worked out from
    notes         TEXT NOT NULL DEFAULT '[]',    -- JSON list of sentences shown with the diff
    offered_at    REAL NOT NULL,
    applied_at    REAL,
    undone_at     REAL,
    undone_by     INTEGER
);
CREATE INDEX caption_edit_dataset ON caption_edit (dataset_id, applied_at);

-- The captions of a bulk edit. A picture that is removed takes its old captions with it.
CREATE TABLE caption_edit_item (
    edit_id       INTEGER NOT NULL REFERENCES caption_edit (id) ON DELETE CASCADE,
    picture_id    INTEGER NOT NULL REFERENCES picture (id) ON DELETE CASCADE,
    before        TEXT NOT NULL,
    after         TEXT NOT NULL,
    PRIMARY KEY (edit_id, picture_id)
);
CREATE INDEX caption_edit_item_picture ON caption_edit_item (picture_id);
