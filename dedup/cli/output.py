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
from dedup.text.sanitise import to_printable_path

if TYPE_CHECKING:
    from dedup.config import LoadedSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SAMPLE_BYTES = 1 << 16
"""Bytes of either end of a file by which it is known what it holds."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes to: a file (None: standard output), and whether that may replace a file of any content."""

    path: str | None = None
    force: bool = False


def output_options(command: _Command) -> _Command:
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
def open_output(loaded: LoadedSettings, output: Output, directories: Iterable[bytes] = ()) -> Iterator[BinaryIO]:
    """What to write to. A file takes its place when the block is done, and else is not there; `directories` are crawl directories that the
    database knows.

    Raises OutputRefusedError where nothing may be written, or where something else than an output of ours would be replaced, and
    OutputFailedError.
    """
    if output.path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    display_path, path = to_printable_path(os.fsencode(output.path)), os.path.realpath(output.path)
    protected = loaded.settings.protected_paths(directories, loaded.file)

    def check(descriptor: int | None) -> None:
        problem = protected.find_problem(path)
        if problem is None and descriptor is not None and not output.force:
            problem = _content_problem(descriptor)
        if problem:
            raise OutputRefusedError(file=display_path, problem=problem)

    if problem := protected.find_problem(path) or _path_problem(path):
        raise OutputRefusedError(file=display_path, problem=problem)
    try:
        with atomic.replace_atomically(path, check) as file:
            yield file
    except OSError as error:
        raise OutputFailedError(file=display_path, problem=error.strerror or str(error)) from error


def _path_problem(path: str) -> str | None:
    """Why there cannot be a file at a place."""
    if not os.path.isdir(os.path.dirname(path)):
        return f"there is no folder {to_printable_path(os.fsencode(os.path.dirname(path)))}"
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return "it is a folder"
    return None if stat.S_ISREG(mode) else "it is not a regular file; without -o the result goes to standard output"


def _content_problem(descriptor: int) -> str | None:
    """Why a file must not be replaced without --force."""
    from dedup.reports.outputs import is_output

    size = os.fstat(descriptor).st_size
    if not size or is_output(os.pread(descriptor, _SAMPLE_BYTES, 0), os.pread(descriptor, _SAMPLE_BYTES, max(0, size - _SAMPLE_BYTES))):
        return None
    return "a file is there that is neither a report nor an export of dedup; choose another name, or replace it with --force"
