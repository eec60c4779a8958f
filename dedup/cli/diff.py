"""`diff`: what changed between two revisions of a page, or between two files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, print_json
from dedup.cli.history import page_of
from dedup.text.normalise import printable, printable_block

if TYPE_CHECKING:
    from dedup.changes.diff import Operation
    from dedup.config import Settings
    from dedup.model import Article
    from dedup.scan.extract import Examined


@click.command()
@click.argument("page", metavar="URL|ID|PATH", type=click.Path())
@click.argument("other", metavar="[PATH]", required=False, type=click.Path())
@click.option("--from", "from_", type=int, metavar="N", help="Revision to compare from (default: the one before the last change).")
@click.option("--to", type=int, metavar="M", help="Revision to compare to (default: the one after the last change).")
@click.option("--full", is_flag=True, help="Unchanged stretches too, as a whole.")
@formats("text", "unified", "side", "html", "json")
@common
@click.pass_obj
def diff(options: Common, page: str, other: str | None, from_: int | None, to: int | None, full: bool, form: str) -> None:
    """What changed between two revisions of a page, or between two files: sentences, and the words and numbers in them.

    As text removed words stand in [-brackets-], added ones in {+braces+}, sentences that moved in <-1 …-> where they were and in
    <+1 …+> where they are; on a terminal they are coloured too. `unified` has a line for each sentence, `side` both sides beside
    each other, `html` is a fragment for a page of yours (all text escaped), `json` every operation. Blanks, line ends and Unicode
    forms are no difference.

    \b
    dedup diff 903_0000100015 --from 1 --to 2
    dedup diff before.md after.md --format side
    """
    settings = options.load().settings
    if other is not None:
        if from_ is not None or to is not None:
            raise click.UsageError("--from and --to name revisions of one page; of two files there is one each")
        found = _of_files(settings, page, other)
    else:
        found = _of_revisions(settings, page, from_, to)
    if form == "json":
        print_json(found)
    elif form == "html":
        _print_html(found)
    else:
        _print(found, form, full=full)


def _of_revisions(settings: Settings, page: str, from_: int | None, to: int | None) -> dict[str, Any]:
    from dedup import reports
    from dedup.store import open_database

    with open_database(settings.database.path) as database:
        return reports.compare_revisions(database, page_of(database, settings, page), from_, to)


def _of_files(settings: Settings, one: str, other: str) -> dict[str, Any]:
    """The same of two article files, without a database."""
    from dedup import reports
    from dedup.changes.diff import render
    from dedup.reports.similar import examined

    before, after = (article_of(examined(settings, os.fsencode(path))) for path in (one, other))
    return {
        "from": one,
        "to": other,
        "title": render.as_json(reports.difference(before.title, after.title)),
        "body": render.as_json(reports.difference(before.body, after.body)),
    }


def article_of(e: Examined) -> Article:
    """What a file holds that was examined as an article."""
    assert e.article is not None
    return e.article


def _operations(told: list[dict[str, Any]]) -> list[Operation]:
    from dedup.changes.diff import Operation

    return [Operation(o["kind"], o["text"], o["move"] - 1 if "move" in o else None) for o in told]


def _print(found: dict[str, Any], form: str, *, full: bool) -> None:
    if "url" in found:
        click.echo(click.style(f"{printable(found['url'])}  revision {found['from']} → {found['to']}", bold=True))
        if found["from"] == found["to"]:
            click.echo("There is one revision only.")
            return
    else:
        click.echo(click.style(f"{printable(found['from'])} → {printable(found['to'])}", bold=True))
    for part in ("title", "body"):
        click.echo(f"\n{part}")
        if found[part] is None:
            for side, at in found["pruned_at"].items():
                if at is not None:
                    click.echo(f"The text of revision {found[side]} was pruned on {at[:10]} by the rule of [history].")
            continue
        _PRINTED[form](_operations(found[part]), full=full)


def _text(operations: list[Operation], *, full: bool) -> None:
    from dedup.changes.diff import render

    click.echo("".join(_marked(o) for o in (operations if full else render.folded(operations))))


def _marked(o: Operation) -> str:
    shown = printable_block(o.text)
    move = "" if o.move is None else f"{o.move + 1} "
    if o.kind in ("removed", "moved_from"):
        return click.style(f"{'[' if not move else '<'}-{move}{shown}-{']' if not move else '>'}", fg="red", strikethrough=True)
    if o.kind in ("added", "moved_to"):
        return click.style(f"{'{' if not move else '<'}+{move}{shown}+{'}' if not move else '>'}", fg="green")
    return shown


def _unified(operations: list[Operation], *, full: bool) -> None:
    from dedup.changes.diff import render

    colours = {"-": "red", "<": "red", "+": "green", ">": "green", "@": "cyan"}
    for line in render.unified(operations, 1_000_000 if full else 1):
        click.echo(click.style(printable(line), fg=colours.get(line[:1])))


def _side(operations: list[Operation], *, full: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from dedup.changes.diff import render

    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    skipped = False
    for row in render.rows(operations):
        if not full and not row.differs:
            skipped = True
            continue
        if skipped:
            table.add_row("…", "…", style="dim")
            skipped = False
        table.add_row(_cell(row.left), _cell(row.right))
    if skipped:
        table.add_row("…", "…", style="dim")
    Console(highlight=False, markup=False, soft_wrap=False).print(table)


def _cell(side: Iterable[Operation]) -> Any:
    from rich.text import Text

    cell = Text()
    for o in side:
        style = {"same": "", "removed": "red strike", "added": "green", "moved_from": "red", "moved_to": "green"}[o.kind]
        mark = {"removed": ("[-", "-]"), "added": ("{+", "+}"), "moved_from": ("<-", "->"), "moved_to": ("<+", "+>")}.get(o.kind, ("", ""))
        cell.append(mark[0] + printable(o.text.rstrip("\n").replace("\n", " ")) + mark[1], style)
    return cell


_PRINTED = {"text": _text, "unified": _unified, "side": _side}


def _print_html(found: dict[str, Any]) -> None:
    from dedup.changes.diff import render

    for part, tag in (("title", "h1"), ("body", "div")):
        if found[part] is not None:
            click.echo(f"<{tag}>{printable_block(render.html(_operations(found[part])))}</{tag}>")
