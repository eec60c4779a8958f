"""`export`: tables for other programs, and lists of what to keep and what to drop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dedup.cli.common import Common, common, formats, moment, on_terminal, plural, remark
from dedup.cli.output import Output, output, written
from dedup.cli.progress import Progress
from dedup.model import CLUSTERED

if TYPE_CHECKING:
    from dedup.reports.export import Chosen, Table
    from dedup.store import Database

_Command = TypeVar("_Command", bound=Callable[..., Any])
KEEP = ("earliest", "longest", "latest")
"""Rules of keeping, by name."""


@click.group()
@common
def export() -> None:
    """Tables for pandas, DuckDB and the like, streamed however long they are; and lists of what to keep and what to drop.

    articles, matches, clusters and changes are what the database holds; keep and drop name one article of every set of copies and the
    others, for those who deduplicate a corpus. Nothing is ever deleted. docs/export.md has the columns and their types.

    \b
    dedup export articles --format parquet -o articles.parquet
    dedup export drop --keep longest --format csv -o drop.csv
    """


def _period(command: _Command) -> _Command:
    """Add `--since`, `--until` and `--publisher`, given as one."""

    @click.option("--since", metavar="TIME", help="Only what came at or after TIME (ISO 8601; UTC if it has no offset).")
    @click.option("--until", metavar="TIME", help="Only what came before TIME.")
    @click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any name of its house.")
    @functools.wraps(command)
    def wrapped(*args: Any, since: str | None, until: str | None, publisher: str | None, **kw: Any) -> Any:
        return command(*args, period=(moment("--since", since), moment("--until", until), publisher), **kw)

    return wrapped  # type: ignore[return-value]


_forms = formats("jsonl", "json", "csv", "parquet")
_all = click.option("--all", "every", is_flag=True, help="Every revision of a page, not only the one it shows now.")
Period = tuple[str | None, str | None, str | None]


@export.command()
@_period
@_all
@click.option("--no-body", is_flag=True, help="Without the bodies.")
@_forms
@output
@common
@click.pass_obj
def articles(options: Common, period: Period, every: bool, no_body: bool, form: str, output: Output) -> None:
    """Articles: each page as it stands now, with its body."""
    from dedup.reports import export as tables

    _write(options, output, form, lambda database, chosen: tables.articles(database, chosen, every=every, body=not no_body), period)


@export.command()
@_period
@_all
@_forms
@output
@common
@click.pass_obj
def matches(options: Common, period: Period, every: bool, form: str, output: Output) -> None:
    """Texts that match, each with an article that shows it; n copies of one text are n - 1 rows."""
    from dedup.reports import export as tables

    _write(options, output, form, lambda database, chosen: tables.matches(database, chosen, every=every), period)


@export.command()
@_period
@_forms
@output
@common
@click.pass_obj
def clusters(options: Common, period: Period, form: str, output: Output) -> None:
    """Clusters: a row an article, the representative of each first."""
    from dedup.reports import export as tables

    _write(options, output, form, tables.clusters, period, summed=True)


@export.command()
@_period
@_forms
@output
@common
@click.pass_obj
def changes(options: Common, period: Period, form: str, output: Output) -> None:
    """Changes, every one by itself, the latest first."""
    from dedup.reports import export as tables

    _write(options, output, form, tables.changed, period)


def _rule(command: _Command) -> _Command:
    """Add what is kept."""

    @click.option("--keep", type=click.Choice(KEEP), default=KEEP[0], show_default=True, help="Which of several copies is kept.")
    @click.option("--prefer", multiple=True, metavar="NAME", help="Rather articles by this publisher. May be repeated, the first first.")
    @click.option(
        "--relation", multiple=True, type=click.Choice(CLUSTERED), default=CLUSTERED, show_default=True, help="What counts as a copy."
    )
    @functools.wraps(command)
    def wrapped(*args: Any, keep: str, prefer: tuple[str, ...], relation: tuple[str, ...], **kw: Any) -> Any:
        return command(*args, rule=(keep, prefer, relation), **kw)

    return wrapped  # type: ignore[return-value]


Ruled = tuple[str, tuple[str, ...], tuple[str, ...]]


@export.command()
@_rule
@_forms
@output
@common
@click.pass_obj
def keep(options: Common, rule: Ruled, form: str, output: Output) -> None:
    """The articles to keep of a corpus: one of every set of copies, and all that have none."""
    from dedup.reports import export as tables

    _write_list(options, output, form, rule, tables.kept)


@export.command()
@_rule
@_forms
@output
@common
@click.pass_obj
def drop(options: Common, rule: Ruled, form: str, output: Output) -> None:
    """The articles to leave out, each with the one that is kept in its place. Nothing is deleted."""
    from dedup.reports import export as tables

    _write_list(options, output, form, rule, tables.dropped)


def _write_list(options: Common, to: Output, form: str, ruled: Ruled, table: Callable[..., Table]) -> None:
    from dedup import store
    from dedup.reports.export import Rule

    name, prefer, relations = ruled

    def made(database: Database, chosen: Chosen) -> Table:
        rule = Rule(name, prefer, frozenset(relations), chosen.publishers)
        if left := store.export.count_without_files(database):
            remark(options, f"{plural(left, 'page')} whose latest crawl no file holds any more are in neither list.")
        return table(database, rule)

    _write(options, to, form, made, (None, None, None))


def _write(
    options: Common,
    to: Output,
    form: str,
    table: Callable[[Database, Chosen], Table],
    period: Period,
    *,
    summed: bool = False,
) -> None:
    from dedup import store
    from dedup.reports.export import FORMATS, Chosen
    from dedup.store import open_database

    if form == "parquet" and to.path is None:
        raise click.UsageError("Parquet is written to a file; name one with -o")
    loaded = options.load()
    settings = loaded.settings
    chosen = Chosen(*period, settings.publishers.publishers())
    with (
        open_database(settings.database.path) as database,
        Progress("export", "rows", shown=to.path is not None and on_terminal(options)) as bar,
        written(loaded, to, store.directories.paths(database)) as file,
    ):
        if summed and (due := store.statistics.count(database, "due")):
            remark(options, f"{plural(due, 'page')} that were just recorded are not in it yet.")
        FORMATS[form](table(database, chosen), file, bar.update)
