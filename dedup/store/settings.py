"""Values that the program keeps about the database itself."""

from __future__ import annotations

from dedup.store.database import Database, Transaction


def put(transaction: Transaction, key: str, value: str) -> None:
    transaction.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)


def get(database: Database, key: str) -> str | None:
    """A value that the program keeps about the database itself."""
    value = database.value("SELECT value FROM settings WHERE key = ?", key)
    return None if value is None else str(value)
