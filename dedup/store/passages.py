"""Winnowed fingerprints of texts, and which texts follow a leader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dedup.store.database import Database, Row, Transaction


def publishers(database: Database, texts: Iterable[int]) -> dict[int, int]:
    """Text → the publisher of the first article with it, of those that are looked up by passages."""
    return dict(database.select_by_ids(texts, "SELECT p.text_id, p.publisher_id FROM wanted w CROSS JOIN passages p ON p.text_id = w.id"))


def first_followers(database: Database, texts: Iterable[int], limit: int | None) -> dict[int, list[int]]:
    """Text → the earliest `limit` texts that it represents in the passage index (None: all of them); texts that represent none are left
    out."""
    select = "SELECT w.id, r.text_id FROM wanted w CROSS JOIN represented r ON r.by = w.id"
    if limit is not None:
        last_follower = f"(SELECT text_id FROM represented WHERE by = w.id ORDER BY text_id LIMIT 1 OFFSET {limit - 1})"
        select += f" AND r.text_id <= coalesce({last_follower}, 1 << 62)"
    select += " ORDER BY w.id, r.text_id"
    return {text: [r[0] for r in rows] for text, rows in database.group_by_ids(texts, select).items()}


def all_fingerprints(database: Database, after_id: int = 0) -> Iterator[tuple[int, bytes]]:
    """(text, the packed keys under which it stands for a story) in order of the keys, from the text after `beyond`."""
    yield from database.connection.execute("SELECT text_id, keys FROM passages WHERE text_id > ? ORDER BY text_id", (after_id,))


def followers(database: Database, text: int) -> list[int]:
    """The texts that one stands for in its buckets."""
    return [r[0] for r in database.rows("SELECT text_id FROM represented WHERE by = ? ORDER BY text_id", text)]


def publisher(database: Database, text: int) -> int | None:
    """The publisher of the first article with a text; None for one that is not looked up by passages."""
    publisher_id: int | None = database.value("SELECT publisher_id FROM passages WHERE text_id = ?", text)
    return publisher_id


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Rows (text, publisher, packed keys under which it stands for a story)."""
    transaction.execute_many("INSERT INTO passages (text_id, publisher_id, keys) VALUES (?, ?, ?)", rows)


def insert_followers(transaction: Transaction, rows: Iterable[tuple[int, int]]) -> None:
    """(text that stands in a bucket, text that was not entered beside it)."""
    transaction.execute_many("INSERT OR IGNORE INTO represented (by, text_id) VALUES (?, ?)", rows)
