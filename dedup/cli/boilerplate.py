"""`boilerplate`: what was learned of publishers, shown and corrected."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, plural, print_csv, print_json_array, remark
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from dedup.model import Masking
    from dedup.store.rows import BoilerplateRow

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
    from dedup.store import open_database

    with open_database(options.load().settings.database.path) as database:
        found = [row for row in reports.boilerplate(database, publisher) if status in (None, row["status"])]
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
@formats("text", "json")
@common
@click.pass_obj
def allow(options: Common, names: tuple[str, ...], form: str) -> None:
    """Let passages count again, by the names that 'dedup boilerplate list' shows (or their first characters)."""
    _tell(options, _decide(options, names, "allowed"), form)


@boilerplate.command("mask")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--publisher", metavar="NAME", help="With --text: whose boilerplate it is.")
@click.option("--text", "passage", metavar="TEXT", help="A passage that was not learned, as it stands in an article.")
@formats("text", "json")
@common
@click.pass_obj
def mask(options: Common, names: tuple[str, ...], publisher: str | None, passage: str | None, form: str) -> None:
    """Let passages count for nothing: those with these names, or one that is told with --publisher and --text.

    \b
    dedup boilerplate mask 3f2a
    dedup boilerplate mask --publisher 한빛일보 --text "저작권자 (c) 한빛일보. 무단전재 및 재배포 금지"
    """
    if (passage is None) != (publisher is None) or (not names and passage is None):
        raise click.UsageError("name passages that are known, or tell a new one with both --publisher and --text")
    told = (publisher, passage) if publisher is not None and passage is not None else None
    _tell(options, _decide(options, names, "masked", told), form)


def _decide(options: Common, names: tuple[str, ...], status: Masking, told: tuple[str, str] | None = None) -> list[BoilerplateRow]:
    """Give passages a status, all or none of them, and write down one that is `told` as (publisher, text)."""
    from dedup import store
    from dedup.errors import DatabaseMissingError
    from dedup.matching import boilerplate as known
    from dedup.store import open_writable

    settings = options.load().settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    with open_writable(settings.database.path, "boilerplate") as database, database.transaction() as transaction:
        rows = [replace(known.find(transaction, name), status=status) for name in names]
        for row in rows:
            store.boilerplate.set_status(transaction, row.name, status)
        if told is not None:
            rows.append(known.tell(transaction, settings.publishers.publishers().house(told[0], "", ""), told[1]))
    return rows


def _tell(options: Common, rows: list[BoilerplateRow], form: str) -> None:
    from dedup import reports

    if form == "json":
        print_json_array(map(reports.passage, rows))
        return
    for row in rows:
        click.echo(f"{row.name}  {row.status}  {printable(row.publisher)}: {printable(row.shown)}")
    remark(options, "That holds for what arrives from now on; 'dedup reindex' applies it to everything.")
