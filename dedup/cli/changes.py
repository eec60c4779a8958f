"""`changes`: what was edited, on all pages, and what kind of edit it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from dedup.cli.common import Common, common, formats, moment, plural, print_csv, print_json_array, remark
from dedup.model import SEVERITIES, ChangeKind
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = {"major": "red", "notable": "yellow"}
SHOWN = 5
"""Pieces of evidence that are shown of a change."""


@click.command()
@click.option("--since", metavar="TIME", help="Only changes crawled at or after TIME (ISO 8601; UTC if it has no offset).")
@click.option("--until", metavar="TIME", help="Only changes crawled before TIME.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(ChangeKind)), help="Only this kind, however grave. May be repeated."
)
@click.option(
    "--min-severity", type=click.Choice(SEVERITIES), default=SEVERITIES[1], show_default=True, help="Only changes at least so grave."
)
@click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any name of its house.")
@click.option("--url", metavar="URL", help="Only this page, or pages whose canonical URL fits a pattern with *.")
@click.option("--stealth", is_flag=True, help="Only edits of substance that the page does not own up to.")
@click.option("--each", is_flag=True, help="Every change by itself; else the same edit of many pages is told once.")
@click.option("--incident", metavar="HEX", help="Only this edit, as 'incident' of the JSON names it: every page that has it.")
@formats("text", "json", "csv")
@common
@click.pass_obj
def changes(
    options: Common,
    since: str | None,
    until: str | None,
    kinds: tuple[str, ...],
    min_severity: str,
    publisher: str | None,
    url: str | None,
    stealth: bool,
    each: bool,
    incident: str | None,
    form: str,
) -> None:
    """What was edited between one crawl of a page and the next, the latest first, with what each judgement rests on.

    \b
    cosmetic     blanks, punctuation, Unicode form, credits, time stamps
    typo         a few words spelt a little otherwise
    wording      other words, and nothing of the below
    headline     another title
    substantive  a number, date, amount, quotation, name or negation, a sentence in or out
    rewrite      more than half of the text is another
    removed      the page shows no article any more; restored: it does again
    returned     back to an earlier text; flapping: again and again
    metadata     author, publisher, category or publication time alone

    \b
    dedup changes --stealth --since 2026-03-05
    dedup changes --kind removed --format csv > removed.csv
    """
    from dedup import reports, store
    from dedup.store import open_database

    begin, end = moment("--since", since), moment("--until", until)
    try:
        edit = None if incident is None else bytes.fromhex(incident)
    except ValueError:
        raise click.BadParameter("is no name of an incident: those are hexadecimal digits", param_hint="--incident") from None
    settings = options.load().settings
    if url is not None and "*" not in url:
        url = settings.urls.canonicaliser().canonical(url) or url
    wanted = reports.Wanted(begin, end, frozenset(kinds), min_severity, publisher, url, stealth, settings.publishers.publishers(), edit)
    with open_database(settings.database.path) as database:
        c = settings.changes
        found = reports.changes(database, wanted, None if each else reports.Folding(c.incident_pages, c.incident_hours))
        if form == "json":
            print_json_array(found)
        elif form == "csv":
            print_csv(reports.CHANGE_COLUMNS, reports.flat_changes(found))
        else:
            _print(found)
        if unjudged := store.changes.count_unclassified(database):
            remark(options, f"{plural(unjudged, 'change')} from before changes were judged; 'dedup reindex --changes' judges them.")


def _print(found: Iterator[dict[str, Any]]) -> None:
    from dedup import reports

    number = 0
    for c in found:
        number += 1
        colour = _COLOURS.get(c["severity"])
        click.echo(f"{c['at'][:19].replace('T', ' ')}  {click.style(', '.join(reports.in_words(c)), fg=colour)}  {printable(_who(c))}")
        click.echo(f"    {printable(c['url'])}" + (f" and {c['pages'] - 1:,} other pages, the same edit" if c["pages"] > 1 else ""))
        if c["title_before"] != c["title"]:
            click.echo(f"    title: {_arrow(c['title_before'], c['title'])}")
        for name, sides in c["fields"].items():
            click.echo(f"    {name}: {_arrow(sides['before'], sides['after'])}")
        for e in c["evidence"][:SHOWN]:
            click.echo(f"    {e['what'].replace('_', ' ')}: {_arrow(e['before'], e['after'])}")
        if len(c["evidence"]) > SHOWN:
            click.echo(f"    and {len(c['evidence']) - SHOWN} more; 'dedup diff' shows all")
    click.echo(f"{plural(number, 'change')}")


def _who(c: dict[str, Any]) -> str:
    return f"{c['publisher']}: {c['title']}" if c["publisher"] else c["title"]


def _arrow(before: str, after: str) -> str:
    before, after = (" ".join(side.split()) for side in (before, after))
    if not before:
        return click.style(f"+ {printable(after)}", fg="green")
    if not after:
        return click.style(f"- {printable(before)}", fg="red")
    if before == after:
        return printable(after)
    return f"{click.style(printable(before), fg='red')} → {click.style(printable(after), fg='green')}"
