"""Source files, modules and commands of the project."""

from __future__ import annotations

from pathlib import Path

import click

import dedup
from dedup.cli import cli

TOP = Path(dedup.__file__).parent.parent


PACKAGE = TOP / "dedup"


SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """Return the dotted name of a module; that of `__init__.py` is the package."""
    parts = path.relative_to(TOP).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in SOURCES}


def command(name: str) -> click.Command:
    """Return a command by its words, for example `scan` or `boilerplate list`."""
    current: click.Command = cli
    for word in name.split():
        assert isinstance(current, click.Group)
        inner = current.get_command(click.Context(current), word)
        assert inner is not None
        current = inner
    return current
