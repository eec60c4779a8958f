"""`diff`: show what changed between two revisions of a page, or between two files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_json
from dedup.runtime import process
from dedup.text.sanitise import to_printable, to_printable_block

if TYPE_CHECKING:
    from dedup.changes.diff import Operation
    from dedup.config import Settings
    from dedup.model import Article
    from dedup.pipeline.extract import Extraction


@click.command()
@click.argument("page", metavar="URL|ID|PATH", type=click.Path())
@click.argument("other", metavar="[PATH]", required=False, type=click.Path())
@click.option("--from", "from_", type=int, metavar="N", help="Revision to compare from (default: the one before the last change).")
@click.option("--to", type=int, metavar="M", help="Revision to compare to (default: the one after the last change).")
@click.option("--full", is_flag=True, help="Print unchanged passages in full.")
@format_option("text", "unified", "side-by-side", "html", "json")
@common_options
@click.pass_obj
def diff(options: CommonOptions, page: str, other: str | None, from_: int | None, to: int | None, full: bool, output_format: str) -> None:
    """Show what changed between two revisions.

    Compares two revisions of a page, by default those of its last change, or two article files. Texts are compared by
    sentence, then by word and number. White space and Unicode form are ignored.

    The page is named by its URL in any spelling, by an article's id ({oid}_{aid}), or by the path of one of its files.

    \b
    Formats:
      text          [-removed-] and {+added+} words; a moved sentence is <-1 …->
                    at its old place and <+1 …+> at its new one
      unified       one line per sentence
      side-by-side  both texts in two columns
      html          an HTML fragment with all text escaped
      json          every operation

    \b
    Examples:
      dedup diff 903_0000100015 --from 1 --to 2
      dedup diff before.md after.md --format side-by-side
    """
    settings = options.load().settings
    if other is not None:
        if from_ is not None or to is not None:
            raise click.UsageError("--from and --to select revisions of a page; they cannot be used with two files")
        result = _diff_files(settings, page, other)
    else:
        result = _diff_revisions(settings, page, from_, to)
    if output_format == "json":
        print_json(result)
    elif output_format == "html":
        _print_html(result)
    else:
        _print(result, output_format, full=full)


def _diff_revisions(settings: Settings, page: str, from_: int | None, to: int | None) -> dict[str, Any]:
    from dedup import reports
    from dedup.store import open_database

    with open_database(settings.database.path) as database:
        return reports.compare_revisions(database, reports.resolve_page(database, settings, page), from_, to)


def _diff_files(settings: Settings, path_a: str, path_b: str) -> dict[str, Any]:
    """Compare two article files. Needs no database."""
    from dedup import reports
    from dedup.changes.diff import render
    from dedup.reports.similar import extract_article

    process.ignore_lease_breaks()
    before, after = (require_article(extract_article(settings, os.fsencode(path))) for path in (path_a, path_b))
    return {
        "from_path": path_a,
        "to_path": path_b,
        "title": render.as_json(reports.diff_texts(before.title, after.title)),
        "body": render.as_json(reports.diff_texts(before.body, after.body)),
    }


def require_article(extraction: Extraction) -> Article:
    """Return the article of an extraction that has one."""
    assert extraction.article is not None
    return extraction.article


def _parse_operations(rows: list[dict[str, Any]]) -> list[Operation]:
    from dedup.changes.diff import Operation

    return [Operation(o["kind"], o["text"], o["move"] - 1 if "move" in o else None) for o in rows]


def _print(result: dict[str, Any], output_format: str, *, full: bool) -> None:
    if "url" in result:
        click.echo(click.style(f"{to_printable(result['url'])}  revision {result['from_revision']} → {result['to_revision']}", bold=True))
        if result["from_revision"] == result["to_revision"]:
            click.echo("There is nothing to compare: both sides are the same revision.")
            return
    else:
        click.echo(click.style(f"{to_printable(result['from_path'])} → {to_printable(result['to_path'])}", bold=True))
    for part in ("title", "body"):
        click.echo(f"\n{part}")
        if result[part] is None:
            for side, at in result["pruned_at"].items():
                if at is not None:
                    click.echo(f"The text of revision {result[f'{side}_revision']} was pruned on {at[:10]} by the rule of [history].")
            continue
        _PRINTERS[output_format](_parse_operations(result[part]), full=full)


def _print_text(operations: list[Operation], *, full: bool) -> None:
    from dedup.changes.diff import render

    click.echo("".join(_format_operation(o) for o in (operations if full else render.fold_unchanged(operations))))


def _format_operation(operation: Operation) -> str:
    text = to_printable_block(operation.text)
    move = "" if operation.move is None else f"{operation.move + 1} "
    if operation.kind in ("removed", "moved_from"):
        return click.style(f"{'[' if not move else '<'}-{move}{text}-{']' if not move else '>'}", fg="red", strikethrough=True)
    if operation.kind in ("added", "moved_to"):
        return click.style(f"{'{' if not move else '<'}+{move}{text}+{'}' if not move else '>'}", fg="green")
    return text


def _print_unified(operations: list[Operation], *, full: bool) -> None:
    from dedup.changes.diff import render

    colours = {"-": "red", "<": "red", "+": "green", ">": "green", "@": "cyan"}
    for line in render.to_unified(operations, 1_000_000 if full else 1):
        click.echo(click.style(to_printable(line), fg=colours.get(line[:1])))


def _print_side_by_side(operations: list[Operation], *, full: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from dedup.changes.diff import render

    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    skipped = False
    for row in render.to_rows(operations):
        if not full and not row.differs:
            skipped = True
            continue
        if skipped:
            table.add_row("…", "…", style="dim")
            skipped = False
        table.add_row(_format_side(row.left), _format_side(row.right))
    if skipped:
        table.add_row("…", "…", style="dim")
    Console(highlight=False, markup=False, soft_wrap=False).print(table)


def _format_side(side: Iterable[Operation]) -> Any:
    from rich.text import Text

    cell = Text()
    for operation in side:
        style = {"same": "", "removed": "red strike", "added": "green", "moved_from": "red", "moved_to": "green"}[operation.kind]
        mark = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "moved_from": ("<-", "->"), "moved_to": ("<+", "+>")}.get(
            operation.kind, ("", "")
        )
        cell.append(mark[0] + to_printable(operation.text.rstrip("\n").replace("\n", " ")) + mark[1], style)
    return cell


_PRINTERS = {"text": _print_text, "unified": _print_unified, "side-by-side": _print_side_by_side}


def _print_html(result: dict[str, Any]) -> None:
    from dedup.changes.diff import render

    for part, tag in (("title", "h1"), ("body", "div")):
        if result[part] is not None:
            click.echo(f"<{tag}>{to_printable_block(render.to_html(_parse_operations(result[part])))}</{tag}>")
