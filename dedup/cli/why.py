"""`why`: explain why two articles match or do not."""

from __future__ import annotations

from typing import Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_json
from dedup.runtime import process
from dedup.text.sanitise import to_printable, to_printable_block


@click.command()
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@format_option("text", "json")
@common_options
@click.pass_obj
def why(options: CommonOptions, a: str, b: str, output_format: str) -> None:
    """Explain why two articles match or do not.

    Prints the relation with its reason, the measurements behind it, the shared passages, and the boilerplate that was ignored.
    A and B are each a URL in any spelling, an article's id ({oid}_{aid}) or the path of a file, which need not be recorded. A
    URL or id means the page's current revision; append #N for revision N.

    \b
    Examples:
      dedup why crawl/a.md crawl/b.md
      dedup why 901_0000100001 https://www.example.com/story#1
    """
    from dedup.reports import explain
    from dedup.store import open_database

    settings = options.load().settings
    process.ignore_lease_breaks()
    with open_database(settings.database.path) as database:
        explanation = explain.explain_pair(
            database, settings, explain.resolve_article(database, settings, a), explain.resolve_article(database, settings, b)
        )
    if output_format == "json":
        print_json(explanation)
    else:
        _print(explanation)


def _print(explanation: dict[str, Any]) -> None:
    for name in "ab":
        article = explanation[name]
        revision = f", revision {article['revision']}" if article["revision"] else ""
        click.echo(
            click.style(
                f"{name}: {to_printable(article['publisher_printed'] or 'no publisher')}: {to_printable(article['title'])}", bold=True
            )
        )
        click.echo(f"   {to_printable(article['url'])}{revision}, {article['characters']:,} letters and digits")
        if article["publisher"] != article["publisher_printed"]:
            click.echo(f"   counted as {to_printable(article['publisher'])}")
    click.echo(f"\n{to_printable(explanation['reason'])}\n")
    shingles, bands, fingerprints = explanation["shingles"], explanation["bands"], explanation["fingerprints"]
    click.echo(
        f"shingles    {shingles['a']:,} and {shingles['b']:,}, {shingles['shared']:,} shared:"
        f" Jaccard {explanation['similarity']:.2f}, containment {explanation['containment']:.2f}"
    )
    click.echo(f"bands       {bands['shared']} of {bands['total']} shared")
    click.echo(f"fingerprints {fingerprints['a']} and {fingerprints['b']}, {fingerprints['shared']} shared")
    click.echo(
        f"passages    {explanation['shared_characters']:,} letters and digits, coverage {explanation['coverage']:.2f},"
        f" {explanation['quoted_share']:.0%} of it quoted"
    )
    if explanation["closest_revisions"]:
        closest = explanation["closest_revisions"]
        click.echo(
            f"closest     revision {closest['a_revision']} of a and revision {closest['b_revision']} of b:"
            f" {closest['relation']}, coverage {closest['coverage']:.2f}"
        )
    for p in explanation["passages"]:
        text = to_printable_block(p["text"]).replace("\n", " ")
        click.echo(f"\n  {p['characters']:,} at {p['a'][0]:,} of a and {p['b'][0]:,} of b\n    {text}")
    for name in "ab":
        for passage in explanation["masked_boilerplate"][name]["passages"]:
            click.echo(f"\n  boilerplate of {name}, ignored: {passage['name']}\n    {to_printable(passage['text'])}")
