"""`history`: show the revisions and crawls of a page."""

from __future__ import annotations

from typing import Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_csv, print_json
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

TIMELINE_COLUMNS = ("crawled_at", "revision", "check_status", "check_cause", "status", "crawled_at_source", "gone", "path")


@click.command()
@click.argument("page", metavar="URL|ID|PATH", type=click.Path())
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def history(options: CommonOptions, page: str, output_format: str) -> None:
    """Show a page's revisions and crawls.

    Prints the distinct revisions of a page, its timeline (every crawl, with the path and check of the file), and the changes
    between successive crawls. CSV has the timeline only.

    The page is named by its URL in any spelling, by an article's id ({oid}_{aid}), or by the path of one of its files.

    \b
    Examples:
      dedup history https://www.example.com/story
      dedup history 903_0000100015 --format json
    """
    from dedup import reports
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        result = reports.page_history(database, reports.resolve_page(database, settings, page))
    if output_format == "json":
        print_json(result)
    elif output_format == "csv":
        print_csv(TIMELINE_COLUMNS, result["timeline"])
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    click.echo(click.style(to_printable(result["url"]), bold=True))
    for alias in result["aliases"]:
        click.echo(f"  also {to_printable(alias)}")
    click.echo(f"\n{format_count(len(result['revisions']), 'revision')}")
    for r in result["revisions"]:
        pruned = f"; its text was pruned on {r['pruned_at'][:10]}" if r["pruned_at"] else ""
        click.echo(
            f"  {r['revision']:>2}  {to_printable(r['title'])}  ({r['check_status']}, {format_count(r['sightings'], 'sighting')}{pruned})"
        )
    click.echo("\ntimeline (UTC)")
    for t in result["timeline"]:
        number = t["revision"] if t["revision"] is not None else "-"
        marks = [m for m in (t["check_status"], t["check_cause"], "" if t["status"] == "counted" else t["status"]) if m]
        marks += ["gone"] if t["gone"] else []
        marks += ["time of the file"] if t["crawled_at_source"] == "mtime" else []
        click.echo(f"  {t['crawled_at'][:19].replace('T', ' ')}  revision {number}  {', '.join(marks)}  {to_printable(t['path'])}")
    if result["changes"] or result["metadata_changes"]:
        click.echo("\nchanges (UTC)")
    for c in result["changes"]:
        details = [_format_similarity(c["body_similarity"])]
        details += ["title changed"] if c["title_changed"] else []
        details += [f"{c['kind']}, {c['severity']}"] if c["kind"] else []
        details += ["returned to an earlier text"] if c["returned"] and c["kind"] not in ("returned", "flapping") else []
        details += ["silent"] if c["silent"] else ["marked as a correction"] if c["corrected"] else []
        click.echo(f"  {c['at'][:19].replace('T', ' ')}  {c['from_revision']} → {c['to_revision']}  {', '.join(details)}")
    for c in result["metadata_changes"]:
        before, after = to_printable(c["before"]) or "nothing", to_printable(c["after"]) or "nothing"
        click.echo(f"  {c['at'][:19].replace('T', ' ')}  {c['field']}: {before} → {after}")


def _format_similarity(similarity: float | None) -> str:
    if similarity is None:
        return "body changed (similarity unknown)"
    return f"body {similarity:.0%} similar" if similarity < 1 else "body similar"
