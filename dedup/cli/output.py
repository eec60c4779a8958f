"""Output of reports and exports: standard output, or with `-o` a file that is written atomically."""

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
"""Bytes read from each end of a file to recognise its content."""


@dataclass(frozen=True, slots=True)
class Output:
    """Destination of a command: a file, or standard output if `path` is None. `force` permits replacing a file of any content."""

    path: str | None = None
    force: bool = False


def output_options(command: _Command) -> _Command:
    """Add `--output` and `--force`, passed to the command as one `Output`."""

    @click.option(
        "-o", "--output", "output_file", metavar="FILE", type=click.Path(),
        help="Write to FILE instead of standard output. FILE is replaced once everything is written.",
    )  # fmt: skip
    @click.option("--force", is_flag=True, help="Replace FILE even if it is not a report or an export of dedup.")
    @functools.wraps(command)
    def wrapped(*args: Any, output_file: str | None, force: bool, **kw: Any) -> Any:
        return command(*args, output=Output(output_file, force), **kw)

    return wrapped  # type: ignore[return-value]


@contextmanager
def open_output(loaded: LoadedSettings, output: Output, directories: Iterable[bytes] = ()) -> Iterator[BinaryIO]:
    """Open the destination of an output for writing. A file is put in place when the block ends without an error.

    `directories` are the crawl directories recorded in the database: nothing is written into them.

    Raises OutputRefusedError if the path is protected, is not a file, or holds something other than an output of dedup, and
    OutputFailedError if writing fails.
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
    """Return why no file can be written at a path, or None."""
    if not os.path.isdir(os.path.dirname(path)):
        return f"there is no folder {to_printable_path(os.fsencode(os.path.dirname(path)))}"
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return "it is a folder"
    return None if stat.S_ISREG(mode) else "it is not a regular file; leave out -o to write to standard output"


def _content_problem(descriptor: int) -> str | None:
    """Return why an open file must not be replaced without `--force`, or None."""
    from dedup.reports.outputs import is_output

    size = os.fstat(descriptor).st_size
    if not size or is_output(os.pread(descriptor, _SAMPLE_BYTES, 0), os.pread(descriptor, _SAMPLE_BYTES, max(0, size - _SAMPLE_BYTES))):
        return None
    return "the file there is neither a report nor an export of dedup; choose another name or add --force"
