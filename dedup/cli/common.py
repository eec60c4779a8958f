"""Shared by all commands: the common options, notes and logs on standard error, and JSON and CSV output."""

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

from dedup.cli.suggestions import SuggestingChoice
from dedup.runtime.log_limits import LogLimitFilter
from dedup.text.normalise import is_storable
from dedup.text.sanitise import format_csv_cell, format_csv_row, format_json, to_printable, to_printable_path

if TYPE_CHECKING:
    from dedup.config import LoadedSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """Values of the options that every command takes, before or after its name."""

    config: str | None = None
    database: str | None = None
    verbosity: int = 0

    def load(self, directories: tuple[str, ...] = ()) -> LoadedSettings:
        """Load the settings in force. `directories` replace the configured crawl directories.

        Raises ConfigError.
        """
        from dedup.config import load

        return load(self.config, directories=directories, database=self.database)


class _CommonOption(click.Option):
    """An option of every command. `dedup --help` describes it; the help of a command has one line for all of them."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        if ctx.parent is None:
            return super().get_help_record(ctx)
        return ("-c, -d, -v, -q", "Common options; 'dedup --help' describes them.") if self.name == "config" else None


def common_options(command: _Command) -> _Command:
    """Add `--config`, `--database`, `--verbose` and `--quiet` to a command, and pass their values as `CommonOptions` in `ctx.obj`."""

    @click.option(
        "-c",
        "--config",
        cls=_CommonOption,
        metavar="FILE",
        type=click.Path(),
        help="Configuration file. Default: ./config.toml, else $XDG_CONFIG_HOME/dedup/config.toml, else built-in values.",
    )
    @click.option(
        "-d", "--database", cls=_CommonOption, metavar="FILE", type=click.Path(), help="Database to use instead of the configured one."
    )
    @click.option("-v", "--verbose", cls=_CommonOption, is_flag=True, help="Log more on standard error.")
    @click.option("-q", "--quiet", cls=_CommonOption, is_flag=True, help="Print results and errors only, no progress and no notes.")
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
    """Raise BadParameter for text that is not UTF-8 and for integers of more than 64 bits, which SQLite cannot bind.

    Paths are exempt: a path is any sequence of bytes.
    """
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
    """Return a command's docstring, which is its help, from its source: `python -OO` strips docstrings. None without source."""
    import ast
    import inspect
    import textwrap

    try:
        (node, *_) = ast.parse(textwrap.dedent(inspect.getsource(command))).body
    except (OSError, SyntaxError, ValueError):
        return None
    return ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None


def format_option(*names: str) -> Callable[[_Command], _Command]:
    """Add `--format` with these values. The first one is the default."""
    return click.option(
        "-f", "--format", "output_format", type=SuggestingChoice(names), default=names[0], show_default=True, help="Output format."
    )


def parse_time(option: str, value: str | None) -> str | None:
    """Return the time an option gives, as ISO 8601 in UTC, or None for None. Raises BadParameter."""
    if value is None:
        return None
    from dedup.text import times

    utc = times.to_utc(value, UTC)
    if utc is None:
        raise click.BadParameter(f"{value!r} is not a time; write it like 2026-03-02 or 2026-03-02T09:00:00+09:00", param_hint=option)
    return utc


def print_note(options: CommonOptions, sentence: str) -> None:
    """Print a line on standard error, unless `--quiet` is set."""
    if options.verbosity >= 0:
        click.echo(to_printable(sentence), err=True)


class _StderrHandler(logging.Handler):
    """Prints log records on standard error. Looks `sys.stderr` up each time, because a progress bar replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(to_printable(record.getMessage()), err=True)


@contextmanager
def log_to_stderr(options: CommonOptions) -> Iterator[None]:
    """Print log records on standard error inside the block.

    The level is INFO on a terminal and with `--verbose`, ERROR with `--quiet`, otherwise WARNING.
    """
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
"""Key of a context's `meta`: the exit code to use if standard output is closed before all of it is written."""


def set_verdict(*, has_findings: bool) -> None:
    """Record, before the output is printed, whether the command exits with 1."""
    click.get_current_context().meta[VERDICT_KEY] = int(has_findings)


def print_json(value: Any) -> None:
    """Print one JSON value, indented, as UTF-8."""
    click.echo(format_json(value, indent=2))


def print_json_array(rows: Iterable[Any]) -> int:
    """Print a JSON array row by row, as the rows arrive. Returns the number of rows."""
    count = 0
    for row in rows:
        click.echo(("[\n" if count == 0 else ",\n") + format_json(row), nl=False)
        count += 1
    click.echo("\n]" if count else "[]")
    return count


def print_csv(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> int:
    """Print CSV with a header (RFC 4180) and return the number of rows.

    A cell that a spreadsheet would take for a formula is prefixed with an apostrophe.
    """
    columns = list(columns)
    count = 0
    click.echo(format_csv_row(columns), nl=False)
    for row in rows:
        click.echo(format_csv_row([format_csv_cell(row.get(c)) for c in columns]), nl=False)
        count += 1
    return count


def shows_progress(options: CommonOptions) -> bool:
    """Return whether to show progress: standard error is a terminal and `--quiet` is not set."""
    return options.verbosity >= 0 and sys.stderr.isatty()
