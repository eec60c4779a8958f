"""Winnowed fingerprints of texts, and which texts follow a leader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dedup.store.database import Database, Row, Transaction


def publishers(database: Database, texts: Iterable[int]) -> dict[int, int]:
    """Text → the publisher of the first article with it, of those that are looked up by passages."""
    return dict(
        database.select_by_ids(texts, "SELECT p.text_id, p.publisher_id FROM wanted w CROSS JOIN text_fingerprints p ON p.text_id = w.id")
    )


def first_followers(database: Database, texts: Iterable[int], limit: int | None) -> dict[int, list[int]]:
    """Text → the earliest `limit` texts that it represents in the passage index (None: all of them); texts that represent none are left
    out."""
    select = "SELECT w.id, f.follower_id FROM wanted w CROSS JOIN followers f ON f.leader_id = w.id"
    if limit is not None:
        last_follower = f"(SELECT follower_id FROM followers WHERE leader_id = w.id ORDER BY follower_id LIMIT 1 OFFSET {limit - 1})"
        select += f" AND f.follower_id <= coalesce({last_follower}, 1 << 62)"
    select += " ORDER BY w.id, f.follower_id"
    return {text: [r[0] for r in rows] for text, rows in database.group_by_ids(texts, select).items()}


def all_fingerprints(database: Database, after_id: int = 0) -> Iterator[tuple[int, bytes]]:
    """(text, the packed keys under which it stands for a story) in order of the keys, from the text after `after_id`."""
    yield from database.connection.execute(
        "SELECT text_id, fingerprints FROM text_fingerprints WHERE text_id > ? ORDER BY text_id", (after_id,)
    )


def followers(database: Database, text: int) -> list[int]:
    """The texts that one stands for in its buckets."""
    return [r[0] for r in database.rows("SELECT follower_id FROM followers WHERE leader_id = ? ORDER BY follower_id", text)]


def publisher(database: Database, text: int) -> int | None:
    """The publisher of the first article with a text; None for one that is not looked up by passages."""
    publisher_id: int | None = database.value("SELECT publisher_id FROM text_fingerprints WHERE text_id = ?", text)
    return publisher_id


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Rows (text, publisher, packed keys under which it stands for a story)."""
    transaction.execute_many("INSERT INTO text_fingerprints (text_id, publisher_id, fingerprints) VALUES (?, ?, ?)", rows)


def insert_followers(transaction: Transaction, rows: Iterable[tuple[int, int]]) -> None:
    """(text that stands in a bucket, text that was not entered beside it)."""
    transaction.execute_many("INSERT OR IGNORE INTO followers (leader_id, follower_id) VALUES (?, ?)", rows)
