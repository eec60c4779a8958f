"""`duplicates` and `similar`: who ran the same text."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from dedup import process
from dedup.cli.common import CommonOptions, common_options, format_count, format_option, parse_time, print_csv, print_json_array
from dedup.model import CLUSTER_RELATIONS, RELATIONS
from dedup.text.normalise import to_printable
from dedup.text.sanitise import format_json

_RELATION = click.Choice(RELATIONS)


@click.command()
@click.option("--pairs", "as_pairs", is_flag=True, help="Every matching pair, in place of clusters.")
@click.option("--passages", is_flag=True, help="With --pairs as JSON: where in the two bodies the shared passages stand.")
@click.option("--relation", "relations", multiple=True, type=_RELATION, help="Only this relation. May be repeated.")
@click.option("--since", metavar="TIME", help="Only where an article was crawled at or after TIME (ISO 8601; UTC if it has no offset).")
@click.option("--publisher", metavar="NAME", help="Only where an article is by this publisher, under any of its names.")
@click.option("--min-similarity", type=click.FloatRange(0, 1), default=0.0, help="Only matches at least so similar (Jaccard, 0 to 1).")
@click.option("--all-revisions", is_flag=True, help="Every revision of a page, not only the current one.")
@click.option("--fail-on", multiple=True, type=_RELATION, help="Exit with 1 if any is shown.")
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
    """Clusters of articles on different pages that share their text.

    A cluster is a representative (verified first, then earliest published, then earliest crawled) and the articles that are
    exact, near or other copies of it. Excerpts and quotes make no clusters; --pairs lists them too. What counts is each page
    as it stands now, by its latest crawl, or with --all-revisions every text it ever showed.

    \b
    dedup duplicates --relation copy
    dedup duplicates --pairs --relation excerpt --relation quote
    dedup duplicates --pairs --format csv > pairs.csv
    """
    from dedup import reports
    from dedup.store import open_database

    if relations and not as_pairs and not set(relations) & set(CLUSTER_RELATIONS):
        raise click.UsageError(f"there are no clusters of {' and '.join(relations)}; add --pairs to list such matches")
    if passages and not (as_pairs and output_format == "json"):
        raise click.UsageError("--passages goes with --pairs --format json; 'dedup why' shows those of one pair")
    since_utc = parse_time("--since", since)
    settings = options.load().settings
    criteria = reports.DuplicateFilter(
        frozenset(relations), since_utc, publisher, min_similarity, all_revisions, settings.publishers.build_publishers()
    )
    seen_relations: set[str] = set()

    def collect_relations(rows: Any) -> Any:
        for row in rows:
            seen_relations.update(m["relation"] for m in row.get("members", [row]))
            yield row

    with open_database(settings.database.path) as database:
        rows = collect_relations(
            reports.list_pairs(database, criteria, passages=passages) if as_pairs else reports.list_clusters(database, criteria)
        )
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
    if seen_relations & set(fail_on):
        sys.exit(1)


def _print_clusters(clusters: Any) -> None:
    cluster_count = member_count = 0
    for cluster in clusters:
        cluster_count += 1
        member_count += len(cluster["members"])
        click.echo(click.style(_format_article(cluster["representative"]), bold=True))
        click.echo(f"    {to_printable(cluster['representative']['url'])}")
        for m in cluster["members"]:
            click.echo(f"  {m['relation']:<8}{_format_scores(m):<14} {_format_article(m)}{_format_lag(m['lag_seconds'])}")
            click.echo(f"    {to_printable(m['url'])}{_format_closest(m, cluster['representative']['revision'], m['revision'])}")
        click.echo()
    click.echo(
        f"{format_count(cluster_count, 'cluster')}, {format_count(member_count, 'copy', 'copies')}" if cluster_count else "No duplicates."
    )


def _print_pairs(pairs: Any) -> None:
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
    """Other revisions than the two shown that are closer to each other."""
    closest = row["closest_revisions"]
    if closest is None or (closest["a_revision"], closest["b_revision"]) == (a, b):
        return ""
    return f"  (closest: revision {closest['a_revision']} and {closest['b_revision']}, {closest['relation']} {closest['coverage']:.0%})"


def _format_article(article: dict[str, Any]) -> str:
    heading = f"{to_printable(article['publisher'] or 'no publisher')}: {to_printable(article['title'] or 'no title')}"
    marks = [
        m
        for m in (
            article["check"] if article["check"] == "mismatched" else "",
            "gone" if article["gone"] else "",
            "crowded" if article["crowded"] else "",
            "pruned" if article["pruned_at"] else "",
        )
        if m
    ]
    return heading + (f" [{', '.join(marks)}]" if marks else "")


def _format_lag(seconds: float | None) -> str:
    if seconds is None:
        return ""
    sign, minutes = ("-" if seconds < 0 else "+"), int(abs(seconds) // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"  {sign}" + (f"{days} d " if days else "") + f"{hours}:{minutes:02}"


@click.command()
@click.argument("path", type=click.Path())
@click.option("--all-revisions", is_flag=True, help="Every revision of a page, not only the current one.")
@click.option("--fail-on", multiple=True, type=_RELATION, help="Exit with 1 if any is found.")
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def similar(options: CommonOptions, path: str, all_revisions: bool, fail_on: tuple[str, ...], output_format: str) -> None:
    """What a file resembles among the articles of the database, without recording it.

    Other crawls of the file's own page are left out.
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
            click.echo("It resembles nothing in the database.")
    if {m["relation"] for m in rows} & set(fail_on):
        sys.exit(1)
