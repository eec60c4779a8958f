"""Adapts the output of sphinx-click: help texts are plain text, and options that all commands have are described once, in `commands.md`."""

from __future__ import annotations

import re

import click
from sphinx.application import Sphinx

_COMMON_OPTION = re.compile(r"\.\. option:: -[cdvq], --(config|database|verbose|quiet)\b")
_OPTION = ".. option:: "


def escape_description(_app: Sphinx, _context: click.Context, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup. A bar at the beginning of a line is sphinx-click's own."""
    lines[:] = map(_escape, lines)


def _escape(line: str) -> str:
    return re.sub(r"([*`\\])|(?<=\w)_(?!\w)", lambda m: "\\" + m[0], line)


def adapt_options(_app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Remove the common options from the page of a command, and escape the help of the others."""
    is_root = context.parent is None and context.info_name == "dedup"
    kept: list[str] = []
    is_removed = False
    for line in lines:
        if line.startswith(_OPTION):
            is_removed = not is_root and bool(_COMMON_OPTION.match(line))
        if not is_removed:
            kept.append(line if line.lstrip().startswith((_OPTION, ":")) else _escape(line))
    lines[:] = kept


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("sphinx-click-process-description", escape_description)
    app.connect("sphinx-click-process-options", adapt_options)
    return {"parallel_read_safe": True}
