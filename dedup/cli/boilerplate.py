"""`boilerplate`: list and correct the learned boilerplate."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_csv, print_json_array, print_note
from dedup.cli.suggestions import CommandGroup, SuggestingChoice
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.model import Masking
    from dedup.store.rows import BoilerplateRow

COLUMNS = ("name", "publisher", "status", "article_count", "added_at", "characters", "example", "passage")


@click.group(cls=CommandGroup)
@common_options
def boilerplate() -> None:
    """List and correct publishers' boilerplate.

    Boilerplate is a passage that a publisher prints under its articles, such as a copyright line. It is ignored when texts are
    compared. A passage that occurs in boilerplate_articles articles of one publisher is learned as boilerplate. 'allow' makes
    a wrongly learned passage count again; 'mask' adds one that was not learned. A correction applies to new articles;
    'dedup reindex' applies it to recorded ones.

    \b
    Examples:
      dedup boilerplate list
      dedup boilerplate allow 3f2a
    """


@boilerplate.command("list")
@click.option("--publisher", metavar="NAME", help="Only passages of this publisher.")
@click.option("--status", type=SuggestingChoice(["learned", "masked", "allowed"]), help="Only passages with this status.")
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def list_(options: CommonOptions, publisher: str | None, status: str | None, output_format: str) -> None:
    """List the boilerplate passages.

    Ordered by publisher, then by time. Prints name, status, publisher and an example of each. The status is learned, masked
    (added by hand) or allowed (learned, but counted again).

    \b
    Examples:
      dedup boilerplate list --status learned
      dedup boilerplate list --publisher 한빛일보 --format csv
    """
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
    click.echo(format_count(len(rows), "passage") if rows else "No boilerplate is recorded.")


@boilerplate.command("allow")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@format_option("text", "json")
@common_options
@click.pass_obj
def allow(options: CommonOptions, names: tuple[str, ...], output_format: str) -> None:
    """Make passages count again.

    NAME is a name that 'dedup boilerplate list' prints, or its first characters. Prints the passages with their new status.

    \b
    Examples:
      dedup boilerplate allow 3f2a
      dedup boilerplate allow 3f2a 91bc && dedup reindex
    """
    _print_passages(options, _set_status(options, names, "allowed"), output_format)


@boilerplate.command("mask")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--publisher", metavar="NAME", help="With --text: the publisher that prints it.")
@click.option("--text", "passage", metavar="TEXT", help="A passage that was not learned, copied from an article.")
@format_option("text", "json")
@common_options
@click.pass_obj
def mask(options: CommonOptions, names: tuple[str, ...], publisher: str | None, passage: str | None, output_format: str) -> None:
    """Ignore passages when texts are compared.

    Masks the passages with these NAMEs, or the new passage that --publisher and --text give. Prints the passages with their
    new status.

    \b
    Examples:
      dedup boilerplate mask 3f2a
      dedup boilerplate mask --publisher 한빛일보 --text "저작권자 (c) 한빛일보. 무단전재, 재배포 및 AI 학습 이용 금지"
    """
    if (passage is None) != (publisher is None) or (not names and passage is None):
        raise click.UsageError("give the names of recorded passages, or a new passage with both --publisher and --text")
    new_passage = (publisher, passage) if publisher is not None and passage is not None else None
    _print_passages(options, _set_status(options, names, "masked", new_passage), output_format)


def _set_status(
    options: CommonOptions, names: tuple[str, ...], status: Masking, new_passage: tuple[str, str] | None = None
) -> list[BoilerplateRow]:
    """Set the status of passages and add `new_passage` (publisher, text), in one transaction. Returns the passages."""
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
    print_note(options, "This applies to new articles; 'dedup reindex' applies it to recorded ones.")
