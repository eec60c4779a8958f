"""`duplicates` and `similar`: articles that share text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, parse_time, print_csv, print_json_array
from dedup.cli.suggestions import SuggestingChoice
from dedup.model import CLUSTER_RELATIONS, RELATIONS
from dedup.runtime import process
from dedup.text.format import format_count, format_lag
from dedup.text.sanitise import format_json, to_printable

_RELATION = SuggestingChoice(RELATIONS)


@click.command()
@click.option("--pairs", "as_pairs", is_flag=True, help="List every matching pair instead of clusters.")
@click.option("--passages", is_flag=True, help="With --pairs --format json: add the positions of the shared passages.")
@click.option("--relation", "relations", multiple=True, type=_RELATION, help="Only this relation. May be repeated.")
@click.option("--since", metavar="TIME", help="Only if an article was crawled at or after TIME (ISO 8601; UTC if it has no offset).")
@click.option("--publisher", metavar="NAME", help="Only if an article is by this publisher, under any of its names.")
@click.option("--min-similarity", type=click.FloatRange(0, 1), default=0.0, help="Only matches of at least this Jaccard similarity.")
@click.option("--all-revisions", is_flag=True, help="Compare all revisions of a page, not only the current one.")
@click.option("--fail-on", multiple=True, type=_RELATION, help="Exit with 1 if this relation is printed. May be repeated.")
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def duplicates(
    options: CommonOptions,
    as_pairs: bool,
    passages: bool,
    relations: tuple[str, ...],
    since: str | None,
    publisher: str | None,
    min_similarity: float,
    all_revisions: bool,
    fail_on: tuple[str, ...],
    output_format: str,
) -> None:
    """List clusters of articles that share text.

    A cluster is a representative (verified first, then earliest published, then earliest crawled) and the articles on other
    pages that match it. Prints, for each member, the relation, Jaccard similarity, coverage, and how much later it was
    published. Only the current revision of each page counts, unless --all-revisions is given.

    \b
    Relations:
      exact    the same letters and digits in the same order
      near     similarity at or above [duplicates] threshold
      copy     most of the shorter text occurs in the other
      excerpt  a long passage occurs in the other; only with --pairs
      quote    like excerpt, mostly inside quotation marks; only with --pairs

    \b
    Examples:
      dedup duplicates --relation copy
      dedup duplicates --pairs --relation excerpt --relation quote
      dedup duplicates --pairs --format csv > pairs.csv

    Exit codes: 1 if a --fail-on relation is printed.
    """
    from dedup import reports
    from dedup.store import open_database

    if relations and not as_pairs and not set(relations) & set(CLUSTER_RELATIONS):
        raise click.UsageError(f"{' and '.join(relations)} matches form no clusters; add --pairs to list them")
    if not as_pairs and (unlisted := [relation for relation in fail_on if relation not in CLUSTER_RELATIONS]):
        raise click.UsageError(f"{' and '.join(unlisted)} matches form no clusters; add --pairs to fail on them")
    if passages and not (as_pairs and output_format == "json"):
        raise click.UsageError("--passages requires --pairs --format json; 'dedup why' prints the passages of one pair")
    since_utc = parse_time("--since", since)
    settings = options.load().settings
    criteria = reports.DuplicateFilter(
        frozenset(relations), since_utc, publisher, min_similarity, all_revisions, settings.publishers.build_publishers()
    )
    seen_relations: set[str] = set()
    with open_database(settings.database.path) as database:
        rows = reports.list_pairs(database, criteria, passages=passages) if as_pairs else reports.list_clusters(database, criteria)
        _print(_collect_relations(rows, seen_relations), output_format, as_pairs=as_pairs)
    if seen_relations & set(fail_on):
        sys.exit(1)


def _collect_relations(rows: Iterable[dict[str, Any]], seen_relations: set[str]) -> Iterator[dict[str, Any]]:
    """Pass clusters or pairs on, and add their relations to `seen_relations`."""
    for row in rows:
        seen_relations.update(m["relation"] for m in row.get("members", [row]))
        yield row


def _print(rows: Iterable[dict[str, Any]], output_format: str, *, as_pairs: bool) -> None:
    from dedup import reports

    if output_format == "json":
        print_json_array(rows)
    elif output_format == "csv" and as_pairs:
        print_csv(reports.PAIR_COLUMNS, reports.flatten_pairs(rows))
    elif output_format == "csv":
        print_csv(reports.CLUSTER_COLUMNS, reports.flatten_clusters(rows))
    elif as_pairs:
        _print_pairs(rows)
    else:
        _print_clusters(rows)


def _print_clusters(clusters: Iterable[dict[str, Any]]) -> None:
    cluster_count = member_count = 0
    for cluster in clusters:
        cluster_count += 1
        member_count += len(cluster["members"])
        click.echo(click.style(_format_article(cluster["representative"]), bold=True))
        click.echo(f"    {to_printable(cluster['representative']['url'])}")
        for m in cluster["members"]:
            click.echo(f"  {m['relation']:<8}{_format_scores(m):<14} {_format_article(m)}{_lag_suffix(m['lag_seconds'])}")
            click.echo(f"    {to_printable(m['url'])}{_format_closest(m, cluster['representative']['revision'], m['revision'])}")
        click.echo()
    click.echo(
        f"{format_count(cluster_count, 'cluster')}, {format_count(member_count, 'copy', 'copies')}" if cluster_count else "No duplicates."
    )


def _print_pairs(pairs: Iterable[dict[str, Any]]) -> None:
    count = 0
    for count, pair in enumerate(pairs, 1):  # noqa: B007 - the last number is printed
        closest = _format_closest(pair, pair["a"]["revision"], pair["b"]["revision"])
        click.echo(
            f"{pair['relation']:<8}{_format_scores(pair):<14} {_format_article(pair['a'])}  |  {_format_article(pair['b'])}{closest}"
        )
    click.echo(format_count(count, "pair") if count else "No duplicates.")


def _format_scores(row: dict[str, Any]) -> str:
    return "" if row["relation"] == "exact" else f"{row['similarity']:.2f} {row['coverage']:>4.0%}"


def _format_closest(row: dict[str, Any], a: int | None, b: int | None) -> str:
    """Return a note naming the closest revisions of two pages, if they are not the two shown."""
    closest = row["closest_revisions"]
    if closest is None or (closest["a_revision"], closest["b_revision"]) == (a, b):
        return ""
    return f"  (closest: revision {closest['a_revision']} and {closest['b_revision']}, {closest['relation']} {closest['coverage']:.0%})"


def _format_article(article: dict[str, Any]) -> str:
    heading = f"{to_printable(article['publisher'] or 'no publisher')}: {to_printable(article['title'] or 'no title')}"
    marks = [
        m
        for m in (
            article["check_status"] if article["check_status"] == "mismatched" else "",
            "gone" if article["gone"] else "",
            "crowded" if article["crowded"] else "",
            "pruned" if article["pruned_at"] else "",
        )
        if m
    ]
    return heading + (f" [{', '.join(marks)}]" if marks else "")


def _lag_suffix(seconds: float | None) -> str:
    return "" if seconds is None else f"  {format_lag(seconds)}"


@click.command()
@click.argument("path", type=click.Path())
@click.option("--all-revisions", is_flag=True, help="Compare all revisions of a page, not only the current one.")
@click.option("--fail-on", multiple=True, type=_RELATION, help="Exit with 1 if this relation is found. May be repeated.")
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def similar(options: CommonOptions, path: str, all_revisions: bool, fail_on: tuple[str, ...], output_format: str) -> None:
    """Find recorded articles similar to a file.

    Reads the article file PATH without recording it, and prints the recorded articles that match it, the closest first, with
    relation, Jaccard similarity and coverage. Crawls of the file's own page are left out.

    \b
    Examples:
      dedup similar new-article.md
      dedup similar new-article.md --fail-on exact --fail-on near

    Exit codes: 1 if a --fail-on relation is found.
    """
    from dedup import reports
    from dedup.reports import similar as similarity_report
    from dedup.store import open_database

    settings = options.load().settings
    process.ignore_lease_breaks()
    with open_database(settings.database.path) as database:
        rows = similarity_report.find_similar(database, settings, os.fsencode(path), all_revisions=all_revisions)
    if output_format == "json":
        click.echo(format_json(rows, indent=2))
    elif output_format == "csv":
        print_csv(reports.SIMILAR_COLUMNS, map(reports.flatten_match, rows))
    else:
        for m in rows:
            click.echo(f"{m['relation']:<8}{_format_scores(m):<14} {_format_article(m)}")
            click.echo(f"    {to_printable(m['url'])}")
        if not rows:
            click.echo("No recorded article is similar.")
    if {m["relation"] for m in rows} & set(fail_on):
        sys.exit(1)
