"""Formats: file name suffix → reader. A reader turns a file's bytes into an article, or into the faults that prevent it.

To add a format, write a module with a reader of this type and add a row to `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from dedup.formats import markdown
from dedup.formats.options import ReadOptions
from dedup.model import ParseResult

READERS_VERSION = 1
"""Version of the readers' results. Increase it whenever a reader returns another result for some file: all files are then read again."""

Reader = Callable[[bytes, ReadOptions], ParseResult]

READERS: dict[bytes, Reader] = {
    b".md": markdown.read_markdown,
    b".markdown": markdown.read_markdown,
    b".txt": markdown.read_markdown,
}


def read_article(name: bytes, raw: bytes, options: ReadOptions) -> ParseResult:
    """Return the article in `raw`, read by the reader for the suffix of `name` (Markdown for an unknown suffix). Never raises for
    content."""
    return READERS.get(name_suffix(name), markdown.read_markdown)(raw, options)


def name_suffix(name: bytes) -> bytes:
    """Return the lower-case suffix of a file name with its dot; empty if it has no suffix."""
    dot = name.rfind(b".")
    return name[dot:].lower() if dot > 0 else b""


__all__ = ["READERS", "READERS_VERSION", "ReadOptions", "Reader", "name_suffix", "read_article"]
