"""Formats: file name suffix → reader. A reader takes a file's bytes and gives an article or the faults that prevent it.

To add a format: a module with a reader of the same shape, and a row in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from dedup.formats import markdown
from dedup.formats.options import ReadOptions
from dedup.model import Reading

VERSION = 1
"""Of what the readers make of a file. Count it up whenever a reader gives another result for some file: then files are read again."""

Database = Callable[[bytes, ReadOptions], Reading]

READERS: dict[bytes, Database] = {
    b".md": markdown.read,
    b".markdown": markdown.read,
    b".txt": markdown.read,
}


def read(name: bytes, raw: bytes, options: ReadOptions) -> Reading:
    """The article in `raw`, by the reader for the suffix of `name` (Markdown where none is known). Never raises for content."""
    return READERS.get(suffix(name), markdown.read)(raw, options)


def suffix(name: bytes) -> bytes:
    """The lower-case suffix of a file name with its dot; empty where there is none."""
    dot = name.rfind(b".")
    return name[dot:].lower() if dot > 0 else b""


__all__ = ["READERS", "VERSION", "ReadOptions", "Reader", "read", "suffix"]
