"""`history`: what a page said, and when."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, plural, print_csv, print_json
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.store import Database

TIMELINE_COLUMNS = ("crawled_at", "revision", "check", "cause", "standing", "crawled_at_from", "gone", "path")


@click.command()
@click.argument("page", metavar="URL|ID|PATH", type=click.Path())
@formats("text", "json", "csv")
@common
@click.pass_obj
def history(options: Common, page: str, form: str) -> None:
    """A page's revisions, every crawl of it, and what changed between them.

    The page is named by its URL in any spelling, by an article's id ({oid}_{aid}), or by the path of one of its files.
    CSV gives the timeline.
    """
    from dedup import reports
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        found = reports.history(database, page_of(database, settings, page))
    if form == "json":
        print_json(found)
    elif form == "csv":
        print_csv(TIMELINE_COLUMNS, found["timeline"])
    else:
        _print(found)


def page_of(database: Database, settings: Settings, wanted: str) -> int:
    """The page that an argument stands for."""
    from dedup import reports, store

    path = os.path.abspath(os.fsencode(wanted))
    place = None
    for directory in store.directories.paths(database):
        if path.startswith(directory + b"/"):
            folder, _, name = path[len(directory) + 1 :].rpartition(b"/")
            place = (directory, folder, name)
    return reports.find_page(database, settings.urls.canonicaliser(), wanted, place)


def _print(found: dict[str, Any]) -> None:
    click.echo(click.style(printable(found["url"]), bold=True))
    for alias in found["aliases"]:
        click.echo(f"  also {printable(alias)}")
    click.echo(f"\n{plural(len(found['revisions']), 'revision')}")
    for r in found["revisions"]:
        pruned = f"; its text was pruned on {r['pruned_at'][:10]}" if r["pruned_at"] else ""
        click.echo(f"  {r['revision']:>2}  {printable(r['title'])}  ({r['check']}, {plural(r['sightings'], 'sighting')}{pruned})")
    click.echo("\ntimeline (UTC)")
    for t in found["timeline"]:
        number = t["revision"] if t["revision"] is not None else "-"
        marks = [m for m in (t["check"], t["cause"], "" if t["standing"] == "counted" else t["standing"]) if m]
        marks += ["gone"] if t["gone"] else []
        marks += ["time of the file"] if t["crawled_at_from"] == "mtime" else []
        click.echo(f"  {t['crawled_at'][:19].replace('T', ' ')}  revision {number}  {', '.join(marks)}  {printable(t['path'])}")
    if found["changes"] or found["metadata_changes"]:
        click.echo("\nchanges (UTC)")
    for c in found["changes"]:
        told = [_alike(c["body_similarity"])]
        told += ["title changed"] if c["title_changed"] else []
        told += [f"{c['kind']}, {c['severity']}"] if c["kind"] else []
        told += ["returned to an earlier text"] if c["returned"] and c["kind"] not in ("returned", "flapping") else []
        told += ["stealth"] if c["stealth"] else ["marked as a correction"] if c["corrected"] else []
        click.echo(f"  {c['at'][:19].replace('T', ' ')}  {c['from']} → {c['to']}  {', '.join(told)}")
    for c in found["metadata_changes"]:
        before, after = printable(c["before"]) or "nothing", printable(c["after"]) or "nothing"
        click.echo(f"  {c['at'][:19].replace('T', ' ')}  {c['field']}: {before} → {after}")


def _alike(similarity: float | None) -> str:
    if similarity is None:
        return "body changed, by how much is not known any more"
    return f"body {similarity:.0%} alike" if similarity < 1 else "body alike"
