"""`why`: what two articles have in common, and why they are told as copies or are not."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, print_json
from dedup.cli.history import page_of
from dedup.text.normalise import printable, printable_block

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.reports.explain import Side
    from dedup.store import Database


@click.command()
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@formats("text", "json")
@common
@click.pass_obj
def why(options: Common, a: str, b: str, form: str) -> None:
    """Why two articles are told as copies of each other, or are not.

    Each is named by the path of a file, an article's id or a URL in any spelling; a URL or id with #N at its end (#1) stands
    for revision N of the page, else for the page as it stands now. A file need not be in the database.

    \b
    dedup why crawl/a.md crawl/b.md
    dedup why 901_0000100001 https://www.example.com/story#1
    """
    from dedup.reports import explain as module
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        found = module.explain(database, settings, _side(database, settings, a), _side(database, settings, b))
    if form == "json":
        print_json(found)
    else:
        _print(found)


def _side(database: Database, settings: Settings, named: str) -> Side:
    from dedup.reports.explain import from_file, from_page

    if os.path.isfile(named):
        return from_file(database, settings, os.fsencode(named))
    numbered = re.fullmatch(r"(?s)(.*)#([0-9]{1,9})", named)
    page, number = (numbered[1], int(numbered[2])) if numbered else (named, None)
    return from_page(database, settings, page_of(database, settings, page), number)


def _print(found: dict[str, Any]) -> None:
    for name in "ab":
        side = found[name]
        revision = f", revision {side['revision']}" if side["revision"] else ""
        click.echo(click.style(f"{name}: {printable(side['publisher'] or 'no publisher')}: {printable(side['title'])}", bold=True))
        click.echo(f"   {printable(side['url'])}{revision}, {side['characters']:,} letters and digits")
        if side["house"] != side["publisher"]:
            click.echo(f"   counted as {printable(side['house'])}")
    click.echo(f"\n{printable(found['why'])}\n")
    shingles, bands, keys = found["shingles"], found["bands"], found["keys"]
    click.echo(
        f"shingles    {shingles['a']:,} and {shingles['b']:,}, {shingles['common']:,} in common:"
        f" Jaccard {found['similarity']:.2f}, containment {found['containment']:.2f}"
    )
    click.echo(f"bands       {bands['shared']} of {bands['of']} are the same")
    click.echo(f"keys        {keys['a']} and {keys['b']}, {keys['shared']} the same")
    click.echo(f"passages    {found['shared']:,} letters and digits, coverage {found['coverage']:.2f}, {found['quoted']:.0%} of it quoted")
    if found["closest"]:
        best = found["closest"]
        click.echo(
            f"closest     revision {best['a']} of a and revision {best['b']} of b: {best['relation']}, coverage {best['coverage']:.2f}"
        )
    for p in found["passages"]:
        shown = printable_block(p["text"]).replace("\n", " ")
        click.echo(f"\n  {p['characters']:,} at {p['a'][0]:,} of a and {p['b'][0]:,} of b\n    {shown}")
    for name in "ab":
        for passage in found["masked"][name]["passages"]:
            click.echo(f"\n  boilerplate of {name}, left out: {passage['name']}\n    {printable(passage['text'])}")
