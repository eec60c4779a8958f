"""What the database holds, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dedup import store
from dedup.store import Database
from dedup.store.rows import BoilerplateRow


def list_boilerplate(database: Database, publisher: str | None = None) -> list[dict[str, Any]]:
    """What is known of publishers' boilerplate, or of one house's."""
    return [boilerplate_as_json(row) for row in store.boilerplate.list_passages(database, publisher)]


def boilerplate_as_json(row: BoilerplateRow) -> dict[str, Any]:
    """A passage of boilerplate as every command shows it."""
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
    """The database's content as rows in an order of its own, without surrogate keys and times of observation."""
    columns = store.dump.columns(database)
    for table, row in store.dump.rows(database):
        yield {"table": table, **dict(zip(columns[table], row, strict=True))}
