"""What the commands share: the options that all of them take, and how results are printed."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dedup.log_limits import LogLimitFilter
from dedup.text.normalise import is_storable
from dedup.text.sanitise import format_csv_cell, format_csv_row, format_json, to_printable, to_printable_path

if TYPE_CHECKING:
    from dedup.config import LoadedSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """The options every command takes, before or after its name."""

    config: str | None = None
    database: str | None = None
    verbosity: int = 0

    def load(self, directories: tuple[str, ...] = ()) -> LoadedSettings:
        """The settings in force."""
        from dedup.config import load

        return load(self.config, directories=directories, database=self.database)


def common_options(command: _Command) -> _Command:
    """Add `--config`, `--database`, `--verbose` and `--quiet`."""

    @click.option(
        "-c", "--config", metavar="FILE", type=click.Path(), help="Configuration file (default: ./config.toml, then the user's own)."
    )
    @click.option("-d", "--database", metavar="FILE", type=click.Path(), help="Database, in place of the configured one.")
    @click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress, no remarks; errors only.")
    @functools.wraps(command)
    def wrapped(*args: Any, config: str | None, database: str | None, verbose: bool, quiet: bool, **kw: Any) -> Any:
        ctx = click.get_current_context()
        _require_storable(ctx)
        inherited = ctx.obj if isinstance(ctx.obj, CommonOptions) else CommonOptions()
        verbosity = 1 if verbose else -1 if quiet else inherited.verbosity
        ctx.obj = replace(inherited, config=config or inherited.config, database=database or inherited.database, verbosity=verbosity)
        return ctx.invoke(command, *args, **kw)

    wrapped.__doc__ = command.__doc__ or _docstring(command)
    return wrapped  # type: ignore[return-value]


def _require_storable(ctx: click.Context) -> None:
    """Raise BadParameter for words that are not UTF-8 and numbers that do not fit: they would be bound in SQL. Paths are bytes, and may
    be anything."""
    for parameter in ctx.command.params:
        if isinstance(parameter.type, click.Path):
            continue
        value = ctx.params.get(parameter.name or "")
        for item in value if isinstance(value, tuple) else (value,):
            if not is_storable(item):
                display = to_printable_path(os.fsencode(item)) if isinstance(item, str) else str(item)
                problem = "is not UTF-8 text" if isinstance(item, str) else "is not a number of 64 bits"
                raise click.BadParameter(f"'{display}' {problem}.", ctx=ctx, param=parameter)


def _docstring(command: Callable[..., Any]) -> str | None:
    """The docstring of a command, which is its help, from its source: Python leaves it out when it is asked to optimise (-OO). None
    where there is no source."""
    import ast
    import inspect
    import textwrap

    try:
        (node, *_) = ast.parse(textwrap.dedent(inspect.getsource(command))).body
    except (OSError, SyntaxError, ValueError):
        return None
    return ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None


def format_option(*names: str) -> Callable[[_Command], _Command]:
    """Add `--format`, the first name being the default."""
    return click.option(
        "-f", "--format", "output_format", type=click.Choice(names), default=names[0], show_default=True, help="How results are printed."
    )


def parse_time(option: str, value: str | None) -> str | None:
    """A time that somebody gave, as ISO 8601 in UTC; None where none was given. Raises BadParameter."""
    if value is None:
        return None
    from dedup.text import times

    utc = times.to_utc(value, UTC)
    if utc is None:
        raise click.BadParameter(f"{value!r} is not a time; for example 2026-03-02 or 2026-03-02T09:00:00+09:00", param_hint=option)
    return utc


def print_note(options: CommonOptions, sentence: str) -> None:
    """A line for people on standard error, unless they asked for quiet."""
    if options.verbosity >= 0:
        click.echo(to_printable(sentence), err=True)


class _StderrHandler(logging.Handler):
    """What the program logs, as a line on standard error, wherever that is by then (a progress bar takes it over)."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(to_printable(record.getMessage()), err=True)


@contextmanager
def log_to_stderr(options: CommonOptions) -> Iterator[None]:
    """Tell people on a terminal, or who asked for more, what the work logs; everybody but the quiet of what is not well."""
    log = logging.getLogger("dedup")
    handler = _StderrHandler(logging.ERROR if options.verbosity < 0 else logging.INFO if _is_verbose(options) else logging.WARNING)
    limit = LogLimitFilter(handler)
    handler.addFilter(limit)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        limit.close()
        log.removeHandler(handler)


def _is_verbose(options: CommonOptions) -> bool:
    return options.verbosity > 0 or sys.stderr.isatty()


VERDICT_KEY = "dedup.verdict"
"""Key of a context's `meta`: the exit code where whoever reads the output leaves before its end."""


def set_verdict(*, has_findings: bool) -> None:
    """Note, before it is printed, whether what was found makes the command exit with 1."""
    click.get_current_context().meta[VERDICT_KEY] = int(has_findings)


def print_json(value: Any) -> None:
    """One JSON value, indented, as UTF-8."""
    click.echo(format_json(value, indent=2))


def print_json_array(rows: Iterable[Any]) -> int:
    """A JSON array, row by row as they come; returns how many."""
    count = 0
    for row in rows:
        click.echo(("[\n" if count == 0 else ",\n") + format_json(row), nl=False)
        count += 1
    click.echo("\n]" if count else "[]")
    return count


def print_csv(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> int:
    """CSV with a head (RFC 4180); cells that a spreadsheet would take for a formula get an apostrophe before them."""
    columns = list(columns)
    count = 0
    click.echo(format_csv_row(columns), nl=False)
    for row in rows:
        click.echo(format_csv_row([format_csv_cell(row.get(c)) for c in columns]), nl=False)
        count += 1
    return count


def shows_progress(options: CommonOptions) -> bool:
    """Whether progress can be shown: somebody is looking at standard error and did not ask for quiet."""
    return options.verbosity >= 0 and sys.stderr.isatty()
