"""Columns of the exported tables. Their names and types are stable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

ColumnType = Literal["text", "integer", "real", "boolean", "time", "list", "json"]
"""`time` is ISO 8601 in UTC, `list` a list of texts, `json` any JSON value (as text in CSV and Parquet)."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column. Any column may contain nulls."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class ExportTable:
    """A table. `rows` yields tuples in the order of the columns, and can be read once."""

    name: str
    columns: tuple[ExportColumn, ...]
    rows: Iterable[Row]

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as dictionaries by column name."""
        names = [c.name for c in self.columns]
        for row in self.rows:
            yield dict(zip(names, row, strict=True))


def parse_columns(specification: str) -> tuple[ExportColumn, ...]:
    """Parse `name type, name type, …`. The default type is `text`."""
    result = []
    for item in specification.split(","):
        name, _, type_ = item.strip().partition(" ")
        result.append(ExportColumn(name, type_ or "text"))  # type: ignore[arg-type]
    return tuple(result)


ARTICLES_SCHEMA = parse_columns(
    "url, id, title, publisher, publisher_printed, author, category, published_at time, crawled_at time, first_crawled_at time,"
    " check_status, check_cause, revision integer, current boolean, state_digest, text_digest, characters integer, cluster_role,"
    " pruned_at time, path, gone boolean, body"
)
MATCHES_SCHEMA = parse_columns(
    "relation, similarity real, containment real, coverage real, shared_characters integer, longest_passage integer, quoted_share real,"
    " text_digest_a, text_digest_b,"
    " url_a, publisher_a, published_at_a time, crawled_at_a time, url_b, publisher_b, published_at_b time, crawled_at_b time,"
    " lag_seconds real"
)
CLUSTERS_SCHEMA = parse_columns(
    "cluster_url, url, id, title, publisher, published_at time, crawled_at time, first_crawled_at time, relation, similarity real,"
    " coverage real, via_url, lag_seconds real"
)
CHANGES_SCHEMA = parse_columns(
    "url, title, title_before, publisher, at time, previous_at time, kind, severity, silent boolean, corrected boolean, parts list,"
    " evidence json, fields json, state_digest_before, state_digest_after, body_similarity real"
)
SELECTION_SCHEMA = parse_columns(
    "url, id, title, publisher, paths list, paths_hex list, kept_url, relation, similarity real, coverage real, via_url, reason"
)
ALL_SCHEMAS = (ARTICLES_SCHEMA, MATCHES_SCHEMA, CLUSTERS_SCHEMA, CHANGES_SCHEMA, SELECTION_SCHEMA)
"""The schemas of all tables."""
