"""Where results go that may be large: to standard output, or with `-o` into a file that is whole or not there."""

from __future__ import annotations

import functools
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from dedup.errors import OutputFailedError, OutputRefusedError
from dedup.files import atomic
from dedup.text.normalise import printable_path

if TYPE_CHECKING:
    from dedup.config import Loaded

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SAMPLE = 1 << 16
"""Bytes of either end of a file by which it is known what it holds."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes to: a file (None: standard output), and whether that may replace a file of any content."""

    path: str | None = None
    force: bool = False


def output(command: _Command) -> _Command:
    """Add `--output` and `--force`, given as one."""

    @click.option(
        "-o", "--output", "output_file", metavar="FILE", type=click.Path(),
        help="Write to FILE instead of standard output. FILE is replaced once everything is written.",
    )  # fmt: skip
    @click.option("--force", is_flag=True, help="Replace FILE even if it holds something else than a report or an export.")
    @functools.wraps(command)
    def wrapped(*args: Any, output_file: str | None, force: bool, **kw: Any) -> Any:
        return command(*args, output=Output(output_file, force), **kw)

    return wrapped  # type: ignore[return-value]


@contextmanager
def written(loaded: Loaded, to: Output, known: Iterable[bytes] = ()) -> Iterator[BinaryIO]:
    """What to write to. A file takes its place when the block is done, and else is not there; `known` are crawl directories that the
    database knows.

    Raises OutputRefusedError where nothing may be written, or where something else than an output of ours would be replaced, and
    OutputFailedError.
    """
    if to.path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    shown, place = printable_path(os.fsencode(to.path)), os.path.realpath(to.path)
    protected = loaded.settings.protected(known, loaded.file)

    def check(there: int | None) -> None:
        problem = protected.problem(place)
        if problem is None and there is not None and not to.force:
            problem = _problem_of_content(there)
        if problem:
            raise OutputRefusedError(file=shown, problem=problem)

    if problem := protected.problem(place) or _problem_of_place(place):
        raise OutputRefusedError(file=shown, problem=problem)
    try:
        with atomic.replaced(place, check) as file:
            yield file
    except OSError as error:
        raise OutputFailedError(file=shown, problem=error.strerror or str(error)) from error


def _problem_of_place(place: str) -> str | None:
    """Why there cannot be a file at a place."""
    if not os.path.isdir(os.path.dirname(place)):
        return f"there is no folder {printable_path(os.fsencode(os.path.dirname(place)))}"
    try:
        kind = os.lstat(place).st_mode
    except OSError:
        return None
    if stat.S_ISDIR(kind):
        return "it is a folder"
    return None if stat.S_ISREG(kind) else "it is no regular file; without -o the result goes to standard output"


def _problem_of_content(there: int) -> str | None:
    """Why a file must not be replaced without --force."""
    from dedup.reports.outputs import is_output

    size = os.fstat(there).st_size
    if not size or is_output(os.pread(there, _SAMPLE, 0), os.pread(there, _SAMPLE, max(0, size - _SAMPLE))):
        return None
    return "a file is there that is neither a report nor an export of dedup; choose another name, or replace it with --force"
