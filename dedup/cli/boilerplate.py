"""`boilerplate`: what was learned of publishers, shown and corrected."""

from __future__ import annotations

from typing import Any

import click

from dedup.cli.common import Common, common, formats, plural, print_csv, print_json_array, remark
from dedup.text import printable

COLUMNS = ("name", "publisher", "status", "articles", "since", "characters", "text", "passage")


@click.group()
def boilerplate() -> None:
    """What publishers print under everything, learned as articles arrive: it counts for nothing when texts are compared.

    A passage that returns in `boilerplate_articles` articles of one publisher is `learned`. One that was learned wrongly is
    `allowed` by hand, one that was not learned is `masked` by hand. What is said holds for what arrives from then on;
    'dedup reindex' applies it to everything.
    """


@boilerplate.command("list")
@click.option("--publisher", metavar="NAME", help="Only this publisher's.")
@click.option("--status", type=click.Choice(["learned", "masked", "allowed"]), help="Only those.")
@formats("text", "json", "csv")
@common
@click.pass_obj
def list_(options: Common, publisher: str | None, status: str | None, form: str) -> None:
    """List the passages: by publisher, then by when they were learned."""
    from dedup import reports
    from dedup.store import open_reader

    with open_reader(options.load().settings.database.path) as store:
        found = [row for row in reports.boilerplate(store, publisher) if status in (None, row["status"])]
    if form == "json":
        print_json_array(found)
    elif form == "csv":
        print_csv(COLUMNS, found)
    else:
        _print(found)


def _print(found: list[dict[str, Any]]) -> None:
    for row in found:
        told = f"from {plural(row['articles'], 'article')}" if row["articles"] else "told by hand"
        head = f"{row['name']}  {row['status']:<8}{printable(row['publisher'])}, {told}, {row['since'][:10]}"
        click.echo(click.style(head, bold=True))
        click.echo(f"    {printable(row['text'])}")
    click.echo(plural(len(found), "passage") if found else "No boilerplate is known.")


@boilerplate.command("allow")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@common
@click.pass_obj
def allow(options: Common, names: tuple[str, ...]) -> None:
    """Let passages count again, by the names that 'dedup boilerplate list' shows (or their first characters)."""
    _decide(options, names, "allowed")


@boilerplate.command("mask")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--publisher", metavar="NAME", help="With --text: whose boilerplate it is.")
@click.option("--text", "passage", metavar="TEXT", help="A passage that was not learned, as it stands in an article.")
@common
@click.pass_obj
def mask(options: Common, names: tuple[str, ...], publisher: str | None, passage: str | None) -> None:
    """Let passages count for nothing: those with these names, or one that is told with --publisher and --text.

    \b
    dedup boilerplate mask 3f2a
    dedup boilerplate mask --publisher 한빛일보 --text "저작권자 (c) 한빛일보. 무단전재 및 재배포 금지"
    """
    if (passage is None) != (publisher is None) or (not names and passage is None):
        raise click.UsageError("name passages that are known, or tell a new one with both --publisher and --text")
    if names:
        _decide(options, names, "masked")
    if passage is not None and publisher is not None:
        _tell(options, publisher, passage)


def _decide(options: Common, names: tuple[str, ...], status: Any) -> None:
    from dedup.ingest import boilerplate as known

    with _writing(options) as store, store.transaction():
        for name in names:
            row = known.find(store, name)
            store.set_boilerplate(row.name, status)
            click.echo(f"{row.name}  {status}  {printable(row.publisher)}: {printable(row.shown)}")
    remark(options, "That holds for what arrives from now on; 'dedup reindex' applies it to everything.")


def _tell(options: Common, publisher: str, passage: str) -> None:
    from dedup.ingest import boilerplate as known

    with _writing(options) as store, store.transaction():
        row = known.tell(store, options.load().settings.publishers.publishers().house(publisher, "", ""), passage)
        click.echo(f"{row.name}  {row.status}  {printable(row.publisher)}: {printable(row.shown)}")
    remark(options, "That holds for what arrives from now on; 'dedup reindex' applies it to everything.")


def _writing(options: Common) -> Any:
    import os

    from dedup.errors import DatabaseMissingError
    from dedup.store import open_writer

    path = options.load().settings.database.path
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    return open_writer(path, "boilerplate")
