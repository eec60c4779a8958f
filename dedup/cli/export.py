"""`export`: tables for other programs, and lists of what to keep and what to drop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dedup.cli.common import CommonOptions, common_options, format_option, parse_time, print_note, shows_progress
from dedup.cli.output import Output, open_output, output_options
from dedup.cli.progress import ProgressBar
from dedup.model import CLUSTER_RELATIONS
from dedup.text.format import format_count

if TYPE_CHECKING:
    from dedup.reports.export import ExportFilter, ExportTable
    from dedup.store import Database

_Command = TypeVar("_Command", bound=Callable[..., Any])
KEEP_ORDERS = ("earliest", "longest", "latest")
"""Rules of keeping, by name."""


@click.group()
@common_options
def export() -> None:
    """Tables for pandas, DuckDB and the like, streamed however long they are; and lists of what to keep and what to drop.

    articles, matches, clusters and changes are what the database holds; keep and drop name one article of every set of copies and the
    others, for those who deduplicate a corpus. Nothing is ever deleted. docs/export.md has the columns and their types.

    \b
    dedup export articles --format parquet -o articles.parquet
    dedup export drop --keep longest --format csv -o drop.csv
    """


def _period_options(command: _Command) -> _Command:
    """Add `--since`, `--until` and `--publisher`, given as one."""

    @click.option("--since", metavar="TIME", help="Only what came at or after TIME (ISO 8601; UTC if it has no offset).")
    @click.option("--until", metavar="TIME", help="Only what came before TIME.")
    @click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any of its names.")
    @functools.wraps(command)
    def wrapped(*args: Any, since: str | None, until: str | None, publisher: str | None, **kw: Any) -> Any:
        return command(*args, period=(parse_time("--since", since), parse_time("--until", until), publisher), **kw)

    return wrapped  # type: ignore[return-value]


_format_option = format_option("jsonl", "json", "csv", "parquet")
_all_revisions_option = click.option("--all-revisions", is_flag=True, help="Every revision of a page, not only the current one.")
PeriodArguments = tuple[str | None, str | None, str | None]


@export.command()
@_period_options
@_all_revisions_option
@click.option("--no-body", is_flag=True, help="Without the bodies.")
@_format_option
@output_options
@common_options
@click.pass_obj
def articles(
    options: CommonOptions, period: PeriodArguments, all_revisions: bool, no_body: bool, output_format: str, output: Output
) -> None:
    """Articles: each page as it stands now, with its body."""
    from dedup.reports import export as tables

    _write(
        options,
        output,
        output_format,
        lambda database, chosen: tables.articles_table(database, chosen, all_revisions=all_revisions, with_body=not no_body),
        period,
    )


@export.command()
@_period_options
@_all_revisions_option
@_format_option
@output_options
@common_options
@click.pass_obj
def matches(options: CommonOptions, period: PeriodArguments, all_revisions: bool, output_format: str, output: Output) -> None:
    """Texts that match, each with an article that shows it; n copies of one text are n - 1 rows."""
    from dedup.reports import export as tables

    _write(
        options, output, output_format, lambda database, chosen: tables.matches_table(database, chosen, all_revisions=all_revisions), period
    )


@export.command()
@_period_options
@_format_option
@output_options
@common_options
@click.pass_obj
def clusters(options: CommonOptions, period: PeriodArguments, output_format: str, output: Output) -> None:
    """Clusters: a row an article, the representative of each first."""
    from dedup.reports import export as tables

    _write(options, output, output_format, tables.clusters_table, period, uses_summaries=True)


@export.command()
@_period_options
@_format_option
@output_options
@common_options
@click.pass_obj
def changes(options: CommonOptions, period: PeriodArguments, output_format: str, output: Output) -> None:
    """Changes, every one by itself, the latest first."""
    from dedup.reports import export as tables

    _write(options, output, output_format, tables.changes_table, period)


def _rule_options(command: _Command) -> _Command:
    """Add what is kept."""

    @click.option(
        "--keep", type=click.Choice(KEEP_ORDERS), default=KEEP_ORDERS[0], show_default=True, help="Which of several copies is kept."
    )
    @click.option("--prefer", multiple=True, metavar="NAME", help="Rather articles by this publisher. May be repeated, the first first.")
    @click.option(
        "--relation",
        multiple=True,
        type=click.Choice(CLUSTER_RELATIONS),
        default=CLUSTER_RELATIONS,
        show_default=True,
        help="What counts as a copy.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, keep: str, prefer: tuple[str, ...], relation: tuple[str, ...], **kw: Any) -> Any:
        return command(*args, rule=(keep, prefer, relation), **kw)

    return wrapped  # type: ignore[return-value]


RuleArguments = tuple[str, tuple[str, ...], tuple[str, ...]]


@export.command()
@_rule_options
@_format_option
@output_options
@common_options
@click.pass_obj
def keep(options: CommonOptions, rule: RuleArguments, output_format: str, output: Output) -> None:
    """The articles to keep of a corpus: one of every set of copies, and all that have none."""
    from dedup.reports import export as tables

    _write_list(options, output, output_format, rule, tables.kept_table)


@export.command()
@_rule_options
@_format_option
@output_options
@common_options
@click.pass_obj
def drop(options: CommonOptions, rule: RuleArguments, output_format: str, output: Output) -> None:
    """The articles to leave out, each with the one that is kept in its place. Nothing is deleted."""
    from dedup.reports import export as tables

    _write_list(options, output, output_format, rule, tables.dropped_table)


def _write_list(
    options: CommonOptions, output: Output, output_format: str, rule_arguments: RuleArguments, build_table: Callable[..., ExportTable]
) -> None:
    from dedup import store
    from dedup.reports.export import KeepRule

    order, prefer, relations = rule_arguments

    def build(database: Database, criteria: ExportFilter) -> ExportTable:
        rule = KeepRule(order, prefer, frozenset(relations), criteria.publishers)
        if page_count := store.export.count_without_files(database):
            print_note(options, f"{format_count(page_count, 'page')} whose latest crawl no file holds any more are in neither list.")
        return build_table(database, rule)

    _write(options, output, output_format, build, (None, None, None))


def _write(
    options: CommonOptions,
    output: Output,
    output_format: str,
    build_table: Callable[[Database, ExportFilter], ExportTable],
    period: PeriodArguments,
    *,
    uses_summaries: bool = False,
) -> None:
    from dedup import store
    from dedup.reports.export import FORMATS, ExportFilter
    from dedup.store import open_database

    if output_format == "parquet" and output.path is None:
        raise click.UsageError("Parquet is written to a file; name one with -o")
    loaded = options.load()
    settings = loaded.settings
    criteria = ExportFilter(*period, settings.publishers.build_publishers())
    with (
        open_database(settings.database.path) as database,
        ProgressBar("export", "rows", is_shown=output.path is not None and shows_progress(options)) as bar,
        open_output(loaded, output, store.directories.paths(database)) as file,
    ):
        if uses_summaries and (dirty_pages := store.statistics.count_unsummarised_pages(database)):
            print_note(options, f"{format_count(dirty_pages, 'page')} that were just recorded are not in it yet.")
        FORMATS[output_format](build_table(database, criteria), file, bar.update)
