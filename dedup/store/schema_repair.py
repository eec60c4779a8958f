"""Rebuilding indexes, triggers, views and derived tables."""

from __future__ import annotations

from dedup.store import integrity
from dedup.store.database import Transaction
from dedup.store.integrity import REBUILDABLE_TABLES
from dedup.store.schema import SchemaDifference


def rebuild_indexes(transaction: Transaction) -> None:
    """The indexes of SQLite's own, from their tables."""
    transaction.execute("REINDEX")


def rebuild_schema(transaction: Transaction) -> list[SchemaDifference]:
    """Make indexes, triggers and views as the migrations do, and tables whose rows are made from others; gives what was made. What
    those tables are made from is due again."""
    repairable = [d for d in integrity.schema_differences(transaction) if is_repairable(d)]
    for d in reversed(repairable):  # what reads a table before the table
        transaction.execute(f'DROP {d.kind.upper()} IF EXISTS "{d.name}"')
    for d in integrity.schema_differences(transaction):  # a table that is dropped takes its indexes and triggers with it
        if is_repairable(d):
            transaction.execute(d.sql)
    if repairable:
        transaction.execute("INSERT OR IGNORE INTO dirty_pages SELECT id FROM pages")
    return repairable


def is_repairable(difference: SchemaDifference) -> bool:
    """Whether nothing is lost where that is made again."""
    return difference.kind != "table" or difference.name in REBUILDABLE_TABLES
