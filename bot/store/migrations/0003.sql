-- Measures of a picture's pixels, by its file: what was measured once is known for every copy and after an undo.
CREATE TABLE measure (
    file          TEXT PRIMARY KEY,              -- <sha256>.jpg|png|webp
    version       INTEGER NOT NULL,              -- of the way of measuring
    data          TEXT NOT NULL                  -- JSON (bot.rules.measures); empty: it cannot be measured
);

-- Pictures that show the same; found when the later one was compared.
CREATE TABLE twin (
    first         INTEGER NOT NULL REFERENCES picture (id) ON DELETE CASCADE,
    second        INTEGER NOT NULL REFERENCES picture (id) ON DELETE CASCADE,
    likeness      REAL NOT NULL,                 -- 1: the same all over
    mirrored      INTEGER NOT NULL,
    PRIMARY KEY (first, second)
);
CREATE INDEX twin_second ON twin (second);

-- Pictures that were dropped and can be brought back for some days, row and all.
CREATE TABLE dropped (
    picture_id    INTEGER PRIMARY KEY,
    dataset_id    INTEGER NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    file          TEXT NOT NULL,                 -- kept on disk for as long as this row
    row           TEXT NOT NULL,                 -- JSON of the picture's row
    dropped_by    INTEGER NOT NULL,
    dropped_at    REAL NOT NULL                  -- the same for all that went at once: undone together
);
CREATE INDEX dropped_dataset ON dropped (dataset_id, dropped_at);
CREATE INDEX dropped_file ON dropped (file);

-- A measure goes with the last picture of its file.
CREATE TRIGGER measure_after_picture AFTER DELETE ON picture
WHEN NOT EXISTS (SELECT 1 FROM picture WHERE file = OLD.file)
 AND NOT EXISTS (SELECT 1 FROM dropped WHERE file = OLD.file)
BEGIN DELETE FROM measure WHERE file = OLD.file; END;
CREATE TRIGGER measure_after_dropped AFTER DELETE ON dropped
WHEN NOT EXISTS (SELECT 1 FROM picture WHERE file = OLD.file)
 AND NOT EXISTS (SELECT 1 FROM dropped WHERE file = OLD.file)
BEGIN DELETE FROM measure WHERE file = OLD.file; END;

ALTER TABLE picture ADD COLUMN focus TEXT NOT NULL DEFAULT '';        -- JSON box a member chose; empty: the suggested
ALTER TABLE picture ADD COLUMN compared INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dataset ADD COLUMN square INTEGER;                        -- 1 squares, 0 own shapes, NULL as the preset has it

-- The kinds of cards grow; which there are is bot.store.rows.CardKind's business from now on.
CREATE TABLE new_card (
    kind          TEXT NOT NULL,
    ref           TEXT NOT NULL,                 -- id of the dataset, batch or job
    channel_id    INTEGER NOT NULL,
    message_id    INTEGER,                       -- NULL until posted
    page          INTEGER NOT NULL DEFAULT 0,    -- of a pager
    dirty         INTEGER NOT NULL DEFAULT 1,    -- changes not drawn yet; 0 when the message shows the latest
    urgent        INTEGER NOT NULL DEFAULT 0,    -- 1 when one of them is to be shown at once
    posting_at    REAL,                          -- first try to post it (anew), while nobody knows whether it is there
    posted_at     REAL,
    edited_at     REAL,
    error         TEXT NOT NULL DEFAULT '',      -- why Discord refuses it, when it does
    PRIMARY KEY (kind, ref)
);
INSERT INTO new_card SELECT kind, ref, channel_id, message_id, page, dirty, urgent, posting_at, posted_at, edited_at, error
    FROM card;
DROP TABLE card;
ALTER TABLE new_card RENAME TO card;
CREATE INDEX card_dirty ON card (dirty) WHERE dirty > 0;
