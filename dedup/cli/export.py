"""`export`: tables for other programs, and lists of articles to keep or drop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dedup.cli.common import CommonOptions, common_options, format_option, parse_time, print_note, shows_progress
from dedup.cli.output import Output, open_output, output_options
from dedup.cli.progress import ProgressBar
from dedup.cli.suggestions import CommandGroup, SuggestingChoice
from dedup.model import CLUSTER_RELATIONS
from dedup.text.format import format_count

if TYPE_CHECKING:
    from dedup.reports.export import ExportFilter, ExportTable
    from dedup.store import Database

_Command = TypeVar("_Command", bound=Callable[..., Any])
KEEP_ORDERS = ("earliest", "longest", "latest")
"""Names of the rules by which one of several copies is kept."""


@click.group(cls=CommandGroup)
@common_options
def export() -> None:
    """Export tables, and lists to keep or drop.

    articles, matches, clusters and changes export what the database contains, as JSON lines, JSON, CSV or Parquet, for pandas,
    DuckDB and similar tools. keep and drop divide a corpus: of each set of copies one article is kept and the others are
    dropped. Nothing is deleted. Rows are streamed, so tables may be larger than memory. docs/export.md lists the columns and
    their types.

    \b
    Examples:
      dedup export articles --format parquet -o articles.parquet
      dedup export drop --keep longest --format csv -o drop.csv
    """


def _period_options(command: _Command) -> _Command:
    """Add `--since`, `--until` and `--publisher`, passed as one `PeriodArguments`."""

    @click.option("--since", metavar="TIME", help="Only rows of TIME or later (ISO 8601; UTC if it has no offset).")
    @click.option("--until", metavar="TIME", help="Only rows before TIME.")
    @click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any of its names.")
    @functools.wraps(command)
    def wrapped(*args: Any, since: str | None, until: str | None, publisher: str | None, **kw: Any) -> Any:
        return command(*args, period=(parse_time("--since", since), parse_time("--until", until), publisher), **kw)

    return wrapped  # type: ignore[return-value]


_format_option = format_option("jsonl", "json", "csv", "parquet")
_all_revisions_option = click.option("--all-revisions", is_flag=True, help="Export all revisions of a page, not only the current one.")
PeriodArguments = tuple[str | None, str | None, str | None]
"""Begin and end of the period in UTC, and the publisher."""


@export.command()
@_period_options
@_all_revisions_option
@click.option("--no-body", is_flag=True, help="Leave out the column body.")
@_format_option
@output_options
@common_options
@click.pass_obj
def articles(
    options: CommonOptions, period: PeriodArguments, all_revisions: bool, no_body: bool, output_format: str, output: Output
) -> None:
    """Export articles, one row per page.

    Each row is the current revision of a page with its metadata, check, digests, cluster role and body. --since and --until
    apply to its first crawl.

    \b
    Examples:
      dedup export articles --format parquet -o articles.parquet
      dedup export articles --no-body --since 2026-03-02 > articles.jsonl
    """
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
    """Export matches between texts.

    Each row is two texts with the measures of their match and one article each. n exact copies of a text give n - 1 rows.
    --since and --until apply to the later of the two first crawls.

    \b
    Examples:
      dedup export matches --format parquet -o matches.parquet
      dedup export matches --publisher 한빛일보 --format csv
    """
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
    """Export clusters, one row per article.

    The representative of a cluster comes first. A cluster is exported in full if any of its articles was first crawled in the
    period.

    \b
    Examples:
      dedup export clusters --format csv -o clusters.csv
      dedup export clusters --since 2026-03-02 > clusters.jsonl
    """
    from dedup.reports import export as tables

    _write(options, output, output_format, tables.clusters_table, period, uses_summaries=True)


@export.command()
@_period_options
@_format_option
@output_options
@common_options
@click.pass_obj
def changes(options: CommonOptions, period: PeriodArguments, output_format: str, output: Output) -> None:
    """Export changes, the latest first.

    Every change of any severity is a row; edits of many pages are not combined. --since and --until apply to the crawl
    that shows the change.

    \b
    Examples:
      dedup export changes --format csv -o changes.csv
      dedup export changes --publisher 한빛일보 > changes.jsonl
    """
    from dedup.reports import export as tables

    _write(options, output, output_format, tables.changes_table, period)


def _rule_options(command: _Command) -> _Command:
    """Add `--keep`, `--prefer` and `--relation`, passed as one `RuleArguments`."""

    @click.option(
        "--keep", type=SuggestingChoice(KEEP_ORDERS), default=KEEP_ORDERS[0], show_default=True, help="Which of several copies to keep."
    )
    @click.option(
        "--prefer", multiple=True, metavar="NAME", help="Prefer articles of this publisher. May be repeated in order of preference."
    )
    @click.option(
        "--relation",
        multiple=True,
        type=SuggestingChoice(CLUSTER_RELATIONS),
        default=CLUSTER_RELATIONS,
        show_default=True,
        help="Relation that counts as a copy. May be repeated.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, keep: str, prefer: tuple[str, ...], relation: tuple[str, ...], **kw: Any) -> Any:
        return command(*args, rule=(keep, prefer, relation), **kw)

    return wrapped  # type: ignore[return-value]


RuleArguments = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Order, preferred publishers, and relations that count as copies."""


@export.command()
@_rule_options
@_format_option
@output_options
@common_options
@click.pass_obj
def keep(options: CommonOptions, rule: RuleArguments, output_format: str, output: Output) -> None:
    """Export the list of articles to keep.

    Of each set of copies one article is kept, by --prefer, then --keep; mismatched articles come last. Articles without copies
    are all kept. Rows have the paths of the files. Nothing is deleted.

    \b
    Examples:
      dedup export keep --format csv -o keep.csv
      dedup export keep --prefer 한빛일보 --keep longest > keep.jsonl
    """
    from dedup.reports import export as tables

    _write_list(options, output, output_format, rule, tables.kept_table)


@export.command()
@_rule_options
@_format_option
@output_options
@common_options
@click.pass_obj
def drop(options: CommonOptions, rule: RuleArguments, output_format: str, output: Output) -> None:
    """Export the list of articles to drop.

    These are the articles that 'dedup export keep' leaves out with the same options, each with the URL of the article that is
    kept instead. Rows have the paths of the files. Nothing is deleted.

    \b
    Examples:
      dedup export drop --format csv -o drop.csv
      dedup export drop --relation exact > drop.jsonl
    """
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
            print_note(options, f"{format_count(page_count, 'page')} without a file of their latest crawl are in neither list.")
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
        raise click.UsageError("Parquet cannot be written to standard output; give a file with -o")
    loaded = options.load()
    settings = loaded.settings
    criteria = ExportFilter(*period, settings.publishers.build_publishers())
    with (
        open_database(settings.database.path) as database,
        ProgressBar("export", "rows", is_shown=output.path is not None and shows_progress(options)) as bar,
        open_output(loaded, output, store.directories.paths(database)) as file,
    ):
        if uses_summaries and (dirty_pages := store.statistics.count_unsummarised_pages(database)):
            print_note(options, f"{format_count(dirty_pages, 'page')} recorded just now are not included yet.")
        FORMATS[output_format](build_table(database, criteria), file, bar.update)
