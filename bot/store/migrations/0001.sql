-- Times are Unix seconds (REAL). Discord ids are INTEGER. Everything a restart must know is here.

CREATE TABLE dataset (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    guild_id      INTEGER NOT NULL,
    channel_id    INTEGER NOT NULL,              -- where the thread hangs
    thread_id     INTEGER UNIQUE,                -- NULL until the thread exists
    owner_id      INTEGER NOT NULL,
    name          TEXT NOT NULL,
    trigger       TEXT NOT NULL,
    class_word    TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('person', 'character', 'style', 'object')),
    state         TEXT NOT NULL CHECK (state IN ('awaiting-consent', 'open', 'deleting')),
    last_version  INTEGER NOT NULL DEFAULT 0,    -- of LoRA names: lisaxl_v1, lisaxl_v2, … never reused
    created_at    REAL NOT NULL
);
CREATE INDEX dataset_owner ON dataset (guild_id, owner_id);
CREATE UNIQUE INDEX dataset_name ON dataset (guild_id, owner_id, name COLLATE NOCASE) WHERE state != 'deleting';

-- Kept when the dataset is deleted: it is the proof that consent was given.
CREATE TABLE consent (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id    INTEGER NOT NULL,
    user_id       INTEGER NOT NULL,
    text_version  TEXT NOT NULL,
    text_sha256   TEXT NOT NULL,
    given_at      REAL NOT NULL
);

-- One hand-over of pictures; its card pages through them.
CREATE TABLE batch (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id    INTEGER NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    added_by      INTEGER NOT NULL,
    added_at      REAL NOT NULL,
    source        TEXT NOT NULL,                 -- unique per hand-over: a message or interaction id, so a replay adds nothing
    notes         TEXT NOT NULL DEFAULT '[]',    -- JSON list of sentences: files of it that were refused or known already
    UNIQUE (dataset_id, source)
);

CREATE TABLE picture (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id    INTEGER NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    batch_id      INTEGER NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    file          TEXT NOT NULL,                 -- <sha256>.jpg|png|webp of the stored, upright, stripped picture
    source_sha256 TEXT NOT NULL,                 -- of the bytes as they came
    file_name     TEXT NOT NULL,                 -- as the member called it; shown, never used as a path
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    caption       TEXT NOT NULL,
    revision      INTEGER NOT NULL DEFAULT 0,    -- counts caption edits
    tagged        INTEGER NOT NULL DEFAULT 0,    -- 1 once the tagger (or a person) wrote the caption
    warnings      TEXT NOT NULL DEFAULT '[]',    -- JSON list of sentences
    added_at      REAL NOT NULL,
    UNIQUE (dataset_id, file),
    UNIQUE (dataset_id, source_sha256)
);
CREATE INDEX picture_batch ON picture (batch_id);
CREATE INDEX picture_file ON picture (file);

CREATE TABLE job (
    id            TEXT PRIMARY KEY,              -- names the job folder
    dataset_id    INTEGER NOT NULL REFERENCES dataset (id) ON DELETE CASCADE,
    guild_id      INTEGER NOT NULL,
    owner_id      INTEGER NOT NULL,
    thread_id     INTEGER NOT NULL,              -- where its card and posts go
    name          TEXT NOT NULL UNIQUE,          -- lisaxl_v1
    preset        TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'stopping', 'finished', 'stopped', 'failed')),
    attempt       INTEGER NOT NULL DEFAULT 0,    -- the current one; 0 before the first
    lost_attempts INTEGER NOT NULL DEFAULT 0,    -- attempts that died in a row without a new state
    steps         INTEGER NOT NULL,              -- planned
    epochs        INTEGER NOT NULL,
    progress      TEXT NOT NULL DEFAULT '{}',    -- JSON of the last events the card shows
    error         TEXT NOT NULL DEFAULT '',      -- sentence, when failed
    lora_file     TEXT NOT NULL DEFAULT '',      -- name in paths.loras, once finished
    lora_sha256   TEXT NOT NULL DEFAULT '',
    lora_bytes    INTEGER NOT NULL DEFAULT 0,
    gpu_seconds   REAL NOT NULL DEFAULT 0,
    submitted_at  REAL NOT NULL,
    started_at    REAL,
    ended_at      REAL
);
CREATE INDEX job_state ON job (state, submitted_at);
CREATE INDEX job_dataset ON job (dataset_id);
-- A double click on Start is one job.
CREATE UNIQUE INDEX job_once ON job (dataset_id) WHERE state IN ('queued', 'running', 'stopping');

CREATE TABLE attempt (
    job_id        TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    service       TEXT NOT NULL,
    assigned_at   REAL NOT NULL,
    ended_at      REAL,
    outcome       TEXT NOT NULL DEFAULT '',
    event_offset  INTEGER NOT NULL DEFAULT 0,    -- bytes of events.jsonl applied; moved in the transaction that applies them
    event_seq     INTEGER NOT NULL DEFAULT 0,
    last_event_at REAL,                          -- when the bot last saw a new event
    PRIMARY KEY (job_id, number)
);

-- Messages that must be posted once. Written in the transaction that decides them, sent afterwards.
CREATE TABLE outbox (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id    INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    job_id        TEXT REFERENCES job (id) ON DELETE CASCADE,
    payload       TEXT NOT NULL,                 -- JSON
    state         TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'given-up')),
    tries         INTEGER NOT NULL DEFAULT 0,    -- that did not end well
    next_try_at   REAL NOT NULL DEFAULT 0,
    first_try_at  REAL,
    message_id    INTEGER,
    error         TEXT NOT NULL DEFAULT '',
    created_at    REAL NOT NULL
);
CREATE INDEX outbox_waiting ON outbox (state, next_try_at);

-- Messages that are edited in place: one card per dataset, batch, job. Dirty ones are drawn again, latest state wins.
CREATE TABLE card (
    kind          TEXT NOT NULL CHECK (kind IN ('dataset', 'batch', 'job')),
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
CREATE INDEX card_dirty ON card (dirty) WHERE dirty > 0;

-- Small facts of the installation: hash of the synced commands, seconds per image of this machine, …
CREATE TABLE fact (
    name          TEXT PRIMARY KEY,
    value         TEXT NOT NULL
);
