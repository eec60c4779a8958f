"""Winnowed fingerprints of leaders, and the followers of each leader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dedup.store.database import Database, Row, Transaction


def publishers(database: Database, texts: Iterable[int]) -> dict[int, int]:
    """Text → the publisher of the first article with this text. Texts that are not in the passage index are left out."""
    return dict(
        database.select_by_ids(texts, "SELECT p.text_id, p.publisher_id FROM wanted w CROSS JOIN text_fingerprints p ON p.text_id = w.id")
    )


def first_followers(database: Database, texts: Iterable[int], limit: int | None) -> dict[int, list[int]]:
    """Leader → its earliest `limit` followers, or all of them if `limit` is None. Texts without followers are left out."""
    select = "SELECT w.id, f.follower_id FROM wanted w CROSS JOIN followers f ON f.leader_id = w.id"
    if limit is not None:
        last_follower = f"(SELECT follower_id FROM followers WHERE leader_id = w.id ORDER BY follower_id LIMIT 1 OFFSET {limit - 1})"
        select += f" AND f.follower_id <= coalesce({last_follower}, 1 << 62)"
    select += " ORDER BY w.id, f.follower_id"
    return {text: [r[0] for r in rows] for text, rows in database.group_by_ids(texts, select).items()}


def all_fingerprints(database: Database, after_id: int = 0) -> Iterator[tuple[int, bytes]]:
    """(text, packed fingerprints in whose buckets it is a leader) with ids greater than `after_id`, by id."""
    yield from database.connection.execute(
        "SELECT text_id, fingerprints FROM text_fingerprints WHERE text_id > ? ORDER BY text_id", (after_id,)
    )


def followers(database: Database, text: int) -> list[int]:
    """The followers of a leader, earliest first."""
    return [r[0] for r in database.rows("SELECT follower_id FROM followers WHERE leader_id = ? ORDER BY follower_id", text)]


def publisher(database: Database, text: int) -> int | None:
    """The publisher of the first article with a text, or None if the text is not in the passage index."""
    publisher_id: int | None = database.value("SELECT publisher_id FROM text_fingerprints WHERE text_id = ?", text)
    return publisher_id


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert texts of the passage index. `rows`: (text, publisher, packed fingerprints in whose buckets it is a leader)."""
    transaction.execute_many("INSERT INTO text_fingerprints (text_id, publisher_id, fingerprints) VALUES (?, ?, ?)", rows)


def insert_followers(transaction: Transaction, rows: Iterable[tuple[int, int]]) -> None:
    """Insert followers. `rows`: (leader, follower). Rows that exist already are skipped."""
    transaction.execute_many("INSERT OR IGNORE INTO followers (leader_id, follower_id) VALUES (?, ?)", rows)
