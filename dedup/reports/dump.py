"""The content of the database, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dedup import store
from dedup.store import Database
from dedup.store.rows import BoilerplateRow


def list_boilerplate(database: Database, publisher: str | None = None) -> list[dict[str, Any]]:
    """List the recorded boilerplate passages, of all publishers or of one."""
    return [boilerplate_as_json(row) for row in store.boilerplate.list_passages(database, publisher)]


def boilerplate_as_json(row: BoilerplateRow) -> dict[str, Any]:
    """Return a boilerplate passage as JSON."""
    return {
        "name": row.name,
        "publisher": row.publisher,
        "status": row.status,
        "article_count": row.article_count,
        "added_at": row.added_at,
        "characters": len(row.passage),
        "example": row.example,
        "passage": row.passage,
    }


def dump_rows(database: Database) -> Iterator[dict[str, Any]]:
    """Yield the content of the database in canonical order, without surrogate keys and times of observation.

    Each row has the key `table` and the columns of that table.
    """
    columns = store.dump.columns(database)
    for table, row in store.dump.rows(database):
        yield {"table": table, **dict(zip(columns[table], row, strict=True))}
