"""The project's own files, modules and commands."""

from __future__ import annotations

from pathlib import Path

import click

import dedup
from dedup.cli import cli

TOP = Path(dedup.__file__).parent.parent


PACKAGE = TOP / "dedup"


SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """`dedup.store.rows`; a package goes by its own name."""
    parts = path.relative_to(TOP).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in SOURCES}


def command(name: str) -> click.Command:
    """A command by its words: `scan`, `boilerplate list`."""
    found: click.Command = cli
    for word in name.split():
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), word)
        assert inner is not None
        found = inner
    return found
