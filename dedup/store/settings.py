"""Values that dedup stores about the database itself."""

from __future__ import annotations

from dedup.store.database import Database, Transaction


def put(transaction: Transaction, key: str, value: str) -> None:
    """Store a value, replacing an earlier one."""
    transaction.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)


def get(database: Database, key: str) -> str | None:
    """A stored value, or None if there is none."""
    value = database.value("SELECT value FROM settings WHERE key = ?", key)
    return None if value is None else str(value)
