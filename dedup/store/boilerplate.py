"""Boilerplate: passages that a publisher prints under many articles."""

from __future__ import annotations

from collections.abc import Callable

from dedup.model import Masking
from dedup.store import publishers
from dedup.store.database import Database, Transaction
from dedup.store.rows import BoilerplateRow


def list_passages(database: Database, publisher: str | None = None) -> list[BoilerplateRow]:
    """Return the boilerplate of one publisher, or of all, by publisher, then by the time when it was added."""
    return [
        BoilerplateRow(*r)
        for r in database.rows(
            "SELECT b.name, o.name, b.passage, b.example, b.article_count, b.status, b.added_at FROM boilerplate b"
            " JOIN publishers o ON o.id = b.publisher_id WHERE ?1 IS NULL OR o.name = ?1 ORDER BY o.name, b.added_at, b.id",
            publisher,
        )
    ]


def insert(
    transaction: Transaction, name: str, publisher: int, passage: str, example: str, article_count: int, status: Masking, added_at: str
) -> None:
    """Insert a passage of a publisher, learned or entered by hand."""
    transaction.execute(
        "INSERT INTO boilerplate (name, publisher_id, passage, example, article_count, status, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        name, publisher, passage, example, article_count, status, added_at,
    )  # fmt: skip


def delete_learned(transaction: Transaction, canonical_name: Callable[[str], str]) -> None:
    """Delete the learned passages. Passages set by hand move to the publisher that `canonical_name` returns for the name of theirs."""
    transaction.execute("DELETE FROM boilerplate WHERE status = 'learned'")
    rows = transaction.rows("SELECT b.id, o.name FROM boilerplate b JOIN publishers o ON o.id = b.publisher_id ORDER BY b.id")
    for boilerplate_id, name in rows:
        if canonical_name(name) != name:
            transaction.execute(
                "UPDATE OR IGNORE boilerplate SET publisher_id = ? WHERE id = ?",
                publishers.get_or_insert(transaction, canonical_name(name)),
                boilerplate_id,
            )


def set_status(transaction: Transaction, name: str, status: Masking) -> None:
    """Change the status of a passage."""
    transaction.execute("UPDATE boilerplate SET status = ? WHERE name = ?", status, name)
