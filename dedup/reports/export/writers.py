"""Writes tables as JSON lines, JSON, CSV and Parquet, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, BinaryIO

from dedup.reports.export.schema import ColumnType, ExportColumn, ExportTable, Row
from dedup.runtime.extras import require_extra
from dedup.text.sanitise import format_csv_cell, format_csv_row, format_json

MAX_GROUP_ROWS = 5000
"""Rows per Parquet row group."""
MAX_GROUP_CHARACTERS = 1 << 24
"""Characters per Parquet row group, approximately."""
CHUNK_CHARACTERS = 1 << 16
"""Characters per write."""

RowProgress = Callable[[int], Any]
"""Callback that receives the number of rows written so far."""


def write_jsonl(table: ExportTable, file: BinaryIO, progress: RowProgress) -> None:
    """Write JSON lines: one object per line."""
    _write_lines(file, progress, (format_json(record) + "\n" for record in table.records()))


def write_json(table: ExportTable, file: BinaryIO, progress: RowProgress) -> None:
    """Write a JSON array of objects, one per line."""
    file.write(b"[")
    _write_lines(file, progress, (("\n" if n == 0 else ",\n") + format_json(record) for n, record in enumerate(table.records())))
    file.write(b"\n]\n")


def write_csv(table: ExportTable, file: BinaryIO, progress: RowProgress) -> None:
    """Write CSV (RFC 4180) with a header. Control characters are escaped, and formulas are disarmed."""
    types = [c.type for c in table.columns]
    file.write(format_csv_row([c.name for c in table.columns]).encode())
    _write_lines(
        file,
        progress,
        (format_csv_row([format_csv_cell(_flatten_value(v, k)) for v, k in zip(row, types, strict=True)]) for row in table.rows),
    )


def _flatten_value(value: Any, type_: ColumnType) -> Any:
    return format_json(value) if type_ in ("list", "json") and value is not None else value


def _write_lines(file: BinaryIO, progress: RowProgress, lines: Iterator[str]) -> None:
    buffer: list[str] = []
    size = row_count = 0
    for row_count, line in enumerate(lines, 1):
        buffer.append(line)
        size += len(line)
        if size >= CHUNK_CHARACTERS:
            file.write("".join(buffer).encode())
            progress(row_count)
            buffer.clear()
            size = 0
    file.write("".join(buffer).encode())
    progress(row_count)


def write_parquet(table: ExportTable, file: BinaryIO, progress: RowProgress) -> None:
    """Write Apache Parquet, compressed with zstd. Raises MissingExtraError if pyarrow is not installed."""
    require_extra("parquet")
    import pyarrow as arrow
    from pyarrow import parquet as format_

    types = {
        "text": arrow.string(),
        "json": arrow.string(),
        "integer": arrow.int64(),
        "real": arrow.float64(),
        "boolean": arrow.bool_(),
        "time": arrow.timestamp("us", tz="UTC"),
        "list": arrow.list_(arrow.string()),
    }
    schema = arrow.schema([(c.name, types[c.type]) for c in table.columns])
    row_count = 0
    with format_.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _row_groups(table):
            arrays = [arrow.array([_parquet_value(row[n], c) for row in group], type=types[c.type]) for n, c in enumerate(table.columns)]
            writer.write_batch(arrow.RecordBatch.from_arrays(arrays, schema=schema))
            row_count += len(group)
            progress(row_count)


def _row_groups(table: ExportTable) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in table.rows:
        group.append(row)
        size += sum(len(v) for v in row if isinstance(v, str))
        if len(group) >= MAX_GROUP_ROWS or size >= MAX_GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _parquet_value(value: Any, column: ExportColumn) -> Any:
    if value is None:
        return None
    if column.type == "time":
        return datetime.fromisoformat(value)
    return format_json(value) if column.type == "json" else value


FORMATS: dict[str, Callable[[ExportTable, BinaryIO, RowProgress], None]] = {
    "jsonl": write_jsonl,
    "json": write_json,
    "csv": write_csv,
    "parquet": write_parquet,
}
"""Name of a format → function that writes a table in it."""
