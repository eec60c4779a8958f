"""Tables, views and triggers of the database, and the migrations that create them.

A database of a version before the first release is not migrated. From the first release on, migrations are append-only, because
each has run somewhere already.

Times are ISO 8601 text in UTC with offset. Digests are BLOBs. Surrogate keys (`id`) are never shown to people. Paths are stored as
bytes, with a printable text in another column. Tables are STRICT, which needs SQLite 3.37.

SQLite stores the comments within a statement. They are written for people who open the file with other tools.
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

MIGRATION_NAMES = frozenset({"0001_base"})
"""Names of all migrations of this program."""

_DEVELOPMENT_MIGRATION = "0001_first"
"""Name of the first migration of databases made by versions before the first release."""

_TABLES = """
CREATE TABLE settings (
    -- Values that dedup stores about the database itself.
    key TEXT PRIMARY KEY,                 -- 'uuid', 'recipe.matches', 'last_scan', …
    value TEXT NOT NULL
) STRICT;

CREATE TABLE crawl_directories (
    -- Folders that a crawler writes into.
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,            -- absolute
    path_text TEXT NOT NULL,
    device INTEGER,                       -- st_dev and st_ino when it was last seen with files in it
    inode INTEGER,
    scanned_at TEXT,                      -- end of the last scan of the whole crawl directory
    retired_at TEXT                       -- when 'dedup directories retire' retired it; NULL: its files count
) STRICT;

CREATE TABLE pages (
    -- What one canonical URL identifies.
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,             -- canonical URL
    current_sighting_id INTEGER REFERENCES sightings(id) DEFERRABLE INITIALLY DEFERRED -- the latest counted one; NULL: none counts
) STRICT;
CREATE INDEX pages_current_sighting ON pages (current_sighting_id);

CREATE TABLE aliases (
    -- Each form in which files print the URL and the ids of a page.
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    url_printed TEXT NOT NULL,            -- as the file has it, without credentials; empty: the file has only oid and aid
    oid TEXT NOT NULL,                    -- publisher's id on the portal
    aid TEXT NOT NULL,                    -- article's id on the portal
    UNIQUE (page_id, url_printed, oid, aid)
) STRICT;

CREATE TABLE texts (
    -- Distinct normalised texts. Revisions with the same text are exact copies.
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,          -- XXH3-128 of the normalised text
    characters INTEGER NOT NULL,          -- length of the normalised text
    signature BLOB,                       -- MinHash, little-endian uint32; NULL: too short for near duplicates
    crowded INTEGER NOT NULL DEFAULT 0 CHECK (crowded IN (0, 1)), -- 1: it met a full bucket and may have more matches than were found
    quoted_mask BLOB                      -- a bit for each character, 1: quoted in every body; NULL: all bodies quote the same characters
) STRICT;
CREATE INDEX texts_crowded ON texts (id) WHERE crowded = 1;

CREATE TABLE revisions (
    -- The distinct states (title and body) of each page.
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    digest BLOB NOT NULL,                 -- state digest: SHA-256 of title, 0xFF, body in UTF-8
    text_id INTEGER REFERENCES texts(id), -- NULL: no letters or numbers, or known only from sightings that are not counted
    title TEXT NOT NULL,
    body TEXT NOT NULL,                   -- plain text; empty after pruning
    pruned_at TEXT CHECK (pruned_at IS NULL OR body = ''), -- when 'dedup prune' deleted the body
    pruned_characters INTEGER CHECK ((pruned_characters IS NULL) = (pruned_at IS NULL)), -- length of the deleted body
    pruned_digest BLOB CHECK ((pruned_digest IS NULL) = (pruned_at IS NULL)), -- XXH3-128 of the deleted body in UTF-8
    UNIQUE (page_id, digest)
) STRICT;
CREATE INDEX revisions_text ON revisions (text_id, page_id);
CREATE INDEX revisions_pruned ON revisions (text_id) WHERE pruned_at IS NOT NULL;

CREATE TABLE metadata (
    -- What files say about an article besides title and body: a row for each distinct value of a page.
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,                 -- XXH3-128 of the row's content
    article_id TEXT,
    publisher_printed TEXT NOT NULL,      -- as the file has it; publishers.name is the canonical name
    author TEXT NOT NULL,
    category TEXT NOT NULL,
    published_at TEXT,
    published_printed TEXT NOT NULL,      -- as the file has it, without a zone
    oid TEXT NOT NULL,
    aid TEXT NOT NULL,
    extra TEXT NOT NULL,                  -- JSON object: the other keys of the header
    page_id INTEGER                       -- the page whose crawls have it
) STRICT;
CREATE INDEX metadata_article ON metadata (article_id);
CREATE INDEX metadata_page_digest ON metadata (page_id, digest);

CREATE TABLE sightings (
    -- Crawls of pages. Two states with the same crawl time are two sightings.
    id INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL REFERENCES pages(id),
    crawled_at TEXT NOT NULL,
    revision_id INTEGER NOT NULL REFERENCES revisions(id),
    crawled_at_source TEXT NOT NULL CHECK (crawled_at_source = 'file' OR crawled_at_source = 'mtime'),
    metadata_id INTEGER NOT NULL REFERENCES metadata(id),
    status TEXT NOT NULL                  -- only counted sightings take part in histories, changes and clusters
        CHECK (status = 'counted' OR status = 'truncated' OR status = 'overruled' OR status = 'superseded'),
    check_status TEXT NOT NULL CHECK (check_status = 'verified' OR check_status = 'mismatched' OR check_status = 'unclaimed'),
    check_cause TEXT                      -- why it is mismatched
        CHECK (check_cause = 'truncated' OR check_cause = 'stale' OR check_cause = 'altered' OR check_cause = 'malformed'),
    UNIQUE (page_id, crawled_at, revision_id)
) STRICT;
CREATE INDEX sightings_revision ON sightings (revision_id, status, crawled_at);
CREATE INDEX sightings_metadata ON sightings (metadata_id);
CREATE INDEX sightings_counted_by_page ON sightings (page_id, crawled_at) WHERE status = 'counted';
CREATE INDEX sightings_not_counted ON sightings (revision_id) WHERE status <> 'counted';
CREATE INDEX sightings_mismatched ON sightings (crawled_at, id) WHERE check_status = 'mismatched';
CREATE INDEX sightings_unverified ON sightings (check_status, check_cause) WHERE check_status <> 'verified';

CREATE TABLE files (
    -- Every file that a scan recorded, as it was last seen.
    id INTEGER PRIMARY KEY,
    directory_id INTEGER NOT NULL REFERENCES crawl_directories(id),
    folder BLOB NOT NULL,                 -- relative to the crawl directory, no slash at either end
    name BLOB NOT NULL,
    path_text TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    content_digest BLOB,                  -- XXH3-128 of the bytes; NULL: not read (too large, unreadable)
    current_reading_id INTEGER REFERENCES readings(id) DEFERRABLE INITIALLY DEFERRED, -- of the content; NULL: a fault
    gone INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)), -- 1: the file no longer exists
    first_seen_at TEXT NOT NULL,
    gone_at TEXT,                         -- when a scan no longer found the file
    UNIQUE (directory_id, folder, name)
) STRICT;
CREATE INDEX files_current_reading ON files (current_reading_id);
CREATE INDEX files_gone ON files (id) WHERE gone = 1;

CREATE TABLE readings (
    -- What one file showed at one time. Readings of the same crawl support one sighting.
    id INTEGER PRIMARY KEY,
    file_id INTEGER NOT NULL REFERENCES files(id),
    sighting_id INTEGER NOT NULL REFERENCES sightings(id),
    alias_id INTEGER NOT NULL REFERENCES aliases(id),
    metadata_id INTEGER NOT NULL REFERENCES metadata(id),
    status TEXT NOT NULL
        CHECK (status = 'counted' OR status = 'truncated' OR status = 'overruled' OR status = 'superseded'),
    check_status TEXT NOT NULL CHECK (check_status = 'verified' OR check_status = 'mismatched' OR check_status = 'unclaimed'),
    check_cause TEXT                      -- why it is mismatched
        CHECK (check_cause = 'truncated' OR check_cause = 'stale' OR check_cause = 'altered' OR check_cause = 'malformed'),
    claimed_digest TEXT NOT NULL,         -- content digest that the file claims
    digest_recipe TEXT NOT NULL,          -- recipe that matches the claim, or the first that fits
    encoding TEXT NOT NULL,
    read_at TEXT NOT NULL,
    crawled_at_source TEXT NOT NULL DEFAULT 'file'
        CHECK (crawled_at_source = 'file' OR crawled_at_source = 'mtime'), -- source of this file's crawl time
    UNIQUE (sighting_id, file_id)
) STRICT;
CREATE INDEX readings_file ON readings (file_id);
CREATE INDEX readings_mismatched_by_alias ON readings (alias_id) WHERE check_status = 'mismatched' AND status = 'counted';

CREATE TABLE faults (
    -- Files and folders that cannot be read as articles.
    directory_id INTEGER NOT NULL REFERENCES crawl_directories(id),
    path BLOB NOT NULL,                   -- of a file or a folder, relative to the crawl directory
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    path_text TEXT NOT NULL,
    first_seen_at TEXT NOT NULL,
    PRIMARY KEY (directory_id, path, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE reread_queue (
    -- Files to read again because settings that interpret them changed.
    file_id INTEGER PRIMARY KEY REFERENCES files(id),
    content_digest BLOB NOT NULL          -- XXH3-128 of the bytes that were read with the earlier settings
) STRICT;
CREATE INDEX reread_queue_content_digest ON reread_queue (content_digest);

CREATE TABLE mounts (
    -- File systems that are mounted in crawl directories.
    directory_id INTEGER NOT NULL REFERENCES crawl_directories(id) ON DELETE CASCADE,
    path BLOB NOT NULL,                   -- relative to the crawl directory; absolute: the mount that holds the crawl directory
    device INTEGER NOT NULL,              -- st_dev and st_ino when it was last seen mounted
    inode INTEGER NOT NULL,
    absent_since_file_id INTEGER,         -- id of the next file when the mount was found absent; NULL: it was mounted when last seen
    PRIMARY KEY (directory_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE files_under_mounts (
    -- Files that existed when something was mounted over them.
    file_id INTEGER PRIMARY KEY REFERENCES files(id) ON DELETE CASCADE
) STRICT;

CREATE TABLE changes (
    -- Differences between two successive counted sightings of a page.
    sighting_id INTEGER PRIMARY KEY REFERENCES sightings(id), -- the later sighting
    previous_sighting_id INTEGER NOT NULL REFERENCES sightings(id),
    page_id INTEGER NOT NULL REFERENCES pages(id),
    at TEXT NOT NULL,                     -- crawl time of the later sighting
    title_changed INTEGER NOT NULL CHECK (title_changed IN (0, 1)),
    body_changed INTEGER NOT NULL CHECK (body_changed IN (0, 1)),
    body_similarity REAL,                 -- Jaccard of the shingles of the two bodies; NULL: one was pruned before they were compared
    returned INTEGER NOT NULL CHECK (returned IN (0, 1)), -- 1: the page had this state before
    fields TEXT NOT NULL,                 -- JSON object: tracked metadata that differ, name → [before, after]
    kind TEXT,                            -- 'cosmetic', 'substantive', 'removed', …; NULL: not classified
    severity TEXT CHECK ((severity IS NULL) = (kind IS NULL)), -- 'trivial', 'minor', 'notable', 'major'
    parts TEXT,                           -- JSON list: 'title', 'body' and tracked metadata that differ
    evidence TEXT,                        -- JSON list of [kind, before, after]
    silent INTEGER NOT NULL DEFAULT 0 CHECK (silent = 0 OR silent = 1), -- 1: substance changed and nothing on the page says so
    corrected INTEGER NOT NULL DEFAULT 0 CHECK (corrected = 0 OR corrected = 1), -- 1: marked as a correction
    edit_digest BLOB,                     -- XXH3-128; equal for the same edit on another page
    page_history TEXT,                    -- JSON: the facts of the earlier history that the classification used
    classified_by TEXT                    -- recipe of the classification; NULL: not classified
) STRICT;
CREATE INDEX changes_page ON changes (page_id, at);
CREATE INDEX changes_at ON changes (at);
CREATE INDEX changes_previous_sighting ON changes (previous_sighting_id);
CREATE INDEX changes_edit_digest ON changes (edit_digest, at) WHERE edit_digest IS NOT NULL;
CREATE INDEX changes_silent ON changes (at) WHERE silent = 1;
CREATE INDEX changes_unclassified ON changes (sighting_id) WHERE classified_by IS NULL;
CREATE INDEX changes_state ON changes (page_id, at) WHERE title_changed = 1 OR body_changed = 1;
CREATE INDEX changes_removed_restored ON changes (page_id, at) WHERE kind = 'removed' OR kind = 'restored';

CREATE TABLE batches (
    -- Commits that added texts with signatures. An index stores the token of the last commit that it holds.
    id INTEGER PRIMARY KEY,
    token BLOB NOT NULL,                  -- random
    last_text_id INTEGER NOT NULL         -- last text with a signature as of this commit
) STRICT;

CREATE TABLE publishers (
    -- Publishers by their canonical names.
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE             -- by the publisher aliases that were in force when it was first recorded
) STRICT;

CREATE TABLE text_fingerprints (
    -- Winnowed fingerprints of the texts in the passage index.
    text_id INTEGER PRIMARY KEY REFERENCES texts(id),
    publisher_id INTEGER NOT NULL REFERENCES publishers(id), -- of the first article with this text
    fingerprints BLOB NOT NULL            -- those in whose buckets the text is a leader: 5 bytes each, little-endian
) STRICT;

CREATE TABLE followers (
    -- Texts that are not in the passage index because their leader is: they are copies of it or other states of its page.
    leader_id INTEGER NOT NULL REFERENCES texts(id),
    follower_id INTEGER NOT NULL REFERENCES texts(id),
    PRIMARY KEY (leader_id, follower_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE boilerplate (
    -- Passages that a publisher prints in many articles.
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,            -- shown to people: the beginning of a digest of publisher and passage
    publisher_id INTEGER NOT NULL REFERENCES publishers(id),
    passage TEXT NOT NULL,                -- normalised
    example TEXT NOT NULL,                -- as printed in the last article that it was learned from
    article_count INTEGER NOT NULL,       -- articles that it was learned from; 0: added by hand
    status TEXT NOT NULL CHECK (status = 'learned' OR status = 'masked' OR status = 'allowed'), -- masked and allowed: set by hand
    added_at TEXT NOT NULL,
    UNIQUE (publisher_id, passage)
) STRICT;

CREATE TABLE matches (
    -- Confirmed matches of two distinct texts. Exact copies are not listed here, because they share one text.
    text_a_id INTEGER NOT NULL REFERENCES texts(id),
    text_b_id INTEGER NOT NULL REFERENCES texts(id),
    relation TEXT NOT NULL CHECK (relation = 'near' OR relation = 'copy' OR relation = 'excerpt' OR relation = 'quote'),
    similarity REAL NOT NULL,             -- Jaccard of the shingle sets
    containment REAL NOT NULL,            -- share of the smaller shingle set in the larger
    coverage REAL NOT NULL,               -- share of the shorter text that occurs in common passages of 20 characters or more
    shared_characters INTEGER NOT NULL,   -- normalised characters in common passages, of the side that has fewer
    longest_passage INTEGER NOT NULL,     -- normalised characters of the longest common passage
    quoted_share REAL NOT NULL,           -- share of the common passages that is inside quotation marks
    masked_boilerplate TEXT NOT NULL,     -- JSON list: names of the boilerplate passages that were left out
    match_recipe TEXT NOT NULL,
    confirmed_at TEXT NOT NULL,
    PRIMARY KEY (text_a_id, text_b_id),
    CHECK (text_a_id < text_b_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX matches_text_b ON matches (text_b_id);
CREATE INDEX matches_relation ON matches (relation);

CREATE TABLE alerts (
    -- Events that an alert rule asks for.
    id INTEGER PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,       -- shown to people and receivers; made from rule and event, so that it is stable
    rule TEXT NOT NULL,                   -- the rule's name in the configuration
    event_key TEXT NOT NULL,
    topic TEXT NOT NULL,                  -- 'change', 'mismatch', 'duplicate', …
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    url TEXT NOT NULL,                    -- canonical URL; empty: the event concerns no page
    title TEXT NOT NULL,
    publisher TEXT NOT NULL,
    at TEXT NOT NULL,                     -- time of the event
    details TEXT NOT NULL,                -- JSON object: further facts about the event
    payload TEXT NOT NULL,                -- JSON object: what messages show; a copy that does not change with the page
    created_at TEXT NOT NULL,
    withdrawn_at TEXT,                    -- when the alert was withdrawn: the event is no longer true
    incident TEXT,                        -- equal for the same edit on other pages; NULL: no incident
    page_count INTEGER,                   -- pages of the incident that this alert reports; NULL: it reports one event
    open_until TEXT,                      -- until then further pages join the incident
    folded_into_id INTEGER REFERENCES alerts(id) -- the incident's alert that reports this one
) STRICT;
CREATE INDEX alerts_event_key ON alerts (event_key);
CREATE INDEX alerts_incident ON alerts (incident, rule) WHERE incident IS NOT NULL;
CREATE INDEX alerts_folded_into ON alerts (folded_into_id) WHERE folded_into_id IS NOT NULL;

CREATE TABLE deliveries (
    -- The outbox: an alert on its way to one channel.
    id INTEGER PRIMARY KEY,
    alert_id INTEGER NOT NULL REFERENCES alerts(id),
    channel TEXT NOT NULL,                -- the channel's name in the configuration
    status TEXT NOT NULL CHECK (status = 'pending' OR status = 'sent' OR status = 'dead' OR status = 'withdrawn'),
    due_at TEXT NOT NULL,
    digest_reason TEXT,                   -- why it is sent in one message with the rule's other due alerts; NULL: sent by itself
    attempts INTEGER NOT NULL,
    first_attempt_at TEXT,
    last_attempt_at TEXT,
    last_error TEXT,                      -- without secrets
    sent_at TEXT,                         -- when the channel accepted it
    message_id TEXT,                      -- the message that it was sent in
    scheduled_at TEXT,                    -- when due_at was set, by the clock of that time
    retry_seconds INTEGER NOT NULL DEFAULT 0, -- seconds of retrying since the first failed attempt
    UNIQUE (alert_id, channel)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (channel, due_at) WHERE status = 'pending';
CREATE INDEX deliveries_dead ON deliveries (channel) WHERE status = 'dead';
CREATE INDEX deliveries_sent ON deliveries (channel, sent_at) WHERE status = 'sent';
CREATE INDEX deliveries_scheduled ON deliveries (scheduled_at) WHERE status = 'pending';

CREATE TABLE dirty_pages (
    -- Pages whose summary and clusters must be recomputed. Triggers add them.
    page_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE dirty_texts (
    -- Texts whose matches changed: the summaries and clusters of all pages that show them must be recomputed. Triggers add them.
    text_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE summaries (
    -- Derived: a row for each page that has a current sighting.
    page_id INTEGER PRIMARY KEY REFERENCES pages(id) ON DELETE CASCADE,
    publisher TEXT NOT NULL,              -- canonical name, by the publisher aliases in force
    published_at TEXT,
    first_crawled_at TEXT NOT NULL,       -- first counted crawl
    last_crawled_at TEXT NOT NULL,        -- last counted crawl
    check_status TEXT NOT NULL,           -- of the last counted crawl
    check_cause TEXT,
    revisions INTEGER NOT NULL,           -- number of states that counted crawls showed
    sightings INTEGER NOT NULL,           -- number of counted crawls
    changes INTEGER NOT NULL,             -- number of changes of title or body
    silent_changes INTEGER NOT NULL,      -- number of silent changes
    characters INTEGER NOT NULL,          -- length of the normalised text
    text_id INTEGER,                      -- text of the current state; NULL: no letters or numbers
    cluster_role TEXT NOT NULL CHECK (cluster_role = 'alone' OR cluster_role = 'representative' OR cluster_role = 'member')
) STRICT;
CREATE INDEX summaries_first_crawled ON summaries (first_crawled_at, page_id, cluster_role);
CREATE INDEX summaries_last_crawled ON summaries (last_crawled_at, page_id);
CREATE INDEX summaries_publisher ON summaries (publisher, last_crawled_at, page_id);
CREATE INDEX summaries_change_count ON summaries (changes, page_id) WHERE changes > 0;
CREATE INDEX summaries_checks ON summaries (check_status, check_cause, publisher);

CREATE TABLE clusters (
    -- Derived: a star of matches around one article, the representative.
    page_id INTEGER PRIMARY KEY REFERENCES pages(id) ON DELETE CASCADE, -- page of the representative
    size INTEGER NOT NULL,                -- number of articles, with the representative
    publishers INTEGER NOT NULL,          -- number of distinct publishers
    exact INTEGER NOT NULL,               -- number of members with this relation
    near INTEGER NOT NULL,
    copy INTEGER NOT NULL,
    first_published_at TEXT,
    last_published_at TEXT,
    started_at TEXT NOT NULL,             -- first crawl of the article that was crawled first
    last_joined_at TEXT NOT NULL,         -- first crawl of the article that joined last
    first_hour_articles INTEGER NOT NULL  -- number of articles published within an hour of the first, with the first
) STRICT;
CREATE INDEX clusters_size ON clusters (size, page_id);
CREATE INDEX clusters_last_joined ON clusters (last_joined_at, page_id);
CREATE INDEX clusters_publishers ON clusters (publishers, page_id);
CREATE INDEX clusters_first_hour_articles ON clusters (first_hour_articles, page_id);

CREATE TABLE cluster_members (
    -- Derived: the articles of a cluster, without the representative.
    cluster_id INTEGER NOT NULL REFERENCES clusters(page_id) ON DELETE CASCADE,
    page_id INTEGER NOT NULL REFERENCES pages(id) ON DELETE CASCADE,
    relation TEXT NOT NULL CHECK (relation = 'exact' OR relation = 'near' OR relation = 'copy'),
    similarity REAL NOT NULL,
    coverage REAL NOT NULL,
    via_text_id INTEGER,                  -- text that connects the article to the cluster; NULL: it matches the representative itself
    PRIMARY KEY (cluster_id, page_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cluster_members_page ON cluster_members (page_id);

CREATE TABLE revision_log (
    -- Revisions that the search index must read again: deleted, or title, body or publisher changed. New revisions are not listed.
    id INTEGER PRIMARY KEY,               -- in the order of the events; the last 100,000 are kept
    revision_id INTEGER NOT NULL
) STRICT;
"""

_TRIGGERS = """
CREATE TRIGGER dirty_page_sighting_inserted AFTER INSERT ON sightings
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (NEW.page_id); END;
CREATE TRIGGER dirty_page_sighting_updated AFTER UPDATE ON sightings
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (NEW.page_id); END;
CREATE TRIGGER dirty_page_sighting_deleted AFTER DELETE ON sightings
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (OLD.page_id); END;
CREATE TRIGGER dirty_page_current_sighting_updated AFTER UPDATE OF current_sighting_id ON pages
WHEN OLD.current_sighting_id IS NOT NEW.current_sighting_id
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (NEW.id); END;
CREATE TRIGGER dirty_pages_page_deleted BEFORE DELETE ON pages BEGIN
    INSERT OR IGNORE INTO dirty_pages SELECT page_id FROM cluster_members WHERE cluster_id = OLD.id;
    INSERT OR IGNORE INTO dirty_pages SELECT cluster_id FROM cluster_members WHERE page_id = OLD.id;
    DELETE FROM dirty_pages WHERE page_id = OLD.id;
END;
CREATE TRIGGER dirty_page_revision_text_updated AFTER UPDATE OF text_id ON revisions
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (NEW.page_id); END;
CREATE TRIGGER dirty_page_change_inserted AFTER INSERT ON changes
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (NEW.page_id); END;
CREATE TRIGGER dirty_page_change_updated AFTER UPDATE ON changes
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (NEW.page_id); END;
CREATE TRIGGER dirty_page_change_deleted AFTER DELETE ON changes
BEGIN INSERT OR IGNORE INTO dirty_pages VALUES (OLD.page_id); END;

CREATE TRIGGER dirty_texts_match_inserted AFTER INSERT ON matches
BEGIN INSERT OR IGNORE INTO dirty_texts VALUES (NEW.text_a_id), (NEW.text_b_id); END;
CREATE TRIGGER dirty_texts_match_updated AFTER UPDATE ON matches
BEGIN INSERT OR IGNORE INTO dirty_texts VALUES (NEW.text_a_id), (NEW.text_b_id); END;
CREATE TRIGGER dirty_texts_match_deleted AFTER DELETE ON matches
BEGIN INSERT OR IGNORE INTO dirty_texts VALUES (OLD.text_a_id), (OLD.text_b_id); END;
CREATE TRIGGER dirty_texts_crowded_updated AFTER UPDATE OF crowded ON texts WHEN OLD.crowded <> NEW.crowded
BEGIN INSERT OR IGNORE INTO dirty_texts VALUES (NEW.id); END;

CREATE TRIGGER revision_log_deleted AFTER DELETE ON revisions BEGIN
    INSERT INTO revision_log (revision_id) VALUES (old.id);
END;
CREATE TRIGGER revision_log_text_updated AFTER UPDATE OF title, body ON revisions BEGIN
    INSERT INTO revision_log (revision_id) VALUES (new.id);
END;
CREATE TRIGGER revision_log_metadata_updated AFTER UPDATE OF metadata_id ON sightings WHEN new.metadata_id <> old.metadata_id BEGIN
    INSERT INTO revision_log (revision_id) VALUES (new.revision_id);
END;
CREATE TRIGGER revision_log_publisher_changed AFTER INSERT ON changes WHEN instr(new.fields, '"publisher"') > 0 BEGIN
    INSERT INTO revision_log (revision_id) SELECT revision_id FROM sightings WHERE id = new.sighting_id;
END;
CREATE TRIGGER revision_log_trimmed AFTER INSERT ON revision_log BEGIN
    DELETE FROM revision_log WHERE id <= new.id - 100000;
END;
"""

_VIEWS = """
CREATE VIEW history AS
-- Every sighting of every page, with the state that it shows.
SELECT p.url, s.crawled_at, r.title, s.check_status, s.check_cause, s.status, m.publisher_printed, m.author, m.category,
       m.published_at, lower(hex(r.digest)) AS state_digest, coalesce(r.pruned_characters, length(r.body)) AS body_characters, r.pruned_at,
       (SELECT min(f.path_text) FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id) AS path
FROM sightings s JOIN pages p ON p.id = s.page_id JOIN revisions r ON r.id = s.revision_id
     JOIN metadata m ON m.id = s.metadata_id
ORDER BY p.url, s.crawled_at, r.digest;

CREATE VIEW current_articles AS
-- Each page that has a counted sighting, as its latest one shows it.
SELECT p.id AS page_id, p.url, r.text_id, r.title, m.publisher_printed, m.published_at, s.crawled_at, s.check_status
FROM pages p JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id
     JOIN metadata m ON m.id = s.metadata_id;

CREATE VIEW change_details AS
-- Every change, with title and body before and after it.
SELECT p.url, c.at, c.kind, c.severity, c.silent, c.corrected, c.parts, c.evidence, c.title_changed, c.body_changed,
       c.body_similarity, c.returned, c.fields,
       x.crawled_at AS previous_at, a.title AS title_before, b.title AS title_after,
       CASE WHEN a.pruned_at IS NULL THEN a.body END AS body_before, CASE WHEN b.pruned_at IS NULL THEN b.body END AS body_after,
       a.pruned_at AS pruned_before, b.pruned_at AS pruned_after
FROM changes c JOIN pages p ON p.id = c.page_id
     JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id
     JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id;

CREATE VIEW alert_deliveries AS
-- Every alert, with a row for each of its deliveries.
SELECT a.public_id, a.rule, a.topic, a.kind, a.severity, a.url, a.publisher, a.title, a.at, a.created_at, a.page_count, a.withdrawn_at,
       (SELECT f.public_id FROM alerts f WHERE f.id = a.folded_into_id) AS incident_alert, d.channel, d.status, d.due_at, d.attempts,
       d.sent_at, d.last_error, a.payload
FROM alerts a LEFT JOIN deliveries d ON d.alert_id = a.id
ORDER BY a.id, d.id;

CREATE VIEW articles AS
-- The summary of each page, with its URL and its title.
SELECT p.url, r.title, v.publisher, v.published_at, v.first_crawled_at, v.last_crawled_at, v.check_status, v.check_cause, v.revisions,
       v.sightings, v.changes, v.silent_changes, v.characters, v.cluster_role
FROM summaries v JOIN pages p ON p.id = v.page_id JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id;

CREATE VIEW cluster_details AS
-- Every cluster, with URL, title and publisher of its representative.
SELECT p.url, r.title, v.publisher, c.size, c.publishers, c.exact, c.near, c.copy, c.first_published_at, c.last_published_at, c.started_at,
       c.last_joined_at, c.first_hour_articles
FROM clusters c JOIN pages p ON p.id = c.page_id JOIN summaries v ON v.page_id = c.page_id
     JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id;
"""

_MATCHING_PAGES = """
CREATE VIEW matching_pages AS
-- Pairs of current articles of different pages that match.
SELECT 'exact' AS relation, 1.0 AS similarity, 1.0 AS containment, 1.0 AS coverage, a.url AS url_a, b.url AS url_b,
       a.publisher_printed AS publisher_a, b.publisher_printed AS publisher_b, a.title AS title_a, b.title AS title_b
FROM current_articles a JOIN current_articles b ON a.text_id = b.text_id AND a.page_id < b.page_id
UNION ALL
SELECT x.relation, x.similarity, x.containment, x.coverage, a.url, b.url, a.publisher_printed, b.publisher_printed, a.title, b.title
FROM matches x JOIN current_articles a ON a.text_id = x.text_a_id JOIN current_articles b ON b.text_id = x.text_b_id
WHERE a.page_id <> b.page_id;
"""


@migrations(name="0001_base")
def _base(db: Database) -> None:
    for statement in _statements(_TABLES + _TRIGGERS + _VIEWS + _MATCHING_PAGES):
        db.execute(statement)


def _statements(script: str) -> list[str]:
    """Split a script into statements. `executescript` would commit the transaction that migrations run in."""
    statements, statement = [], ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            statements.append(statement.strip())
            statement = ""
    return statements


def require_sqlite() -> None:
    """Raise SqliteTooOldError if this SQLite has no STRICT tables."""
    if sqlite3.sqlite_version_info < MIN_SQLITE_VERSION:
        raise SqliteTooOldError(version=sqlite3.sqlite_version, needed=".".join(map(str, MIN_SQLITE_VERSION)))


def unknown_migrations(db: Database) -> list[str]:
    """Names of applied migrations that this program does not know. If there are any, a newer version made the database."""
    return sorted({m.name for m in migrations.applied(db)} - MIGRATION_NAMES)


def is_of_development(db: Database) -> bool:
    """Return whether a version before the first release made the database. Such a database is not migrated."""
    return any(m.name == _DEVELOPMENT_MIGRATION for m in migrations.applied(db))


def has_pending_migrations(db: Database) -> bool:
    """Return whether the database lacks a migration of this program."""
    return bool(migrations.pending(db))


def migrate(db: Database) -> None:
    """Apply all pending migrations in one transaction, under the write lock. The connection must be in autocommit mode.

    Raises sqlite3.IntegrityError and rolls back if a foreign key would be broken.
    """
    db.execute("PRAGMA foreign_keys=OFF")
    db.execute("BEGIN IMMEDIATE")
    try:
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
    """An object of the schema that is missing, or differs from what the migrations make. `sql` creates it as they do."""

    kind: ObjectKind
    name: str
    is_missing: bool
    sql: str


def differences(db: Database) -> list[SchemaDifference]:
    """Differences between the schema and what the migrations make: tables, then indexes, triggers and views, each by name.

    Tables are compared by their columns. Objects that others added are ignored.
    """
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
    """(kind, name) → (the form that is compared, the SQL that creates it)."""
    rows = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    return {(kind, name): (_table_shape(db, name) if kind == "table" else _normalise_sql(sql), sql) for kind, name, sql in rows}


def _table_shape(db: Database, table: str) -> str:
    rows = db.execute('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?)', (table,)).fetchall()
    return "; ".join(" ".join(map(str, row)) for row in rows)


def _normalise_sql(sql: str) -> str:
    """Remove comments, quotation marks of names, and line breaks and repeated spaces from SQL."""
    return " ".join(re.sub(r"--[^\n]*", "", sql).replace('"', "").split())
