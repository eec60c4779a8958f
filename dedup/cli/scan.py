"""`scan`: one pass over the crawl directories."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from typing import TYPE_CHECKING

import click

from dedup import process
from dedup.cli.common import (
    CommonOptions,
    common_options,
    format_count,
    format_option,
    log_to_stderr,
    print_json,
    print_note,
    set_verdict,
    shows_progress,
)
from dedup.cli.progress import ProgressBar
from dedup.model import RELATIONS

if TYPE_CHECKING:
    from dedup.scan.counts import ScanCounts
    from dedup.store import Database

FAIL_CONDITIONS = ("mismatched", "fault", "unsettled", "gone", *RELATIONS, "change")
MIN_INDEX_SECONDS = 2.0
"""Seconds after a scan for which the search index is filled, at most,"""
INDEX_TIME_SHARE = 0.1
"""unless this share of the scan's own time is more."""


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@click.option(
    "--fail-on", multiple=True, type=click.Choice(FAIL_CONDITIONS), help="Exit with 1 if the scan met any of these. May be repeated."
)
@click.option("--alert-on-import", is_flag=True, help="Alerts of what is in a crawl directory that is taken in for the first time, too.")
@click.option(
    "--accept-absent",
    "accepted_absent",
    multiple=True,
    metavar="PATH",
    type=click.Path(),
    help="What was mounted at PATH, in or around a crawl directory, is retired for good: its files are gone. May be repeated.",
)
@format_option("text", "json")
@common_options
@click.pass_obj
def scan(
    options: CommonOptions,
    directories: tuple[str, ...],
    fail_on: tuple[str, ...],
    alert_on_import: bool,
    accepted_absent: tuple[str, ...],
    output_format: str,
) -> None:
    """Compare the crawl directories with the database and take in what differs.

    DIR stands in for the configured directories; a folder of a crawl directory is scanned as a part of it. Files that are still
    being written are waited for, up to twice settle_seconds. A directory that is missing, or empty and another than before (not
    mounted), is left as it was, and the command exits with 3. So is what was mounted in a crawl directory and is not now, until
    --accept-absent names it.

    \b
    dedup scan
    dedup --database /srv/dedup.db scan /srv/crawl --format json
    """
    from dedup.errors import DirectoryAbsentError
    from dedup.maintenance import summaries
    from dedup.scan.counts import save_last_scan
    from dedup.scan.roots import retire_mount
    from dedup.scan.scanner import Scan
    from dedup.scan.session import open_session

    process.prepare_for_scanning()
    loaded = options.load(directories)
    configured = options.load().settings.crawl.directories if directories else None
    with (
        log_to_stderr(options),
        open_session(loaded.settings, "scan", alert_on_import=alert_on_import, configured_directories=configured) as session,
    ):
        for path in accepted_absent:
            retire_mount(session.database, session.directories, os.fsencode(path))
        stop = threading.Event()
        with ProgressBar("scan", "files", is_shown=shows_progress(options)) as progress:
            scanner = Scan(session, stop, lambda t: progress.update(t.files, f"{t.faults:,} faults"))
            session.matcher.progress = lambda n: progress.count_other("signatures indexed", n)
            if progress.is_shown:
                progress.expect(scanner.estimate_entries())
            counts = scanner.run()
            progress.count_other("summarising", 0)
            failures = summaries.SummaryFailures()
            summaries.update_all_summaries(session.database, loaded.settings, lambda n: progress.count_other("summarising", n), failures)
        save_last_scan(session.database, counts, "scan", session.scopes)
        if loaded.settings.search.index and not counts.absent_directories:
            _update_search_index(session.database, counts.seconds)
    if failures.last_error is not None:
        print_note(
            options,
            f"Everything is recorded, but {format_count(len(failures), 'page or text', 'pages or texts')} could not be summarised for"
            f" reports and dashboard ({type(failures.last_error).__name__}); the next scan tries again.",
        )
    absent = counts.absent_directories + counts.absent_mounts
    set_verdict(has_findings=any(_count_conditions(counts)[kind] for kind in fail_on))
    if output_format == "json":
        print_json(counts.as_json() | ({"absent": absent} if absent else {}))
    else:
        _print(counts)
    for path in counts.absent_directories:
        print_note(options, f"{path} is missing, unreadable, or empty and not the directory it was: nothing there was marked as gone.")
    for path in counts.absent_mounts:
        hint = f"If it is retired for good: dedup scan --accept-absent {shlex.quote(path)}"
        print_note(options, f"{path} was a mount and is not mounted: nothing there was marked as gone. {hint}")
    if absent:
        raise DirectoryAbsentError(paths=", ".join(absent))
    if any(_count_conditions(counts)[kind] for kind in fail_on):
        sys.exit(1)


def _update_search_index(database: Database, seconds: float) -> None:
    """Let search reach further, for a while that stands in proportion."""
    from dedup.search import SearchIndexer

    index = SearchIndexer(database)
    try:
        index.update(max(MIN_INDEX_SECONDS, INDEX_TIME_SHARE * seconds))
    finally:
        index.close()


def _count_conditions(counts: ScanCounts) -> dict[str, int]:
    conditions: dict[str, int] = {k: counts.matches[k] for k in RELATIONS}
    conditions |= {"mismatched": counts.checks["mismatched"], "fault": counts.faults, "unsettled": counts.unsettled}
    return conditions | {"gone": counts.gone, "change": counts.changes}


def _print(counts: ScanCounts) -> None:
    t = counts
    click.echo(
        f"{format_count(t.files, 'file')} in {t.seconds:.1f} s: {t.new:,} new, {t.changed:,} changed, {t.unchanged:,} unchanged,", nl=False
    )
    rules = f" ({', '.join(f'{n:,} by {rule}' for rule, n in sorted(t.ignored.items()))})" if t.ignored else ""
    click.echo(
        f" {t.moved:,} moved, {t.ignored.total():,} ignored{rules}, {t.faults:,} with faults, {t.unsettled:,} unsettled; {t.gone:,} gone"
    )
    if t.reread:
        click.echo(f"{format_count(t.reread, 'recorded file')} read again because settings or the program changed")
    if t.checks.total():
        checks = ", ".join(f"{t.checks[c]:,} {c}" for c in ("verified", "mismatched", "unclaimed"))
        click.echo(f"content_hash: {checks}")
    matches = ", ".join(f"{t.matches[r]:,} {r}" for r in RELATIONS)
    click.echo(f"found: {format_count(t.revisions, 'revision')}, {format_count(t.sightings, 'sighting')}, matches: {matches}; ", nl=False)
    click.echo(format_count(t.changes, "change"))
