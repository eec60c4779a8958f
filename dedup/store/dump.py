"""The logical dump: all content, without surrogate keys, in an order that depends only on the content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dedup.store.database import Database

_PAGES = (
    "SELECT p.url, s.crawled_at AS current_at, lower(hex(r.digest)) AS current_state_digest FROM pages p"
    " LEFT JOIN sightings s ON s.id = p.current_sighting_id LEFT JOIN revisions r ON r.id = s.revision_id ORDER BY p.url"
)

_ALIASES = (
    "SELECT p.url, a.url_printed, a.oid, a.aid FROM aliases a JOIN pages p ON p.id = a.page_id"
    " WHERE a.id IN (SELECT alias_id FROM readings) ORDER BY 1, 2, 3, 4"
)

_REVISIONS = (
    "SELECT p.url, lower(hex(r.digest)) AS state_digest, r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END AS body,"
    " r.pruned_at IS NOT NULL AS pruned, lower(hex(t.digest)) AS text, t.characters, lower(hex(t.signature)) AS signature"
    " FROM revisions r JOIN pages p ON p.id = r.page_id LEFT JOIN texts t ON t.id = r.text_id ORDER BY p.url, r.digest"
)

_SIGHTINGS = (
    "SELECT p.url, s.crawled_at, lower(hex(r.digest)) AS state_digest, s.crawled_at_source, s.status, s.check_status,"
    " s.check_cause, m.article_id, m.publisher_printed, m.author, m.category, m.published_at, m.published_printed, m.oid, m.aid, m.extra"
    " FROM sightings s JOIN pages p ON p.id = s.page_id JOIN revisions r ON r.id = s.revision_id"
    " JOIN metadata m ON m.id = s.metadata_id ORDER BY p.url, s.crawled_at, r.digest"
)

_FILES = (
    "SELECT hex(f.folder) AS folder_hex, hex(f.name) AS name_hex, f.path_text AS path, lower(hex(f.content_digest)) AS content_digest,"
    " f.size, f.gone, p.url, s.crawled_at, lower(hex(r.digest)) AS state_digest FROM files f"
    " LEFT JOIN readings d ON d.id = f.current_reading_id"
    " LEFT JOIN sightings s ON s.id = d.sighting_id LEFT JOIN pages p ON p.id = s.page_id"
    " LEFT JOIN revisions r ON r.id = s.revision_id ORDER BY f.folder, f.name, content_digest, f.size, f.gone,"
    " p.url, s.crawled_at, r.digest, f.path_text"
)

_READINGS = (
    "SELECT p.url, s.crawled_at, lower(hex(r.digest)) AS state_digest, f.path_text AS path, a.url_printed, d.status,"
    " d.check_status, d.check_cause, d.claimed_digest, d.digest_recipe, d.encoding, lower(hex(m.digest)) AS metadata"
    " FROM readings d JOIN sightings s ON s.id = d.sighting_id JOIN pages p ON p.id = s.page_id"
    " JOIN revisions r ON r.id = s.revision_id JOIN files f ON f.id = d.file_id JOIN aliases a ON a.id = d.alias_id"
    " JOIN metadata m ON m.id = d.metadata_id ORDER BY p.url, s.crawled_at, r.digest, f.folder, f.name,"
    " d.status, d.check_status, d.check_cause, d.claimed_digest, d.digest_recipe, d.encoding, a.url_printed, m.digest"
)

_FAULTS = "SELECT hex(t.path) AS path_hex, t.path_text AS path, t.kind, t.message FROM faults t ORDER BY t.path, t.kind, t.message"

_CHANGES = (
    "SELECT p.url, c.at, lower(hex(a.digest)) AS state_digest_before, lower(hex(b.digest)) AS state_digest_after,"
    " x.crawled_at AS previous_at, c.title_changed,"
    " c.body_changed, c.body_similarity, c.returned, c.fields, c.kind, c.severity, c.parts, c.evidence, c.silent,"
    " c.corrected, lower(hex(c.edit_digest)) AS edit_digest, c.classified_by FROM changes c JOIN pages p ON p.id = c.page_id"
    " JOIN sightings x ON x.id = c.previous_sighting_id JOIN sightings y ON y.id = c.sighting_id"
    " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id ORDER BY p.url, c.at, b.digest"
)

_MATCHES = (
    "SELECT min(lower(hex(a.digest)), lower(hex(b.digest))) AS text_a, max(lower(hex(a.digest)), lower(hex(b.digest))) AS text_b,"
    " x.relation, x.similarity, x.containment, x.coverage, x.shared_characters, x.longest_passage, x.quoted_share, x.masked_boilerplate,"
    " x.match_recipe FROM matches x JOIN texts a ON a.id = x.text_a_id JOIN texts b ON b.id = x.text_b_id"
    " WHERE (SELECT count(DISTINCT page_id) FROM revisions r WHERE r.text_id IN (x.text_a_id, x.text_b_id)) > 1"
    " AND EXISTS (SELECT 1 FROM revisions r WHERE r.text_id = x.text_a_id)"
    " AND EXISTS (SELECT 1 FROM revisions r WHERE r.text_id = x.text_b_id) ORDER BY 1, 2"
)

_DUMP_QUERIES = {
    "pages": _PAGES,
    "aliases": _ALIASES,
    "revisions": _REVISIONS,
    "sightings": _SIGHTINGS,
    "files": _FILES,
    "readings": _READINGS,
    "faults": _FAULTS,
    "changes": _CHANGES,
    "matches": _MATCHES,
}
"""Name in the dump → query."""


def rows(database: Database) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield (table, row) of all content, in an order that depends only on the content."""
    for table, sql in _DUMP_QUERIES.items():
        for row in database.connection.execute(sql):
            yield table, row


def columns(database: Database) -> dict[str, list[str]]:
    """Return table → names of the columns of its rows in `rows`."""
    names_by_table = {}
    for table, sql in _DUMP_QUERIES.items():
        cursor = database.connection.execute(f"SELECT * FROM ({sql}) LIMIT 0")
        names_by_table[table] = [c[0] for c in cursor.description]
    return names_by_table
