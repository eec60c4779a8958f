"""Rebuilding indexes, triggers, views and derived tables."""

from __future__ import annotations

from dedup.store import integrity
from dedup.store.database import Transaction
from dedup.store.integrity import REBUILDABLE_TABLES
from dedup.store.schema import SchemaDifference


def rebuild_indexes(transaction: Transaction) -> None:
    """Rebuild SQLite's own indexes from their tables."""
    transaction.execute("REINDEX")


def rebuild_schema(transaction: Transaction) -> list[SchemaDifference]:
    """Recreate missing or altered indexes, triggers, views and derived tables as the migrations make them.

    Marks every page dirty if anything was recreated, since a derived table may have lost its rows. Returns the differences that
    were repaired.
    """
    repairable = [d for d in integrity.schema_differences(transaction) if is_repairable(d)]
    for d in reversed(repairable):  # views and triggers before the tables that they read
        transaction.execute(f'DROP {d.kind.upper()} IF EXISTS "{d.name}"')
    for d in integrity.schema_differences(transaction):  # dropping a table also drops its indexes and triggers
        if is_repairable(d):
            transaction.execute(d.sql)
    if repairable:
        transaction.execute("INSERT OR IGNORE INTO dirty_pages SELECT id FROM pages")
    return repairable


def is_repairable(difference: SchemaDifference) -> bool:
    """Return whether the object can be recreated without losing rows."""
    return difference.kind != "table" or difference.name in REBUILDABLE_TABLES
