"""All SQL except that of `dedup.search`: the database, and one module of functions for each entity.

A function that reads takes a `Database`, one that writes a `Transaction`; `dedup.store.database` explains the pattern.
"""

from __future__ import annotations

from dedup.store import (
    alerts,
    batches,
    boilerplate,
    changes,
    directories,
    dump,
    export,
    faults,
    files,
    integrity,
    lists,
    matches,
    pages,
    passages,
    prune,
    publishers,
    readings,
    rereads,
    revisions,
    schema_repair,
    search,
    settings,
    sightings,
    statistics,
    summaries,
    texts,
    timeline,
)
from dedup.store.connection import open_database, open_writable, translate_read_errors
from dedup.store.database import Database, Transaction, WritableDatabase
from dedup.store.lock import Lock

__all__ = [
    "Database",
    "Lock",
    "Transaction",
    "WritableDatabase",
    "alerts",
    "batches",
    "boilerplate",
    "changes",
    "directories",
    "dump",
    "export",
    "faults",
    "files",
    "integrity",
    "lists",
    "matches",
    "open_database",
    "open_writable",
    "pages",
    "passages",
    "prune",
    "publishers",
    "readings",
    "rereads",
    "revisions",
    "schema_repair",
    "search",
    "settings",
    "sightings",
    "statistics",
    "summaries",
    "texts",
    "timeline",
    "translate_read_errors",
]
