"""Revisions: the distinct states of pages, with their bodies."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import xxhash

from dedup.store.database import Database, Row, Transaction
from dedup.store.rows import (
    ExistingState,
    RevisionRow,
    StateBody,
)

STATE_BODY_COLUMNS = "r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, r.pruned_at, r.pruned_digest"
"""What a `StateBody` is made of."""


def find_by_state(database: Database, states: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], ExistingState]:
    """(page, state digest) → what is stored of it."""
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
    """A revision has no text: there is no letter or number in its body."""
    transaction.execute("UPDATE revisions SET text_id = NULL WHERE id = ?", revision)


def body(database: Database, revision: int) -> StateBody:
    """Title and body of a state."""
    row = database.row(f"SELECT {STATE_BODY_COLUMNS} FROM revisions r WHERE r.id = ?", revision)
    assert row is not None
    return StateBody(*row)


def text(database: Database, revision: int) -> int | None:
    text_id: int | None = database.value("SELECT text_id FROM revisions WHERE id = ?", revision)
    return text_id


def publisher(database: Database, revision: int) -> tuple[str, str]:
    """(publisher as printed, oid) of the latest crawl that showed a state."""
    row = database.row(
        "SELECT m.publisher_printed, m.oid FROM sightings s JOIN metadata m ON m.id = s.metadata_id WHERE s.revision_id = ?"
        " ORDER BY s.crawled_at DESC LIMIT 1",
        revision,
    )
    assert row is not None
    return row[0], row[1]


def body_of_state(database: Database, page: int, digest: bytes) -> str | None:
    """The body of a page's state; None where it was pruned."""
    row = database.row("SELECT body, pruned_at FROM revisions WHERE page_id = ? AND digest = ?", page, digest)
    assert row is not None
    return None if row[1] is not None else str(row[0])


def of_page(database: Database, page: int) -> list[RevisionRow]:
    """The page's states with at least one counted sighting, by first crawl, then digest: the shown order."""
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
    """Rows (id, page, state digest, text, title, body)."""
    transaction.execute_many("INSERT INTO revisions (id, page_id, digest, text_id, title, body) VALUES (?, ?, ?, ?, ?, ?)", rows)


def set_texts(transaction: Transaction, rows: Iterable[tuple[int, int]]) -> None:
    """(revision, its normalised text)."""
    transaction.execute_many("UPDATE revisions SET text_id = ? WHERE id = ?", ((text, revision) for revision, text in rows))


def restore_bodies(transaction: Transaction, rows: Iterable[tuple[int, str]]) -> None:
    """(revision, its body), of revisions whose body was pruned and was read again."""
    transaction.execute_many(
        "UPDATE revisions SET body = ?, pruned_at = NULL, pruned_characters = NULL, pruned_digest = NULL WHERE id = ?",
        ((body, revision) for revision, body in rows),
    )


def clear_uncounted_texts(transaction: Transaction, revisions: Iterable[int]) -> None:
    """Those of the revisions that are known only from truncated or overruled readings have no text: they are no duplicates."""
    transaction.execute_many(
        "UPDATE revisions SET text_id = NULL WHERE id = ? AND text_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sightings s"
        " JOIN readings d ON d.sighting_id = s.id WHERE s.revision_id = revisions.id"
        " AND (d.status = 'counted' OR d.status = 'superseded'))",
        ((r,) for r in revisions),
    )


def copy_to_page(transaction: Transaction, revision: int, page: int) -> int:
    """The key of the same state under another page, made at first need."""
    columns = "digest, title, body, text_id, pruned_at, pruned_characters, pruned_digest"
    row = transaction.row(f"SELECT {columns} FROM revisions WHERE id = ?", revision)
    assert row is not None
    existing = transaction.row("SELECT id, text_id, pruned_at FROM revisions WHERE page_id = ? AND digest = ?", page, row[0])
    if existing is None:
        return transaction.insert(f"INSERT INTO revisions (page_id, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (page, *row))
    if existing[2] is not None and row[4] is None:
        restore_bodies(transaction, [(existing[0], row[2])])
    if row[3] is not None:
        set_texts(transaction, [(existing[0], row[3])])
    return int(existing[0])


def body_digest(body: str) -> bytes:
    """What is kept of a body that is pruned: by it another is known to be the same."""
    return xxhash.xxh3_128_digest(body.encode())
