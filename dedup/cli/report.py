"""`report`: summarise a period."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click

from dedup.cli.common import CommonOptions, common_options, format_option, parse_time
from dedup.cli.output import Output, open_output, output_options


@click.command()
@click.option("--since", metavar="TIME", help="Start of the period (ISO 8601; UTC if it has no offset).")
@click.option("--until", metavar="TIME", help="End of the period; TIME itself is not part of it.")
@click.option("--publisher", metavar="NAME", help="Only articles by this publisher, under any of its names.")
@format_option("text", "html", "json", "csv", "markdown")
@output_options
@common_options
@click.pass_obj
def report(options: CommonOptions, since: str | None, until: str | None, publisher: str | None, output_format: str, output: Output) -> None:
    """Summarise a period in tables and charts.

    The report covers articles, checks, clusters, which publisher was first, changes, silent edits and faults. An article
    belongs to the period of its first crawl, a cluster to those of its articles, a change or check to that of its crawl, and a
    fault to that of its first occurrence. Hours are in [delivery] zone. docs/reports.md defines every number.

    HTML is a single file with charts and the statistics as JSON; it needs no network. CSV is one tidy table. The output
    depends only on the database, the period and the settings.

    \b
    Examples:
      dedup report --since 2026-03-02 --until 2026-03-09
      dedup report --since 2026-03-02 --format html -o week.html
    """
    from dedup import store
    from dedup.reports.period import REPORT_FORMATS, compute_statistics
    from dedup.store import open_database
    from dedup.store.statistics import Period

    begin, end = parse_time("--since", since), parse_time("--until", until)
    loaded = options.load()
    settings = loaded.settings
    publishers = settings.publishers.build_publishers()
    canonical = None if publisher is None else publishers.canonical_name(publisher, "", "")
    with open_database(settings.database.path) as database:
        statistics = compute_statistics(database, Period(begin, end, canonical), ZoneInfo(settings.delivery.zone), publishers)
        directories = store.directories.paths(database)
    with open_output(loaded, output, directories) as file:
        for chunk in REPORT_FORMATS[output_format](statistics):
            file.write(chunk.encode())
