"""Where results go that may be large: to standard output, or with `-o` into a file that is whole or not there."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import click

from dedup import replacing
from dedup.cli.common import in_crawl_directory
from dedup.errors import OutputFailedError, OutputRefusedError
from dedup.text import printable_path

if TYPE_CHECKING:
    from dedup.config import Settings

output = click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Write to FILE, which is replaced once all is written, not to standard output.",
)


@contextmanager
def written(settings: Settings, path: str | None) -> Iterator[BinaryIO]:
    """What to write to. A file takes its place when the block is done, and else is not there. Raises OutputRefusedError,
    OutputFailedError."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    place = os.path.realpath(path)
    problem = _problem(settings, place)
    if problem:
        raise OutputRefusedError(file=_shown(path), problem=problem)
    try:
        with replacing.replaced(place) as file:
            yield file
    except OSError as error:
        raise OutputFailedError(file=_shown(path), problem=error.strerror or str(error)) from error


def _problem(settings: Settings, place: str) -> str | None:
    """Why something must not be written to a place."""
    if place in (os.path.realpath(settings.database.path) + end for end in ("", *replacing.OWN)):
        return "it is the database, or lies where that keeps a file of its own"
    if within := in_crawl_directory(settings, place):
        return within
    if not os.path.isdir(os.path.dirname(place)):
        return f"there is no folder {_shown(os.path.dirname(place))}"
    try:
        kind = os.lstat(place).st_mode
    except OSError:
        return None
    if stat.S_ISDIR(kind):
        return "it is a folder"
    return None if stat.S_ISREG(kind) else "it is no regular file; without -o the result goes to standard output"


def _shown(path: str) -> str:
    return printable_path(os.fsencode(path))
