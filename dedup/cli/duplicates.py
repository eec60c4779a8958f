"""`duplicates` and `similar`: who ran the same text."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from dedup.cli.common import Common, common, formats, moment, plural, print_csv, print_json_array
from dedup.model import CLUSTERED, RELATIONS
from dedup.text.normalise import printable
from dedup.text.sanitise import dumps

_RELATION = click.Choice(RELATIONS)


@click.command()
@click.option("--pairs", "as_pairs", is_flag=True, help="Every matching pair, in place of clusters.")
@click.option("--passages", is_flag=True, help="With --pairs as JSON: where in the two bodies the shared passages stand.")
@click.option("--relation", "--kind", "kind", multiple=True, type=_RELATION, help="Only this relation. May be repeated.")
@click.option("--since", metavar="TIME", help="Only where an article was crawled at or after TIME (ISO 8601; UTC if it has no offset).")
@click.option("--publisher", metavar="NAME", help="Only where an article is by this publisher, under any name of its house.")
@click.option("--min-similarity", type=click.FloatRange(0, 1), default=0.0, help="Only matches at least so similar (Jaccard, 0 to 1).")
@click.option("--all", "every", is_flag=True, help="Every revision of a page, not only the one it shows now.")
@click.option("--fail-on", multiple=True, type=_RELATION, help="Exit with 1 if any is shown.")
@formats("text", "json", "csv")
@common
@click.pass_obj
def duplicates(
    options: Common,
    as_pairs: bool,
    passages: bool,
    kind: tuple[str, ...],
    since: str | None,
    publisher: str | None,
    min_similarity: float,
    every: bool,
    fail_on: tuple[str, ...],
    form: str,
) -> None:
    """Clusters of articles on different pages that share their text.

    A cluster is a representative (verified first, then earliest published, then earliest crawled) and the articles that are
    exact, near or other copies of it. Excerpts and quotes make no clusters; --pairs lists them too. What counts is each page
    as it stands now, by its latest crawl, or with --all every text it ever showed.

    \b
    dedup duplicates --relation copy
    dedup duplicates --pairs --relation excerpt --relation quote
    dedup duplicates --pairs --format csv > pairs.csv
    """
    from dedup import reports
    from dedup.store import open_database

    if kind and not as_pairs and not set(kind) & set(CLUSTERED):
        raise click.UsageError(f"there are no clusters of {' and '.join(kind)}; add --pairs to list such matches")
    if passages and not (as_pairs and form == "json"):
        raise click.UsageError("--passages goes with --pairs --format json; 'dedup why' shows those of one pair")
    from_ = moment("--since", since)
    settings = options.load().settings
    wanted = reports.Filter(frozenset(kind), from_, publisher, min_similarity, every, settings.publishers.publishers())
    met: set[str] = set()

    def noted(rows: Any) -> Any:
        for row in rows:
            met.update(m["relation"] for m in row.get("members", [row]))
            yield row

    with open_database(settings.database.path) as database:
        found = noted(reports.pairs(database, wanted, passages=passages) if as_pairs else reports.clusters(database, wanted))
        if form == "json":
            print_json_array(found)
        elif form == "csv" and as_pairs:
            print_csv(reports.PAIR_COLUMNS, reports.flat_pairs(found))
        elif form == "csv":
            print_csv(reports.CLUSTER_COLUMNS, reports.flat_clusters(found))
        elif as_pairs:
            _print_pairs(found)
        else:
            _print_clusters(found)
    if met & set(fail_on):
        sys.exit(1)


def _print_clusters(found: Any) -> None:
    number = members = 0
    for cluster in found:
        number += 1
        members += len(cluster["members"])
        click.echo(click.style(_line(cluster["representative"]), bold=True))
        click.echo(f"    {printable(cluster['representative']['url'])}")
        for m in cluster["members"]:
            click.echo(f"  {m['relation']:<8}{_numbers(m):<14} {_line(m)}{_lag(m['lag_seconds'])}")
            click.echo(f"    {printable(m['url'])}{_closest(m, cluster['representative']['revision'], m['revision'])}")
        click.echo()
    click.echo(f"{plural(number, 'cluster')}, {plural(members, 'copy', 'copies')}" if number else "No duplicates.")


def _print_pairs(found: Any) -> None:
    number = 0
    for number, pair in enumerate(found, 1):  # noqa: B007 - the last number is printed
        best = _closest(pair, pair["a"]["revision"], pair["b"]["revision"])
        click.echo(f"{pair['relation']:<8}{_numbers(pair):<14} {_line(pair['a'])}  |  {_line(pair['b'])}{best}")
    click.echo(plural(number, "pair") if number else "No duplicates.")


def _numbers(row: dict[str, Any]) -> str:
    return "" if row["relation"] == "exact" else f"{row['similarity']:.2f} {row['coverage']:>4.0%}"


def _closest(row: dict[str, Any], a: int | None, b: int | None) -> str:
    """Other revisions than the two shown that are closer to each other."""
    best = row["closest"]
    if best is None or (best["a"], best["b"]) == (a, b):
        return ""
    return f"  (closest: revision {best['a']} and {best['b']}, {best['relation']} {best['coverage']:.0%})"


def _line(article: dict[str, Any]) -> str:
    shown = f"{printable(article['publisher'] or 'no publisher')}: {printable(article['title'] or 'no title')}"
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
    return shown + (f" [{', '.join(marks)}]" if marks else "")


def _lag(seconds: float | None) -> str:
    if seconds is None:
        return ""
    sign, minutes = ("-" if seconds < 0 else "+"), int(abs(seconds) // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"  {sign}" + (f"{days} d " if days else "") + f"{hours}:{minutes:02}"


@click.command()
@click.argument("path", type=click.Path())
@click.option("--all", "every", is_flag=True, help="Every revision of a page, not only the one it shows now.")
@click.option("--fail-on", multiple=True, type=_RELATION, help="Exit with 1 if any is found.")
@formats("text", "json", "csv")
@common
@click.pass_obj
def similar(options: Common, path: str, every: bool, fail_on: tuple[str, ...], form: str) -> None:
    """What a file resembles among the articles of the database, without recording it.

    Other crawls of the file's own page are left out.
    """
    from dedup import reports
    from dedup.reports import similar as similarity_report
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        found = similarity_report.resemble(database, settings, os.fsencode(path), every=every)
    if form == "json":
        click.echo(dumps(found, indent=2))
    elif form == "csv":
        print_csv(reports.RESEMBLANCE_COLUMNS, map(reports.flat, found))
    else:
        for m in found:
            click.echo(f"{m['relation']:<8}{_numbers(m):<14} {_line(m)}")
            click.echo(f"    {printable(m['url'])}")
        if not found:
            click.echo("It resembles nothing in the database.")
    if {m["relation"] for m in found} & set(fail_on):
        sys.exit(1)
