"""`report`: a period in figures."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click

from dedup.cli.common import Common, common, formats, moment
from dedup.cli.output import Output, output, written


@click.command()
@click.option("--since", metavar="TIME", help="Only what came at or after TIME (ISO 8601; UTC if it has no offset).")
@click.option("--until", metavar="TIME", help="Only what came before TIME.")
@click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any name of its house.")
@formats("text", "html", "json", "csv", "markdown")
@output
@common
@click.pass_obj
def report(options: Common, since: str | None, until: str | None, publisher: str | None, form: str, output: Output) -> None:
    """A period in figures: articles, checks, clusters, who was first, edits, faults.

    Articles count by their first crawl, clusters by their articles, changes and checks by their crawl, faults by when they came.
    The HTML is one file that needs no network, with pictures, and with its figures as JSON in it. The same database and the same
    period give the same bytes. Hours are those of [delivery] zone.

    \b
    dedup report --since 2026-03-02 --until 2026-03-09
    dedup report --since 2026-03-02 --format html -o week.html
    """
    from dedup import store
    from dedup.reports.period import FORMS, compute_statistics
    from dedup.store import open_database
    from dedup.store.statistics import Period
    from dedup.text.publishers import Publishers

    begin, end = moment("--since", since), moment("--until", until)
    loaded = options.load()
    settings = loaded.settings
    publishers: Publishers = settings.publishers.publishers()
    house = None if publisher is None else publishers.house(publisher, "", "")
    with open_database(settings.database.path) as database:
        found = compute_statistics(database, Period(begin, end, house), ZoneInfo(settings.delivery.zone), publishers)
        known = store.directories.paths(database)
    with written(loaded, output, known) as file:
        for piece in FORMS[form](found):
            file.write(piece.encode())
