-- Members whom the owner lets edit a dataset. 'asked': of a person's dataset, until the helper has agreed too.
CREATE TABLE helper (
    dataset_id    INTEGER NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('asked', 'active')),
    added_at      REAL NOT NULL,
    PRIMARY KEY (dataset_id, user_id)
);
CREATE INDEX helper_user ON helper (user_id);

-- When the dataset was put away; it takes no pictures, edits or trainings until it is brought back.
ALTER TABLE dataset ADD COLUMN archived_at REAL;
