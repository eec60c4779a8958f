"""`boilerplate`: what was learned of publishers, shown and corrected."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_csv, print_json_array, print_note
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.model import Masking
    from dedup.store.rows import BoilerplateRow

COLUMNS = ("name", "publisher", "status", "article_count", "added_at", "characters", "example", "passage")


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
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def list_(options: CommonOptions, publisher: str | None, status: str | None, output_format: str) -> None:
    """List the passages: by publisher, then by when they were learned."""
    from dedup import reports
    from dedup.store import open_database

    with open_database(options.load().settings.database.path) as database:
        rows = [row for row in reports.list_boilerplate(database, publisher) if status in (None, row["status"])]
    if output_format == "json":
        print_json_array(rows)
    elif output_format == "csv":
        print_csv(COLUMNS, rows)
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        origin = f"from {format_count(row['article_count'], 'article')}" if row["article_count"] else "added by hand"
        head = f"{row['name']}  {row['status']:<8}{to_printable(row['publisher'])}, {origin}, {row['added_at'][:10]}"
        click.echo(click.style(head, bold=True))
        click.echo(f"    {to_printable(row['example'])}")
    click.echo(format_count(len(rows), "passage") if rows else "No boilerplate is known.")


@boilerplate.command("allow")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@format_option("text", "json")
@common_options
@click.pass_obj
def allow(options: CommonOptions, names: tuple[str, ...], output_format: str) -> None:
    """Let passages count again, by the names that 'dedup boilerplate list' shows (or their first characters)."""
    _print_passages(options, _set_status(options, names, "allowed"), output_format)


@boilerplate.command("mask")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--publisher", metavar="NAME", help="With --text: whose boilerplate it is.")
@click.option("--text", "passage", metavar="TEXT", help="A passage that was not learned, as it stands in an article.")
@format_option("text", "json")
@common_options
@click.pass_obj
def mask(options: CommonOptions, names: tuple[str, ...], publisher: str | None, passage: str | None, output_format: str) -> None:
    """Let passages count for nothing: those with these names, or one that --publisher and --text give.

    \b
    dedup boilerplate mask 3f2a
    dedup boilerplate mask --publisher 한빛일보 --text "저작권자 (c) 한빛일보. 무단전재 및 재배포 금지"
    """
    if (passage is None) != (publisher is None) or (not names and passage is None):
        raise click.UsageError("name passages that are known, or give a new one with both --publisher and --text")
    new_passage = (publisher, passage) if publisher is not None and passage is not None else None
    _print_passages(options, _set_status(options, names, "masked", new_passage), output_format)


def _set_status(
    options: CommonOptions, names: tuple[str, ...], status: Masking, new_passage: tuple[str, str] | None = None
) -> list[BoilerplateRow]:
    """Give passages a status, all or none of them, and add `new_passage`, a (publisher, text)."""
    from dedup import store
    from dedup.errors import DatabaseMissingError
    from dedup.matching import boilerplate as matching_boilerplate
    from dedup.store import open_writable

    settings = options.load().settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    with open_writable(settings.database.path, "boilerplate") as database, database.transaction() as transaction:
        rows = [replace(matching_boilerplate.find_passage(transaction, name), status=status) for name in names]
        for row in rows:
            store.boilerplate.set_status(transaction, row.name, status)
        if new_passage is not None:
            rows.append(
                matching_boilerplate.mask_passage(
                    transaction, settings.publishers.build_publishers().canonical_name(new_passage[0], "", ""), new_passage[1]
                )
            )
    return rows


def _print_passages(options: CommonOptions, rows: list[BoilerplateRow], output_format: str) -> None:
    from dedup import reports

    if output_format == "json":
        print_json_array(map(reports.boilerplate_as_json, rows))
        return
    for row in rows:
        click.echo(f"{row.name}  {row.status}  {to_printable(row.publisher)}: {to_printable(row.example)}")
    print_note(options, "That holds for what arrives from now on; 'dedup reindex' applies it to everything.")
