"""The database's tables and views: the only DDL. Migrations are append-only; each has run somewhere already.

Times are ISO 8601 text in UTC with offset. Digests are BLOBs. Surrogate keys (`id`) are never shown to people. Paths are
stored as bytes, with a printable text beside them. Tables are STRICT, which wants SQLite 3.37.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from sqlite_utils import Database, Migrations

from dedup.errors import SqliteTooOldError

MIN_SQLITE_VERSION = (3, 37, 0)

migrations = Migrations("dedup")

MIGRATION_NAMES = frozenset(
    {
        "0001_first", "0002_batches", "0003_passages", "0004_pruned", "0005_judged", "0006_alerts", "0007_summaries", "0008_altered",
        "0009_counted", "0011_summaries_again", "0012_rereads", "0013_neighbours", "0014_mounts", "0015_schedules",
        "0016_quoted",
    }
)  # fmt: skip
"""Every migration this program knows."""

_TABLES = """
CREATE TABLE settings (
    key TEXT PRIMARY KEY,                 -- 'uuid', 'recipe.signature', 'last_scan', …
    value TEXT NOT NULL
) STRICT;

CREATE TABLE directories (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,            -- the crawl directory, absolute
    path_text TEXT NOT NULL,
    device INTEGER,                       -- (st_dev, st_ino) when it was last seen with files in it
    inode INTEGER
) STRICT;

CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,             -- canonical URL
    current_sighting_id INTEGER REFERENCES sightings(id) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE aliases (
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    spelling TEXT NOT NULL,               -- the URL as a file spelt it, without credentials; empty: known by oid and aid alone
    oid TEXT NOT NULL,
    aid TEXT NOT NULL,
    UNIQUE (spelling, oid, aid)
) STRICT;
CREATE INDEX aliases_page ON aliases (page_id);

CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,          -- XXH3-128 of the normalised text
    characters INTEGER NOT NULL,          -- of the normalised text
    signature BLOB                        -- MinHash, little-endian uint32; NULL: too short for near duplicates
) STRICT;

CREATE TABLE revisions (
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    digest BLOB NOT NULL,                 -- the state: SHA-256 of title, 0xFF, body in UTF-8
    text_id INTEGER REFERENCES texts(id), -- NULL: no letters or numbers, or known only from uncounted sightings
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (page_id, digest)
) STRICT;
CREATE INDEX revisions_text ON revisions (text_id, page_id);

CREATE TABLE metadata (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,          -- XXH3-128 of the row's content
    article_id TEXT,
    publisher TEXT NOT NULL,
    author TEXT NOT NULL,
    category TEXT NOT NULL,
    published_at TEXT,
    published_printed TEXT NOT NULL,      -- as the file has it, without a zone
    oid TEXT NOT NULL,
    aid TEXT NOT NULL,
    extra TEXT NOT NULL                   -- JSON object: the other keys of the header
) STRICT;
CREATE INDEX metadata_article ON metadata (article_id);

CREATE TABLE sightings (
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    crawled_at TEXT NOT NULL,
    revision_id INTEGER NOT NULL REFERENCES revisions(id),
    crawled_at_from TEXT NOT NULL CHECK (crawled_at_from IN ('file', 'mtime')),
    metadata_id INTEGER NOT NULL REFERENCES metadata(id),
    standing TEXT NOT NULL CHECK (standing IN ('counted', 'truncated', 'overruled', 'superseded')),
    check_status TEXT NOT NULL CHECK (check_status IN ('verified', 'mismatched', 'unclaimed')),
    check_cause TEXT CHECK (check_cause IN ('truncated', 'stale', 'altered', 'malformed')),
    UNIQUE (page_id, crawled_at, revision_id)
) STRICT;
CREATE INDEX sightings_revision ON sightings (revision_id);
CREATE INDEX sightings_metadata ON sightings (metadata_id);

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    directory_id INTEGER NOT NULL REFERENCES directories(id),
    folder BLOB NOT NULL,                 -- relative to the crawl directory, no slash at either end
    name BLOB NOT NULL,
    path_text TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    content BLOB,                         -- XXH3-128 of the bytes; NULL: not read (too large, unreadable)
    reading_id INTEGER REFERENCES readings(id) DEFERRABLE INITIALLY DEFERRED, -- what it holds now; NULL: a fault
    gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
    seen_at TEXT NOT NULL,
    gone_at TEXT,
    UNIQUE (directory_id, folder, name)
) STRICT;

CREATE TABLE readings (
    id INTEGER PRIMARY KEY,
    file_id INTEGER NOT NULL REFERENCES files(id),
    sighting_id INTEGER NOT NULL REFERENCES sightings(id),
    alias_id INTEGER NOT NULL REFERENCES aliases(id),
    metadata_id INTEGER NOT NULL REFERENCES metadata(id),
    standing TEXT NOT NULL CHECK (standing IN ('counted', 'truncated', 'overruled', 'superseded')),
    check_status TEXT NOT NULL CHECK (check_status IN ('verified', 'mismatched', 'unclaimed')),
    check_cause TEXT CHECK (check_cause IN ('truncated', 'stale', 'altered', 'malformed')),
    claimed TEXT NOT NULL,
    recipe TEXT NOT NULL,                 -- the one that matched, or the first that fits
    encoding TEXT NOT NULL,
    read_at TEXT NOT NULL,
    UNIQUE (sighting_id, file_id)
) STRICT;
CREATE INDEX readings_file ON readings (file_id);
CREATE INDEX readings_alias ON readings (alias_id);

CREATE TABLE faults (
    directory_id INTEGER NOT NULL REFERENCES directories(id),
    path BLOB NOT NULL,                   -- relative to the crawl directory; a folder's too
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    path_text TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (directory_id, path, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE matches (
    a INTEGER NOT NULL REFERENCES texts(id),
    b INTEGER NOT NULL REFERENCES texts(id),
    relation TEXT NOT NULL CHECK (relation IN ('near', 'excerpt')),
    similarity REAL NOT NULL,             -- Jaccard of the shingle sets
    containment REAL NOT NULL,            -- share of the smaller shingle set in the larger
    recipe TEXT NOT NULL,
    found_at TEXT NOT NULL,
    PRIMARY KEY (a, b),
    CHECK (a < b)
) STRICT, WITHOUT ROWID;
CREATE INDEX matches_b ON matches (b);

CREATE TABLE changes (
    sighting_id INTEGER PRIMARY KEY REFERENCES sightings(id), -- the later one of the two
    previous_id INTEGER NOT NULL REFERENCES sightings(id),
    page_id INTEGER NOT NULL REFERENCES pages(id),
    at TEXT NOT NULL,
    title_changed INTEGER NOT NULL CHECK (title_changed IN (0, 1)),
    body_changed INTEGER NOT NULL CHECK (body_changed IN (0, 1)),
    body_similarity REAL NOT NULL,        -- Jaccard of the shingles of the two bodies
    returned INTEGER NOT NULL CHECK (returned IN (0, 1)),
    fields TEXT NOT NULL                  -- JSON object: tracked metadata that differ, name → [before, after]
) STRICT;
CREATE INDEX changes_page ON changes (page_id, at);
CREATE INDEX changes_at ON changes (at);
"""

_OLD_DUPLICATES = """
CREATE VIEW duplicates AS
SELECT 'exact' AS relation, 1.0 AS similarity, 1.0 AS containment, a.url AS url_a, b.url AS url_b,
       a.publisher AS publisher_a, b.publisher AS publisher_b, a.title AS title_a, b.title AS title_b
FROM current_articles a JOIN current_articles b ON a.text_id = b.text_id AND a.page_id < b.page_id
UNION ALL
SELECT x.relation, x.similarity, x.containment, a.url, b.url, a.publisher, b.publisher, a.title, b.title
FROM matches x JOIN current_articles a ON a.text_id = x.a JOIN current_articles b ON b.text_id = x.b
WHERE a.page_id <> b.page_id;
"""

_VIEWS = """
CREATE VIEW history AS
SELECT p.url, s.crawled_at, r.title, s.check_status, s.check_cause, s.standing, m.publisher, m.author, m.category,
       m.published_at, lower(hex(r.digest)) AS state, length(r.body) AS body_characters,
       (SELECT min(f.path_text) FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id) AS path
FROM sightings s JOIN pages p ON p.id = s.page_id JOIN revisions r ON r.id = s.revision_id
     JOIN metadata m ON m.id = s.metadata_id
ORDER BY p.url, s.crawled_at, r.digest;

CREATE VIEW current_articles AS
SELECT p.id AS page_id, p.url, r.text_id, r.title, m.publisher, m.published_at, s.crawled_at, s.check_status
FROM pages p JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id
     JOIN metadata m ON m.id = s.metadata_id;

CREATE VIEW changes_view AS
SELECT p.url, c.at, c.title_changed, c.body_changed, c.body_similarity, c.returned, c.fields,
       x.crawled_at AS previous_at, a.title AS title_before, b.title AS title_after, a.body AS body_before, b.body AS body_after
FROM changes c JOIN pages p ON p.id = c.page_id
     JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id
     JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id;
"""


@migrations(name="0001_first")
def _first(db: Database) -> None:
    for statement in _statements(_TABLES + _VIEWS + _OLD_DUPLICATES):
        db.execute(statement)


_BATCHES = """
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    token BLOB NOT NULL,                  -- random: by it the candidate index knows which commit it holds
    text_id INTEGER NOT NULL              -- the last text with a signature as of this commit
) STRICT;

INSERT INTO batches (token, text_id)
SELECT randomblob(16), last FROM (SELECT max(id) AS last FROM texts WHERE signature IS NOT NULL) WHERE last IS NOT NULL;

ALTER TABLE texts ADD COLUMN crowded INTEGER NOT NULL DEFAULT 0 CHECK (crowded IN (0, 1)); -- met a full bucket

CREATE INDEX texts_crowded ON texts (id) WHERE crowded = 1;

DROP VIEW history;
DROP VIEW current_articles;
DROP VIEW duplicates;
DROP VIEW changes_view;

CREATE TABLE aliases_2 (
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    spelling TEXT NOT NULL,               -- the URL as a file spelt it, without credentials; empty: known by oid and aid alone
    oid TEXT NOT NULL,
    aid TEXT NOT NULL,
    UNIQUE (page_id, spelling, oid, aid)
) STRICT;
INSERT INTO aliases_2 SELECT id, page_id, spelling, oid, aid FROM aliases;
DROP TABLE aliases;
ALTER TABLE aliases_2 RENAME TO aliases;

CREATE TABLE metadata_2 (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,                 -- XXH3-128 of the row's content; one row for each value that a page has had
    article_id TEXT,
    publisher TEXT NOT NULL,
    author TEXT NOT NULL,
    category TEXT NOT NULL,
    published_at TEXT,
    published_printed TEXT NOT NULL,      -- as the file has it, without a zone
    oid TEXT NOT NULL,
    aid TEXT NOT NULL,
    extra TEXT NOT NULL                   -- JSON object: the other keys of the header
) STRICT;
INSERT INTO metadata_2 SELECT id, digest, article_id, publisher, author, category, published_at, published_printed, oid, aid, extra
FROM metadata;
DROP TABLE metadata;
ALTER TABLE metadata_2 RENAME TO metadata;
CREATE INDEX metadata_article ON metadata (article_id);

CREATE TABLE sightings_2 (
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    crawled_at TEXT NOT NULL,
    revision_id INTEGER NOT NULL REFERENCES revisions(id),
    crawled_at_from TEXT NOT NULL CHECK (crawled_at_from = 'file' OR crawled_at_from = 'mtime'),
    metadata_id INTEGER NOT NULL REFERENCES metadata(id),
    standing TEXT NOT NULL
        CHECK (standing = 'counted' OR standing = 'truncated' OR standing = 'overruled' OR standing = 'superseded'),
    check_status TEXT NOT NULL CHECK (check_status = 'verified' OR check_status = 'mismatched' OR check_status = 'unclaimed'),
    check_cause TEXT
        CHECK (check_cause = 'truncated' OR check_cause = 'stale' OR check_cause = 'altered' OR check_cause = 'malformed'),
    UNIQUE (page_id, crawled_at, revision_id)
) STRICT;
INSERT INTO sightings_2 SELECT id, page_id, crawled_at, revision_id, crawled_at_from, metadata_id, standing, check_status, check_cause
FROM sightings;
DROP TABLE sightings;
ALTER TABLE sightings_2 RENAME TO sightings;
CREATE INDEX sightings_revision ON sightings (revision_id);
CREATE INDEX sightings_metadata ON sightings (metadata_id);

CREATE TABLE readings_2 (
    id INTEGER PRIMARY KEY,
    file_id INTEGER NOT NULL REFERENCES files(id),
    sighting_id INTEGER NOT NULL REFERENCES sightings(id),
    alias_id INTEGER NOT NULL REFERENCES aliases(id),
    metadata_id INTEGER NOT NULL REFERENCES metadata(id),
    standing TEXT NOT NULL
        CHECK (standing = 'counted' OR standing = 'truncated' OR standing = 'overruled' OR standing = 'superseded'),
    check_status TEXT NOT NULL CHECK (check_status = 'verified' OR check_status = 'mismatched' OR check_status = 'unclaimed'),
    check_cause TEXT
        CHECK (check_cause = 'truncated' OR check_cause = 'stale' OR check_cause = 'altered' OR check_cause = 'malformed'),
    claimed TEXT NOT NULL,
    recipe TEXT NOT NULL,                 -- the one that matched, or the first that fits
    encoding TEXT NOT NULL,
    read_at TEXT NOT NULL,
    UNIQUE (sighting_id, file_id)
) STRICT;
INSERT INTO readings_2 SELECT id, file_id, sighting_id, alias_id, metadata_id, standing, check_status, check_cause, claimed, recipe,
encoding, read_at FROM readings;
DROP TABLE readings;
ALTER TABLE readings_2 RENAME TO readings;
CREATE INDEX readings_file ON readings (file_id);

CREATE INDEX files_reading ON files (reading_id);
CREATE INDEX pages_current ON pages (current_sighting_id);
CREATE INDEX changes_previous ON changes (previous_id);
"""


@migrations(name="0002_batches")
def _batches(db: Database) -> None:
    """Commits that the candidate index can name. Cheaper rows: keys of aliases and metadata that grow at one end, as pages do,
    instead of all over their index; checks that SQLite does not build a table for (it does for IN of three and more). Indexes
    for what foreign keys look up when a reading or a sighting is forgotten."""
    for statement in _statements(_BATCHES + _VIEWS + _OLD_DUPLICATES):
        db.execute(statement)


_PASSAGES = """
CREATE TABLE publishers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE             -- the house, by the aliases in force when it was first met
) STRICT;

CREATE TABLE passages (
    text_id INTEGER PRIMARY KEY REFERENCES texts(id),
    publisher_id INTEGER NOT NULL REFERENCES publishers(id), -- of the first article with this text
    keys BLOB NOT NULL                    -- the winnowed keys under which it stands for a story: 5 bytes each, little-endian
) STRICT;

CREATE TABLE represented (
    by INTEGER NOT NULL REFERENCES texts(id),
    text_id INTEGER NOT NULL REFERENCES texts(id), -- not entered under keys of `by`: a copy of it, or another state of its page
    PRIMARY KEY (by, text_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE boilerplate (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,            -- what people call it by: the beginning of a digest of publisher and passage
    publisher_id INTEGER NOT NULL REFERENCES publishers(id),
    passage TEXT NOT NULL,                -- normalised
    shown TEXT NOT NULL,                  -- as it stood in the last of the articles it was learned from
    articles INTEGER NOT NULL,            -- it was learned from so many; 0: told by hand
    status TEXT NOT NULL CHECK (status = 'learned' OR status = 'masked' OR status = 'allowed'), -- the last two by hand
    since TEXT NOT NULL,
    UNIQUE (publisher_id, passage)
) STRICT;

DROP VIEW duplicates;

CREATE TABLE matches_2 (
    a INTEGER NOT NULL REFERENCES texts(id),
    b INTEGER NOT NULL REFERENCES texts(id),
    relation TEXT NOT NULL CHECK (relation = 'near' OR relation = 'copy' OR relation = 'excerpt' OR relation = 'quote'),
    similarity REAL NOT NULL,             -- Jaccard of the shingle sets
    containment REAL NOT NULL,            -- share of the smaller shingle set in the larger
    coverage REAL NOT NULL,               -- share of the shorter text in runs of 20 characters that the other has too
    shared INTEGER NOT NULL,              -- normalised characters in such runs, of the side that has fewer
    longest INTEGER NOT NULL,             -- normalised characters of the longest passage
    quoted REAL NOT NULL,                 -- share of what is shared that stands inside quotation marks
    masked TEXT NOT NULL,                 -- JSON: names of the boilerplate passages that were left out, '[]' where none was
    recipe TEXT NOT NULL,
    found_at TEXT NOT NULL,
    PRIMARY KEY (a, b),
    CHECK (a < b)
) STRICT, WITHOUT ROWID;
INSERT INTO matches_2 SELECT a, b, relation, similarity, containment, 0.0, 0, 0, 0.0, '[]', recipe, found_at FROM matches;
DROP TABLE matches;
ALTER TABLE matches_2 RENAME TO matches;
CREATE INDEX matches_b ON matches (b);
"""

_DUPLICATES = """
CREATE VIEW duplicates AS
SELECT 'exact' AS relation, 1.0 AS similarity, 1.0 AS containment, 1.0 AS coverage, a.url AS url_a, b.url AS url_b,
       a.publisher AS publisher_a, b.publisher AS publisher_b, a.title AS title_a, b.title AS title_b
FROM current_articles a JOIN current_articles b ON a.text_id = b.text_id AND a.page_id < b.page_id
UNION ALL
SELECT x.relation, x.similarity, x.containment, x.coverage, a.url, b.url, a.publisher, b.publisher, a.title, b.title
FROM matches x JOIN current_articles a ON a.text_id = x.a JOIN current_articles b ON b.text_id = x.b
WHERE a.page_id <> b.page_id;
"""


@migrations(name="0003_passages")
def _passages(db: Database) -> None:
    """Copies by shared passages: what the passage index is made of, what was learned of publishers, and what a match measured.
    Matches found before have nothing of it; `dedup reindex`, which other settings ask for, finds them again."""
    for statement in _statements(_PASSAGES + _DUPLICATES):
        db.execute(statement)


_PRUNED = """
DROP VIEW history;
DROP VIEW changes_view;

ALTER TABLE revisions ADD COLUMN pruned_at TEXT CHECK (pruned_at IS NULL OR body = ''); -- its body went then, by 'dedup prune'
ALTER TABLE revisions ADD COLUMN pruned_characters INTEGER CHECK ((pruned_characters IS NULL) = (pruned_at IS NULL)); -- of that body
ALTER TABLE revisions ADD COLUMN pruned_digest BLOB CHECK ((pruned_digest IS NULL) = (pruned_at IS NULL)); -- XXH3-128 of it, in UTF-8

CREATE INDEX revisions_pruned ON revisions (text_id) WHERE pruned_at IS NOT NULL;

CREATE TABLE changes_2 (
    sighting_id INTEGER PRIMARY KEY REFERENCES sightings(id), -- the later one of the two
    previous_id INTEGER NOT NULL REFERENCES sightings(id),
    page_id INTEGER NOT NULL REFERENCES pages(id),
    at TEXT NOT NULL,
    title_changed INTEGER NOT NULL CHECK (title_changed IN (0, 1)),
    body_changed INTEGER NOT NULL CHECK (body_changed IN (0, 1)),
    body_similarity REAL,                 -- Jaccard of the shingles of the two bodies; NULL: one was pruned before they were compared
    returned INTEGER NOT NULL CHECK (returned IN (0, 1)),
    fields TEXT NOT NULL                  -- JSON object: tracked metadata that differ, name → [before, after]
) STRICT;
INSERT INTO changes_2 SELECT sighting_id, previous_id, page_id, at, title_changed, body_changed, body_similarity, returned, fields
FROM changes;
DROP TABLE changes;
ALTER TABLE changes_2 RENAME TO changes;
CREATE INDEX changes_page ON changes (page_id, at);
CREATE INDEX changes_at ON changes (at);
CREATE INDEX changes_previous ON changes (previous_id);

CREATE VIEW history AS
SELECT p.url, s.crawled_at, r.title, s.check_status, s.check_cause, s.standing, m.publisher, m.author, m.category,
       m.published_at, lower(hex(r.digest)) AS state, coalesce(r.pruned_characters, length(r.body)) AS body_characters, r.pruned_at,
       (SELECT min(f.path_text) FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id) AS path
FROM sightings s JOIN pages p ON p.id = s.page_id JOIN revisions r ON r.id = s.revision_id
     JOIN metadata m ON m.id = s.metadata_id
ORDER BY p.url, s.crawled_at, r.digest;
"""


@migrations(name="0004_pruned")
def _pruned(db: Database) -> None:
    """States whose body was let go by the rule of [history]: an empty one with a time beside it, so that nothing is written anew. A
    change that involves one may be known without how alike the bodies were."""
    for statement in _statements(_PRUNED):
        db.execute(statement)


_JUDGED = """
ALTER TABLE changes ADD COLUMN kind TEXT;                          -- 'cosmetic', 'substantive', 'removed', …; NULL: not judged
ALTER TABLE changes ADD COLUMN severity TEXT CHECK ((severity IS NULL) = (kind IS NULL)); -- 'trivial', 'minor', 'notable', 'major'
ALTER TABLE changes ADD COLUMN channels TEXT;                      -- JSON list: 'title', 'body' and tracked metadata that differ
ALTER TABLE changes ADD COLUMN evidence TEXT;                      -- JSON list of [what, before, after]
ALTER TABLE changes ADD COLUMN stealth INTEGER NOT NULL DEFAULT 0 CHECK (stealth = 0 OR stealth = 1);     -- substance, and not owned up to
ALTER TABLE changes ADD COLUMN corrected INTEGER NOT NULL DEFAULT 0 CHECK (corrected = 0 OR corrected = 1); -- marked as a correction
ALTER TABLE changes ADD COLUMN edit BLOB;                          -- the same for the same edit on another page: XXH3-128
ALTER TABLE changes ADD COLUMN past TEXT;                          -- JSON: what of the history before it was judged with
ALTER TABLE changes ADD COLUMN judged_by TEXT;                     -- recipe

CREATE INDEX changes_edit ON changes (edit, at) WHERE edit IS NOT NULL;

CREATE VIEW changes_view AS
SELECT p.url, c.at, c.kind, c.severity, c.stealth, c.corrected, c.channels, c.evidence, c.title_changed, c.body_changed,
       c.body_similarity, c.returned, c.fields,
       x.crawled_at AS previous_at, a.title AS title_before, b.title AS title_after,
       CASE WHEN a.pruned_at IS NULL THEN a.body END AS body_before, CASE WHEN b.pruned_at IS NULL THEN b.body END AS body_after,
       a.pruned_at AS pruned_before, b.pruned_at AS pruned_after
FROM changes c JOIN pages p ON p.id = c.page_id
     JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id
     JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id;
"""


@migrations(name="0005_judged")
def _judged(db: Database) -> None:
    """What kind of change each change is, and on what evidence. Those of before are judged by `dedup reindex --changes`."""
    for statement in _statements(_JUDGED):
        db.execute(statement)


_ALERTS = """
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,            -- what it is known by, to its receivers too: of rule and event, stable
    rule TEXT NOT NULL,                   -- its name in the configuration
    event TEXT NOT NULL,                  -- the key of what it tells of
    topic TEXT NOT NULL,                  -- 'change', 'mismatch', 'duplicate', …
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    url TEXT NOT NULL,                    -- canonical; empty: it is of no page
    title TEXT NOT NULL,
    publisher TEXT NOT NULL,
    at TEXT NOT NULL,                     -- when what it tells of was
    details TEXT NOT NULL,                -- JSON object: what else is known of the event
    told TEXT NOT NULL,                   -- JSON object: what messages show; its own copy, whatever becomes of the page
    made_at TEXT NOT NULL,
    withdrawn_at TEXT,                    -- what it tells of is not so any more
    incident TEXT,                        -- the same for the same edit on other pages; NULL: of its own
    pages INTEGER,                        -- it tells of an incident on so many; NULL: of one event
    open_until TEXT,                      -- of an incident: until then further pages join it
    folded_into INTEGER REFERENCES alerts(id) -- the incident's alert that tells of it
) STRICT;
CREATE INDEX alerts_event ON alerts (event);
CREATE INDEX alerts_incident ON alerts (incident, rule) WHERE incident IS NOT NULL;
CREATE INDEX alerts_folded ON alerts (folded_into) WHERE folded_into IS NOT NULL;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    alert_id INTEGER NOT NULL REFERENCES alerts(id),
    channel TEXT NOT NULL,                -- its name in the configuration
    state TEXT NOT NULL CHECK (state = 'pending' OR state = 'sent' OR state = 'dead' OR state = 'withdrawn'),
    due_at TEXT NOT NULL,
    digest TEXT,                          -- why it is told together with what else of its rule is due then; NULL: by itself
    attempts INTEGER NOT NULL,
    first_attempt TEXT,
    last_attempt TEXT,
    last_error TEXT,                      -- without secrets
    sent_at TEXT,                         -- when the channel had accepted it
    message TEXT,                         -- the name of the message that it was sent in
    UNIQUE (alert_id, channel)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (channel, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (channel) WHERE state = 'dead';
CREATE INDEX deliveries_sent ON deliveries (channel, sent_at) WHERE state = 'sent';

CREATE VIEW alerts_view AS
SELECT a.name, a.rule, a.topic, a.kind, a.severity, a.url, a.publisher, a.title, a.at, a.made_at, a.pages, a.withdrawn_at,
       (SELECT f.name FROM alerts f WHERE f.id = a.folded_into) AS folded_into, d.channel, d.state, d.due_at, d.attempts, d.sent_at,
       d.last_error, a.told
FROM alerts a LEFT JOIN deliveries d ON d.alert_id = a.id
ORDER BY a.id, d.id;
"""


@migrations(name="0006_alerts")
def _alerts(db: Database) -> None:
    """The outbox: alerts, written with what they tell of, and their deliveries."""
    for statement in _statements(_ALERTS):
        db.execute(statement)


_SUMMARIES = """
CREATE TABLE due (
    page_id INTEGER PRIMARY KEY           -- its summary and its clusters are to be worked out again
) STRICT;

CREATE TABLE due_texts (
    text_id INTEGER PRIMARY KEY           -- the same of all pages that show it: its matches are others
) STRICT;

CREATE TABLE summaries (                  -- derived: a row for each page that has a current sighting
    page_id INTEGER PRIMARY KEY REFERENCES pages(id) ON DELETE CASCADE,
    publisher TEXT NOT NULL,              -- the house, by the aliases in force
    published_at TEXT,
    first_at TEXT NOT NULL,               -- the first crawl that counts, and the last
    last_at TEXT NOT NULL,
    check_status TEXT NOT NULL,           -- of the last
    check_cause TEXT,
    revisions INTEGER NOT NULL,           -- states that counted crawls showed
    sightings INTEGER NOT NULL,           -- counted crawls
    changes INTEGER NOT NULL,             -- of title or body
    stealth INTEGER NOT NULL,             -- of those
    characters INTEGER NOT NULL,          -- of the normalised text
    text_id INTEGER,                      -- that it shows; NULL: no letters or numbers
    place TEXT NOT NULL CHECK (place = 'alone' OR place = 'representative' OR place = 'member') -- in clusters
) STRICT;
CREATE INDEX summaries_first ON summaries (first_at, page_id, place);
CREATE INDEX summaries_last ON summaries (last_at, page_id);
CREATE INDEX summaries_publisher ON summaries (publisher, last_at, page_id);
CREATE INDEX summaries_published ON summaries (published_at, page_id);
CREATE INDEX summaries_edited ON summaries (changes, page_id) WHERE changes > 0;
CREATE INDEX summaries_checks ON summaries (check_status, check_cause, publisher);

CREATE TABLE clusters (                   -- derived: a representative, and how many articles match it
    page_id INTEGER PRIMARY KEY REFERENCES pages(id) ON DELETE CASCADE, -- the representative's
    size INTEGER NOT NULL,                -- articles, the representative among them
    publishers INTEGER NOT NULL,          -- distinct houses
    exact INTEGER NOT NULL,               -- members by relation
    near INTEGER NOT NULL,
    copy INTEGER NOT NULL,
    first_published TEXT,
    last_published TEXT,
    begun_at TEXT NOT NULL,               -- first crawl of the article that was met first
    newest_at TEXT NOT NULL,              -- first crawl of the article that came last
    first_hour INTEGER NOT NULL           -- articles published within an hour of the first, that among them
) STRICT;
CREATE INDEX clusters_size ON clusters (size, page_id);
CREATE INDEX clusters_newest ON clusters (newest_at, page_id);
CREATE INDEX clusters_publishers ON clusters (publishers, page_id);
CREATE INDEX clusters_first_hour ON clusters (first_hour, page_id);

CREATE TABLE cluster_members (            -- derived
    cluster_id INTEGER NOT NULL REFERENCES clusters(page_id) ON DELETE CASCADE,
    page_id INTEGER NOT NULL REFERENCES pages(id) ON DELETE CASCADE,
    relation TEXT NOT NULL CHECK (relation = 'exact' OR relation = 'near' OR relation = 'copy'),
    similarity REAL NOT NULL,
    coverage REAL NOT NULL,
    via INTEGER,                          -- the text by way of which it belongs here; NULL: it matches the representative itself
    PRIMARY KEY (cluster_id, page_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_members_page ON cluster_members (page_id);

INSERT INTO due SELECT id FROM pages;

CREATE TRIGGER due_sighting_new AFTER INSERT ON sightings BEGIN INSERT OR IGNORE INTO due VALUES (NEW.page_id); END;
CREATE TRIGGER due_sighting_other AFTER UPDATE ON sightings BEGIN INSERT OR IGNORE INTO due VALUES (NEW.page_id); END;
CREATE TRIGGER due_sighting_gone AFTER DELETE ON sightings BEGIN INSERT OR IGNORE INTO due VALUES (OLD.page_id); END;
CREATE TRIGGER due_current AFTER UPDATE OF current_sighting_id ON pages WHEN OLD.current_sighting_id IS NOT NEW.current_sighting_id
BEGIN INSERT OR IGNORE INTO due VALUES (NEW.id); END;
CREATE TRIGGER due_page_gone BEFORE DELETE ON pages BEGIN
    INSERT OR IGNORE INTO due SELECT page_id FROM cluster_members WHERE cluster_id = OLD.id;
    INSERT OR IGNORE INTO due SELECT cluster_id FROM cluster_members WHERE page_id = OLD.id;
    DELETE FROM due WHERE page_id = OLD.id;
END;
CREATE TRIGGER due_revision_text AFTER UPDATE OF text_id ON revisions BEGIN INSERT OR IGNORE INTO due VALUES (NEW.page_id); END;
CREATE TRIGGER due_change_new AFTER INSERT ON changes BEGIN INSERT OR IGNORE INTO due VALUES (NEW.page_id); END;
CREATE TRIGGER due_change_other AFTER UPDATE ON changes BEGIN INSERT OR IGNORE INTO due VALUES (NEW.page_id); END;
CREATE TRIGGER due_change_gone AFTER DELETE ON changes BEGIN INSERT OR IGNORE INTO due VALUES (OLD.page_id); END;
CREATE TRIGGER due_match_new AFTER INSERT ON matches BEGIN INSERT OR IGNORE INTO due_texts VALUES (NEW.a), (NEW.b); END;
CREATE TRIGGER due_match_other AFTER UPDATE ON matches BEGIN INSERT OR IGNORE INTO due_texts VALUES (NEW.a), (NEW.b); END;
CREATE TRIGGER due_match_gone AFTER DELETE ON matches BEGIN INSERT OR IGNORE INTO due_texts VALUES (OLD.a), (OLD.b); END;
CREATE TRIGGER due_crowded AFTER UPDATE OF crowded ON texts WHEN OLD.crowded <> NEW.crowded
BEGIN INSERT OR IGNORE INTO due_texts VALUES (NEW.id); END;

CREATE INDEX sightings_mismatched ON sightings (crawled_at, id) WHERE check_status = 'mismatched';
CREATE INDEX sightings_doubted ON sightings (check_status, check_cause) WHERE check_status <> 'verified';
CREATE INDEX sightings_uncounted ON sightings (revision_id) WHERE standing <> 'counted';
CREATE INDEX files_gone ON files (id) WHERE gone = 1;
CREATE INDEX changes_stealth ON changes (at) WHERE stealth = 1;
CREATE INDEX changes_unjudged ON changes (sighting_id) WHERE judged_by IS NULL;

CREATE VIEW articles AS
SELECT p.url, r.title, v.publisher, v.published_at, v.first_at, v.last_at, v.check_status, v.check_cause, v.revisions, v.sightings,
       v.changes, v.stealth, v.characters, v.place
FROM summaries v JOIN pages p ON p.id = v.page_id JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id;

CREATE VIEW clusters_view AS
SELECT p.url, r.title, v.publisher, c.size, c.publishers, c.exact, c.near, c.copy, c.first_published, c.last_published, c.begun_at,
       c.newest_at, c.first_hour
FROM clusters c JOIN pages p ON p.id = c.page_id JOIN summaries v ON v.page_id = c.page_id
     JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id;
"""


@migrations(name="0007_summaries")
def _summaries(db: Database) -> None:
    """What reports and pages of figures are made of: one row a page, one a cluster. Derived, and worked out when there is time; triggers
    keep what is due in the transaction that made it so."""
    for statement in _statements(_SUMMARIES):
        db.execute(statement)


_ALTERED = """
CREATE TABLE altered (
    id INTEGER PRIMARY KEY,               -- in the order in which it happened; the last 100,000 are kept
    revision_id INTEGER NOT NULL          -- went, or has another body, or its page another publisher: see `dedup.search`
) STRICT;

CREATE TRIGGER altered_gone AFTER DELETE ON revisions BEGIN
    INSERT INTO altered (revision_id) VALUES (old.id);
END;
CREATE TRIGGER altered_words AFTER UPDATE OF title, body ON revisions BEGIN
    INSERT INTO altered (revision_id) VALUES (new.id);
END;
CREATE TRIGGER altered_metadata AFTER UPDATE OF metadata_id ON sightings WHEN new.metadata_id <> old.metadata_id BEGIN
    INSERT INTO altered (revision_id) VALUES (new.revision_id);
END;
CREATE TRIGGER altered_publisher AFTER INSERT ON changes WHEN instr(new.fields, '"publisher"') > 0 BEGIN
    INSERT INTO altered (revision_id) SELECT revision_id FROM sightings WHERE id = new.sighting_id;
END;
CREATE TRIGGER altered_kept AFTER INSERT ON altered BEGIN
    DELETE FROM altered WHERE id <= new.id - 100000;
END;
"""


@migrations(name="0008_altered")
def _altered(db: Database) -> None:
    """Which revisions are to be looked at again by what is made from their words, that is the search index: keys come in order, so
    that it needs to be told only of what happened to those that it has. A new revision is not written down here, and costs nothing."""
    for statement in _statements(_ALTERED):
        db.execute(statement)


@migrations(name="0009_counted")
def _counted(db: Database) -> None:
    """Matches are counted by relation for every look at how things stand; no question asks for pages by when they were published."""
    db.execute("CREATE INDEX IF NOT EXISTS matches_relation ON matches (relation)")
    db.execute("DROP INDEX IF EXISTS summaries_published")


_INDEXES_AGAIN = """
CREATE INDEX IF NOT EXISTS sightings_doubted ON sightings (check_status, check_cause) WHERE check_status <> 'verified';
CREATE INDEX IF NOT EXISTS sightings_uncounted ON sightings (revision_id) WHERE standing <> 'counted';
CREATE INDEX IF NOT EXISTS files_gone ON files (id) WHERE gone = 1;
CREATE INDEX IF NOT EXISTS changes_unjudged ON changes (sighting_id) WHERE judged_by IS NULL;
"""
_SUMMARIES_AGAIN = """
DROP TABLE summaries;
CREATE TABLE summaries (                  -- derived: a row for each page that has a current sighting
    page_id INTEGER PRIMARY KEY REFERENCES pages(id) ON DELETE CASCADE,
    publisher TEXT NOT NULL,              -- the house, by the aliases in force
    published_at TEXT,
    first_at TEXT NOT NULL,               -- the first crawl that counts, and the last
    last_at TEXT NOT NULL,
    check_status TEXT NOT NULL,           -- of the last
    check_cause TEXT,
    revisions INTEGER NOT NULL,           -- states that counted crawls showed
    sightings INTEGER NOT NULL,           -- counted crawls
    changes INTEGER NOT NULL,             -- of title or body
    stealth INTEGER NOT NULL,             -- of those
    characters INTEGER NOT NULL,          -- of the normalised text
    text_id INTEGER,                      -- that it shows; NULL: no letters or numbers
    place TEXT NOT NULL CHECK (place = 'alone' OR place = 'representative' OR place = 'member') -- in clusters
) STRICT;
CREATE INDEX summaries_first ON summaries (first_at, page_id, place);
CREATE INDEX summaries_last ON summaries (last_at, page_id);
CREATE INDEX summaries_publisher ON summaries (publisher, last_at, page_id);
CREATE INDEX summaries_edited ON summaries (changes, page_id) WHERE changes > 0;
CREATE INDEX summaries_checks ON summaries (check_status, check_cause, publisher);
INSERT OR IGNORE INTO due SELECT id FROM pages;
"""


@migrations(name="0011_summaries_again")
def _summaries_again(db: Database) -> None:
    """0007 was altered after databases had been made with it: those lack indexes, and a column of a derived table."""
    for statement in _statements(_INDEXES_AGAIN):
        db.execute(statement)
    columns = {row[1] for row in db.execute("PRAGMA table_info(summaries)").fetchall()}
    if "text_id" not in columns:
        for statement in _statements(_SUMMARIES_AGAIN):
            db.execute(statement)


_REREADS = """
CREATE TABLE rereads (                    -- files that are to be read again because settings that interpret them changed
    file_id INTEGER PRIMARY KEY REFERENCES files(id),
    content BLOB NOT NULL                 -- what was read by the earlier settings: XXH3-128 of the bytes
) STRICT;
CREATE INDEX rereads_content ON rereads (content);

ALTER TABLE directories ADD COLUMN scanned_at TEXT;   -- the end of the last scan of all of it
ALTER TABLE directories ADD COLUMN forgotten_at TEXT; -- by 'dedup roots forget'; NULL: its files count
"""


@migrations(name="0012_rereads")
def _rereads(db: Database) -> None:
    """Files that are to be read again, and what became of each crawl directory."""
    for statement in _statements(_REREADS):
        db.execute(statement)


_NEIGHBOURS = """
ALTER TABLE readings ADD COLUMN crawled_at_from TEXT NOT NULL DEFAULT 'file'
    CHECK (crawled_at_from = 'file' OR crawled_at_from = 'mtime'); -- where this file's crawl time is from
ALTER TABLE metadata ADD COLUMN page_id INTEGER;  -- the page whose crawls have it; NULL: unknown, its value is stored again when needed
"""

_NEIGHBOURS_OF_ROWS = """
UPDATE readings SET crawled_at_from = 'mtime'
WHERE sighting_id IN (SELECT id FROM sightings WHERE crawled_at_from = 'mtime');
UPDATE metadata SET page_id = found.page_id
FROM (SELECT d.metadata_id, min(s.page_id) AS page_id FROM readings d JOIN sightings s ON s.id = d.sighting_id GROUP BY 1) AS found
WHERE metadata.id = found.metadata_id;
"""

_NEIGHBOURS_INDEXES = """
CREATE INDEX metadata_page ON metadata (page_id, digest);
DROP INDEX sightings_revision;
CREATE INDEX sightings_revision ON sightings (revision_id, standing, crawled_at);
CREATE INDEX sightings_counted ON sightings (page_id, crawled_at) WHERE standing = 'counted';
CREATE INDEX readings_doubted ON readings (alias_id) WHERE check_status = 'mismatched' AND standing = 'counted';
CREATE INDEX changes_of_state ON changes (page_id, at) WHERE title_changed = 1 OR body_changed = 1;
CREATE INDEX changes_of_presence ON changes (page_id, at) WHERE kind = 'removed' OR kind = 'restored';
"""


@migrations(name="0013_neighbours")
def _neighbours(db: Database) -> None:
    """What is around one crawl in a page's history can be looked up, however long that is. Each reading records where its crawl time is
    from: a crawl that one file dates and another does not must not depend on which was read first."""
    rows = _NEIGHBOURS_OF_ROWS if db.execute("SELECT 1 FROM readings LIMIT 1").fetchone() else ""
    for statement in _statements(_NEIGHBOURS + rows + _NEIGHBOURS_INDEXES):
        db.execute(statement)


_MOUNTS = """
CREATE TABLE mounts (
    directory_id INTEGER NOT NULL REFERENCES directories(id) ON DELETE CASCADE,
    path BLOB NOT NULL,                   -- relative to the crawl directory; absolute: the mount that the crawl directory itself is on
    device INTEGER NOT NULL,              -- (st_dev, st_ino) when it was last seen mounted
    inode INTEGER NOT NULL,
    absent_from INTEGER,                  -- the key of the next file when it was found not to be mounted; NULL: it was mounted last
    PRIMARY KEY (directory_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE hidden_files (
    file_id INTEGER PRIMARY KEY REFERENCES files(id) ON DELETE CASCADE  -- was there when something was mounted over it
) STRICT;
"""


@migrations(name="0014_mounts")
def _mounts(db: Database) -> None:
    """File systems that are mounted in crawl directories: what is below one that is not mounted is not gone."""
    for statement in _statements(_MOUNTS):
        db.execute(statement)


_SCHEDULES = """
ALTER TABLE deliveries ADD COLUMN scheduled_at TEXT;                 -- when due_at was set, by the clock of that time
ALTER TABLE deliveries ADD COLUMN waited_seconds INTEGER NOT NULL DEFAULT 0; -- since the first failed attempt, while it was tried
UPDATE deliveries SET scheduled_at = coalesce(last_attempt, (SELECT a.made_at FROM alerts a WHERE a.id = deliveries.alert_id));
CREATE INDEX deliveries_scheduled ON deliveries (scheduled_at) WHERE state = 'pending';
"""


@migrations(name="0015_schedules")
def _schedules(db: Database) -> None:
    """When the due time of a delivery was set: a clock that has been set back since shows that the due time is not to be believed. How long
    a channel has been tried is counted instead of being taken from two times of a clock."""
    for statement in _statements(_SCHEDULES):
        db.execute(statement)


_QUOTED = """
ALTER TABLE texts ADD COLUMN quoted BLOB;  -- where bodies of the text differ in quotation marks: a bit for each character that all quote
"""


@migrations(name="0016_quoted")
def _quoted(db: Database) -> None:
    """What a text quotes must not depend on which of its bodies was recorded first."""
    for statement in _statements(_QUOTED):
        db.execute(statement)


def _statements(script: str) -> list[str]:
    """The script's statements; `executescript` would commit the transaction that migrations run in."""
    statements, statement = [], ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            statements.append(statement.strip())
            statement = ""
    return statements


def require_sqlite() -> None:
    """Raises SqliteTooOldError where STRICT tables are not to be had."""
    if sqlite3.sqlite_version_info < MIN_SQLITE_VERSION:
        raise SqliteTooOldError(version=sqlite3.sqlite_version, needed=".".join(map(str, MIN_SQLITE_VERSION)))


def unknown_migrations(db: Database) -> list[str]:
    """Names of applied migrations that this program does not know: the database is newer."""
    return sorted({m.name for m in migrations.applied(db)} - MIGRATION_NAMES)


def has_pending_migrations(db: Database) -> bool:
    """Whether the database lacks a migration of this program."""
    return bool(migrations.pending(db))


def migrate(db: Database) -> None:
    """Bring the database up to date, all or nothing, under the write lock. The connection must be in autocommit mode."""
    db.execute("PRAGMA foreign_keys=OFF")
    db.execute("BEGIN IMMEDIATE")
    try:
        if {"0004_pruned", "0005_judged"} & {m.name for m in migrations.pending(db)} == {"0005_judged"}:
            db.execute("DROP VIEW IF EXISTS changes_view")  # an early form of 0004 made it, and 0005 makes it
        migrations.apply(db)
        violations = db.execute("PRAGMA foreign_key_check").fetchall()
        if violations:
            raise sqlite3.IntegrityError(f"foreign keys would be broken: {violations[:3]}")
        db.execute("COMMIT")
    except BaseException:
        if db.conn.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        db.execute("PRAGMA foreign_keys=ON")


ObjectKind = Literal["table", "index", "trigger", "view"]


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """An object of the database's schema that is `missing`, or other than the migrations make it; `sql` makes it as they do."""

    kind: ObjectKind
    name: str
    is_missing: bool
    sql: str


def differences(db: Database) -> list[SchemaDifference]:
    """What of the schema is not as the migrations make it: tables first, then indexes, triggers and views, each by name. Objects that
    others added are left out, and tables are compared by their columns."""
    actual = _schema_objects(db)
    expected = _expected_objects()
    return [
        SchemaDifference(kind, name, (kind, name) not in actual, sql)
        for (kind, name), (shape, sql) in sorted(expected.items(), key=lambda item: (_OBJECT_KINDS.index(item[0][0]), item[0][1]))
        if (kind, name) not in actual or actual[kind, name][0] != shape
    ]


_OBJECT_KINDS: tuple[ObjectKind, ...] = ("table", "index", "trigger", "view")


@lru_cache(maxsize=1)
def _expected_objects() -> dict[tuple[ObjectKind, str], tuple[str, str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db = Database(connection)
        migrations.apply(db)
        return _schema_objects(db)
    finally:
        connection.close()


def _schema_objects(db: Database) -> dict[tuple[ObjectKind, str], tuple[str, str]]:
    """(kind, name) → (what is compared of it, the SQL that makes it)."""
    rows = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    return {(kind, name): (_table_shape(db, name) if kind == "table" else _normalise_sql(sql), sql) for kind, name, sql in rows}


def _table_shape(db: Database, table: str) -> str:
    rows = db.execute('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?)', (table,)).fetchall()
    return "; ".join(" ".join(map(str, row)) for row in rows)


def _normalise_sql(sql: str) -> str:
    """SQL without comments, quotation of names and the way that it is laid out."""
    return " ".join(re.sub(r"--[^\n]*", "", sql).replace('"', "").split())
