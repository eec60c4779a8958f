"""`changes`: list the edits of all pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from dedup.cli.common import CommonOptions, common_options, format_option, parse_time, print_csv, print_json_array, print_note
from dedup.cli.suggestions import SuggestingChoice
from dedup.model import SEVERITIES, ChangeKind
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = {"major": "red", "notable": "yellow"}
MAX_EVIDENCE = 5
"""Pieces of evidence printed per change."""


@click.command()
@click.option("--since", metavar="TIME", help="Only changes crawled at or after TIME (ISO 8601; UTC if it has no offset).")
@click.option("--until", metavar="TIME", help="Only changes crawled before TIME.")
@click.option(
    "--kind", "kinds", multiple=True, type=SuggestingChoice(get_args(ChangeKind)), help="Only this kind, of any severity. May be repeated."
)
@click.option(
    "--min-severity",
    type=SuggestingChoice(SEVERITIES),
    default=SEVERITIES[1],
    show_default=True,
    help="Only changes of at least this severity.",
)
@click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any of its names.")
@click.option("--url", metavar="URL", help="Only this page, or pages whose canonical URL matches a pattern with *.")
@click.option("--silent", is_flag=True, help="Only substantive edits that the page does not mark as a correction.")
@click.option("--expand-incidents", is_flag=True, help="List every change. By default the same edit on many pages is listed once.")
@click.option("--incident", metavar="HEX", help="Only this edit, on every page that has it. HEX is 'incident' in the JSON output.")
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def changes(
    options: CommonOptions,
    since: str | None,
    until: str | None,
    kinds: tuple[str, ...],
    min_severity: str,
    publisher: str | None,
    url: str | None,
    silent: bool,
    expand_incidents: bool,
    incident: str | None,
    output_format: str,
) -> None:
    """List edits, with the evidence for each.

    A change is the difference between two successive crawls of a page. The latest is printed first: time, kind, severity,
    title and URL, then the words before and after. CSV and JSON have all evidence.

    \b
    Kinds:
      cosmetic     white space, punctuation, Unicode form, credits, time stamps
      typo         a few words spelled slightly differently
      wording      other words, but none of the kinds below
      headline     the title changed
      substantive  a number, date, amount, quotation, name, negation or sentence changed
      rewrite      more than half of the text changed
      removed      the page no longer shows an article
      restored     the page shows an article again
      returned     the page shows an earlier text again
      flapping     the page has returned to an earlier text repeatedly
      metadata     only author, publisher, category or publication time changed

    \b
    Examples:
      dedup changes --silent --since 2026-03-05
      dedup changes --kind removed --format csv > removed.csv
    """
    from dedup import reports, store
    from dedup.store import open_database

    begin, end = parse_time("--since", since), parse_time("--until", until)
    try:
        edit = None if incident is None else bytes.fromhex(incident)
    except ValueError:
        problem = f"'{to_printable(incident or '')}' is not an incident id, which consists of hexadecimal digits"
        raise click.BadParameter(problem, param_hint="--incident") from None
    settings = options.load().settings
    if url is not None and "*" not in url:
        url = settings.urls.build_canonicaliser().canonicalise(url) or url
    criteria = reports.ChangeFilter(
        begin, end, frozenset(kinds), min_severity, publisher, url, silent, settings.publishers.build_publishers(), edit
    )
    with open_database(settings.database.path) as database:
        change_settings = settings.changes
        rows = reports.list_changes(
            database,
            criteria,
            None if expand_incidents else reports.IncidentGrouping(change_settings.incident_pages, change_settings.incident_hours),
        )
        if output_format == "json":
            print_json_array(rows)
        elif output_format == "csv":
            print_csv(reports.CHANGE_COLUMNS, reports.flatten_changes(rows))
        else:
            _print(rows)
        if unclassified := store.changes.count_unclassified(database):
            print_note(options, f"{format_count(unclassified, 'change')} not classified yet; run 'dedup reindex --changes'.")


def _print(rows: Iterator[dict[str, Any]]) -> None:
    from dedup import reports

    count = 0
    for change in rows:
        count += 1
        colour = _COLOURS.get(change["severity"])
        classification = click.style(", ".join(reports.describe_classification(change)), fg=colour)
        click.echo(f"{change['at'][:19].replace('T', ' ')}  {classification}  {to_printable(_format_title(change))}")
        click.echo(
            f"    {to_printable(change['url'])}"
            + (f" and {change['page_count'] - 1:,} other pages, the same edit" if change["page_count"] > 1 else "")
        )
        if change["title_before"] != change["title"]:
            click.echo(f"    title: {_format_before_after(change['title_before'], change['title'])}")
        for name, sides in change["fields"].items():
            click.echo(f"    {name}: {_format_before_after(sides['before'], sides['after'])}")
        for e in change["evidence"][:MAX_EVIDENCE]:
            click.echo(f"    {e['kind'].replace('_', ' ')}: {_format_before_after(e['before'], e['after'])}")
        if len(change["evidence"]) > MAX_EVIDENCE:
            click.echo(f"    and {len(change['evidence']) - MAX_EVIDENCE} more; 'dedup diff' shows all")
    click.echo(f"{format_count(count, 'change')}")


def _format_title(change: dict[str, Any]) -> str:
    return f"{change['publisher']}: {change['title']}" if change["publisher"] else change["title"]


def _format_before_after(before: str, after: str) -> str:
    before, after = (" ".join(side.split()) for side in (before, after))
    if not before:
        return click.style(f"+ {to_printable(after)}", fg="green")
    if not after:
        return click.style(f"- {to_printable(before)}", fg="red")
    if before == after:
        return to_printable(after)
    return f"{click.style(to_printable(before), fg='red')} → {click.style(to_printable(after), fg='green')}"
