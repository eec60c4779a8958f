"""Publishers by their canonical names."""

from __future__ import annotations

from dedup.store.database import Database, Transaction


def find(database: Database, canonical_name: str) -> int | None:
    """The id of a publisher, or None if it is unknown."""
    publisher_id: int | None = database.value("SELECT id FROM publishers WHERE name = ?", canonical_name)
    return publisher_id


def name(database: Database, publisher: int) -> str:
    """The canonical name of a publisher."""
    return str(database.value("SELECT name FROM publishers WHERE id = ?", publisher))


def get_or_insert(transaction: Transaction, canonical_name: str) -> int:
    """The id of a publisher. Inserts the publisher if it is unknown."""
    row = transaction.row("SELECT id FROM publishers WHERE name = ?", canonical_name)
    return row[0] if row else transaction.insert("INSERT INTO publishers (name) VALUES (?)", (canonical_name,))
