"""Revisions: the distinct states of each page, with their bodies."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import xxhash

from dedup.store.database import Database, Row, Transaction
from dedup.store.rows import ExistingState, RevisionRow, StateBody

STATE_BODY_COLUMNS = "r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, r.pruned_at, r.pruned_digest"
"""Columns of a `StateBody`."""


def find_by_state(database: Database, states: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], ExistingState]:
    """(page, state digest) → the stored state. Unknown states are left out."""
    select = (
        "SELECT r.page_id, r.digest, r.id, r.text_id, r.pruned_at IS NOT NULL FROM wanted w"
        " CROSS JOIN revisions r ON r.page_id = w.page AND r.digest = w.digest"
    )
    return {(r[0], r[1]): ExistingState(r[2], r[3], bool(r[4])) for r in database.select_by_keys("page, digest", states, select)}


def bodies(database: Database, revisions: Collection[int]) -> dict[int, StateBody]:
    """Revision → its title and body."""
    select = f"SELECT r.id, {STATE_BODY_COLUMNS} FROM wanted w CROSS JOIN revisions r ON r.id = w.id"
    return {r[0]: StateBody(*r[1:]) for r in database.select_by_ids(revisions, select)}


def clear_text(transaction: Transaction, revision: int) -> None:
    """Set a revision to have no text: its body has no letter or number."""
    transaction.execute("UPDATE revisions SET text_id = NULL WHERE id = ?", revision)


def body(database: Database, revision: int) -> StateBody:
    """Title and body of a revision."""
    row = database.row(f"SELECT {STATE_BODY_COLUMNS} FROM revisions r WHERE r.id = ?", revision)
    assert row is not None
    return StateBody(*row)


def text(database: Database, revision: int) -> int | None:
    """The text of a revision, or None if it has none."""
    text_id: int | None = database.value("SELECT text_id FROM revisions WHERE id = ?", revision)
    return text_id


def publisher(database: Database, revision: int) -> tuple[str, str]:
    """(printed publisher, oid) of the latest sighting of a revision."""
    row = database.row(
        "SELECT m.publisher_printed, m.oid FROM sightings s JOIN metadata m ON m.id = s.metadata_id WHERE s.revision_id = ?"
        " ORDER BY s.crawled_at DESC LIMIT 1",
        revision,
    )
    assert row is not None
    return row[0], row[1]


def body_of_state(database: Database, page: int, digest: bytes) -> str | None:
    """The body of a state of a page, or None if it was pruned."""
    row = database.row("SELECT body, pruned_at FROM revisions WHERE page_id = ? AND digest = ?", page, digest)
    assert row is not None
    stored_body, pruned_at = row
    return None if pruned_at is not None else str(stored_body)


def of_page(database: Database, page: int) -> list[RevisionRow]:
    """The states of a page with a counted sighting, by first crawl, then digest: the order of revision numbers."""
    return [
        RevisionRow(*r)
        for r in database.rows(
            "SELECT r.id, r.digest, r.title, min(s.crawled_at), max(s.crawled_at), count(*),"
            " min(CASE s.check_status WHEN 'verified' THEN 0 WHEN 'unclaimed' THEN 1 ELSE 2 END), r.pruned_at"
            " FROM revisions r JOIN sightings s ON s.revision_id = r.id"
            " WHERE r.page_id = ? AND s.status = 'counted' GROUP BY r.id ORDER BY 4, r.digest",
            page,
        )
    ]


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert revisions. `rows`: (id, page, state digest, text, title, body)."""
    transaction.execute_many("INSERT INTO revisions (id, page_id, digest, text_id, title, body) VALUES (?, ?, ?, ?, ?, ?)", rows)


def set_texts(transaction: Transaction, rows: Iterable[tuple[int, int]]) -> None:
    """Set the text of revisions. `rows`: (revision, text)."""
    transaction.execute_many("UPDATE revisions SET text_id = ? WHERE id = ?", ((text, revision) for revision, text in rows))


def restore_bodies(transaction: Transaction, rows: Iterable[tuple[int, str]]) -> None:
    """Restore bodies that were pruned and have been read again. `rows`: (revision, body)."""
    transaction.execute_many(
        "UPDATE revisions SET body = ?, pruned_at = NULL, pruned_characters = NULL, pruned_digest = NULL WHERE id = ?",
        ((body, revision) for revision, body in rows),
    )


def clear_uncounted_texts(transaction: Transaction, revisions: Iterable[int]) -> None:
    """Clear the text of those of `revisions` that have only truncated or overruled readings: these take no part in matches."""
    transaction.execute_many(
        "UPDATE revisions SET text_id = NULL WHERE id = ? AND text_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sightings s"
        " JOIN readings d ON d.sighting_id = s.id WHERE s.revision_id = revisions.id"
        " AND (d.status = 'counted' OR d.status = 'superseded'))",
        ((r,) for r in revisions),
    )


def copy_to_page(transaction: Transaction, revision: int, page: int) -> int:
    """Copy a state to another page and return the id of the copy.

    A state that the other page already has is reused. It takes over the text, and the body if its own was pruned.
    """
    columns = "digest, title, body, text_id, pruned_at, pruned_characters, pruned_digest"
    row = transaction.row(f"SELECT {columns} FROM revisions WHERE id = ?", revision)
    assert row is not None
    digest, _, body, text_id, pruned_at, *_ = row
    existing = transaction.row("SELECT id, pruned_at FROM revisions WHERE page_id = ? AND digest = ?", page, digest)
    if existing is None:
        return transaction.insert(f"INSERT INTO revisions (page_id, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (page, *row))
    existing_id, existing_pruned_at = existing
    if existing_pruned_at is not None and pruned_at is None:
        restore_bodies(transaction, [(existing_id, body)])
    if text_id is not None:
        set_texts(transaction, [(existing_id, text_id)])
    return int(existing_id)


def body_digest(body: str) -> bytes:
    """XXH3-128 of a body in UTF-8. It stays after pruning and identifies the body when it is read again."""
    return xxhash.xxh3_128_digest(body.encode())
