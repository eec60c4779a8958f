"""Formats: file name suffix → reader. A reader takes a file's bytes and gives an article or the faults that prevent it.

To add a format: a module with a reader of the same shape, and a row in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from dedup.formats import markdown
from dedup.formats.options import ReadOptions
from dedup.model import ParseResult

READERS_VERSION = 1
"""Of what the readers make of a file. Count it up whenever a reader gives another result for some file: then files are read again."""

Reader = Callable[[bytes, ReadOptions], ParseResult]

READERS: dict[bytes, Reader] = {
    b".md": markdown.read_markdown,
    b".markdown": markdown.read_markdown,
    b".txt": markdown.read_markdown,
}


def read_article(name: bytes, raw: bytes, options: ReadOptions) -> ParseResult:
    """The article in `raw`, by the reader for the suffix of `name` (Markdown where none is known). Never raises for content."""
    return READERS.get(name_suffix(name), markdown.read_markdown)(raw, options)


def name_suffix(name: bytes) -> bytes:
    """The lower-case suffix of a file name with its dot; empty where there is none."""
    dot = name.rfind(b".")
    return name[dot:].lower() if dot > 0 else b""


__all__ = ["READERS", "READERS_VERSION", "ReadOptions", "Reader", "name_suffix", "read_article"]
