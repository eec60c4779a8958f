"""Tables as JSON lines, JSON, CSV and Parquet, written as the rows come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, BinaryIO

from dedup.errors import MissingExtraError
from dedup.reports.export.schema import Column, Row, Table, Type
from dedup.text.sanitise import cell, csv_line, dumps

GROUP = 5000
"""Rows of a row group of Parquet at most."""
GROUP_CHARACTERS = 1 << 24
"""Characters of it, about."""
CHUNK = 1 << 16
"""Characters that are written at once."""

Heard = Callable[[int], Any]
"""Hears how many rows are written."""


def jsonl(table: Table, file: BinaryIO, heard: Heard) -> None:
    """An object a line."""
    _lines(file, heard, (dumps(record) + "\n" for record in table.records()))


def json(table: Table, file: BinaryIO, heard: Heard) -> None:
    """An array of the same objects."""
    file.write(b"[")
    _lines(file, heard, (("\n" if n == 0 else ",\n") + dumps(record) for n, record in enumerate(table.records())))
    file.write(b"\n]\n")


def csv(table: Table, file: BinaryIO, heard: Heard) -> None:
    """RFC 4180 with a head; what steers is spelt out, formulas are none."""
    kinds = [c.type for c in table.columns]
    file.write(csv_line([c.name for c in table.columns]).encode())
    _lines(file, heard, (csv_line([cell(_flat(v, k)) for v, k in zip(row, kinds, strict=True)]) for row in table.rows))


def _flat(value: Any, kind: Type) -> Any:
    return dumps(value) if kind in ("list", "json") and value is not None else value


def _lines(file: BinaryIO, heard: Heard, lines: Iterator[str]) -> None:
    held: list[str] = []
    size = number = 0
    for number, line in enumerate(lines, 1):
        held.append(line)
        size += len(line)
        if size >= CHUNK:
            file.write("".join(held).encode())
            heard(number)
            held.clear()
            size = 0
    file.write("".join(held).encode())
    heard(number)


def parquet(table: Table, file: BinaryIO, heard: Heard) -> None:
    """Apache Parquet, in row groups. Raises MissingExtraError."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet as format_
    except ImportError:
        raise MissingExtraError(what="Parquet", package="pyarrow", extra="parquet") from None
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
    number = 0
    with format_.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(table):
            arrays = [arrow.array([_stored(row[n], c) for row in group], type=types[c.type]) for n, c in enumerate(table.columns)]
            writer.write_batch(arrow.RecordBatch.from_arrays(arrays, schema=schema))
            number += len(group)
            heard(number)


def _groups(table: Table) -> Iterator[list[Row]]:
    held: list[Row] = []
    size = 0
    for row in table.rows:
        held.append(row)
        size += sum(len(v) for v in row if isinstance(v, str))
        if len(held) >= GROUP or size >= GROUP_CHARACTERS:
            yield held
            held, size = [], 0
    if held:
        yield held


def _stored(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column.type == "time":
        return datetime.fromisoformat(value)
    return dumps(value) if column.type == "json" else value


FORMATS: dict[str, Callable[[Table, BinaryIO, Heard], None]] = {"jsonl": jsonl, "json": json, "csv": csv, "parquet": parquet}
"""What a table can be had as."""
