"""`scan`: one pass over the crawl directories."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from typing import TYPE_CHECKING

import click

from dedup.cli.common import Common, common, formats, judge, on_terminal, plural, print_json, remark, told
from dedup.cli.progress import Progress
from dedup.model import RELATIONS
from dedup.store import Database

if TYPE_CHECKING:
    from dedup.scan.counts import Tally

JUDGED = ("mismatched", "fault", "unsettled", "gone", *RELATIONS, "change")
FILLING = 2.0
"""Seconds after a scan for which the search index is filled, at most,"""
FILLING_SHARE = 0.1
"""unless this share of the scan's own time is more."""


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@click.option("--fail-on", multiple=True, type=click.Choice(JUDGED), help="Exit with 1 if the scan met any of these. May be repeated.")
@click.option("--alert-on-import", is_flag=True, help="Alerts of what is in a crawl directory that is taken in for the first time, too.")
@click.option(
    "--accept-absent",
    "retired",
    multiple=True,
    metavar="PATH",
    type=click.Path(),
    help="What was mounted at PATH, in or around a crawl directory, is retired for good: its files are gone. May be repeated.",
)
@formats("text", "json")
@common
@click.pass_obj
def scan(
    options: Common, directories: tuple[str, ...], fail_on: tuple[str, ...], alert_on_import: bool, retired: tuple[str, ...], form: str
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
    from dedup.scan.roots import forget_mount
    from dedup.scan.scanner import Scan
    from dedup.scan.session import open_session

    loaded = options.load(directories)
    within = options.load().settings.crawl.directories if directories else None
    with told(options), open_session(loaded.settings, "scan", alert_on_import=alert_on_import, within=within) as session:
        for path in retired:
            forget_mount(session.database, session.roots, os.fsencode(path))
        stop = threading.Event()
        with Progress("scan", "files", shown=on_terminal(options)) as progress:
            pass_ = Scan(session, stop, lambda t: progress.update(t.files, f"{t.faults:,} faults"))
            session.matcher.progress = lambda n: progress.beside("signatures into the candidate index", n)
            if progress.shown:
                progress.expect(pass_.expected())
            tally = pass_.run()
            progress.beside("summing up", 0)
            failed = summaries.Failed()
            summaries.work_all_off(session.database, loaded.settings, lambda n: progress.beside("summing up", n), failed)
        save_last_scan(session.database, tally, "scan", session.places)
        if loaded.settings.search.index and not tally.absent:
            _fill(session.database, tally.seconds)
    if failed.error is not None:
        remark(
            options,
            f"Everything is recorded, but {plural(len(failed), 'page or text', 'pages or texts')} could not be summed up for reports and"
            f" dashboard ({type(failed.error).__name__}); the next scan tries again.",
        )
    absent = tally.absent + tally.unmounted
    judge(bad=any(_met(tally)[kind] for kind in fail_on))
    if form == "json":
        print_json(tally.as_json() | ({"absent": absent} if absent else {}))
    else:
        _print(tally)
    for path in tally.absent:
        remark(options, f"{path} is missing, unreadable, or empty and not the directory it was: nothing there was marked as gone.")
    for path in tally.unmounted:
        hint = f"If it is retired for good: dedup scan --accept-absent {shlex.quote(path)}"
        remark(options, f"{path} was a mount and is not mounted: nothing there was marked as gone. {hint}")
    if absent:
        raise DirectoryAbsentError(paths=", ".join(absent))
    if any(_met(tally)[kind] for kind in fail_on):
        sys.exit(1)


def _fill(database: Database, seconds: float) -> None:
    """Let search reach further, for a while that stands in proportion."""
    from dedup.search import Search

    search = Search(database)
    try:
        search.fill(max(FILLING, FILLING_SHARE * seconds))
    finally:
        search.close()


def _met(tally: Tally) -> dict[str, int]:
    met: dict[str, int] = {k: tally.matches[k] for k in RELATIONS}
    met |= {"mismatched": tally.checks["mismatched"], "fault": tally.faults, "unsettled": tally.unsettled}
    return met | {"gone": tally.gone, "change": tally.changes}


def _print(tally: Tally) -> None:
    t = tally
    click.echo(
        f"{plural(t.files, 'file')} in {t.seconds:.1f} s: {t.new:,} new, {t.changed:,} changed, {t.unchanged:,} unchanged,", nl=False
    )
    rules = f" ({', '.join(f'{n:,} by {rule}' for rule, n in sorted(t.ignored.items()))})" if t.ignored else ""
    click.echo(
        f" {t.moved:,} moved, {t.ignored.total():,} ignored{rules}, {t.faults:,} with faults, {t.unsettled:,} unsettled; {t.gone:,} gone"
    )
    if t.reread:
        click.echo(f"{plural(t.reread, 'recorded file')} read again because settings or the program changed")
    if t.checks.total():
        shown = ", ".join(f"{t.checks[c]:,} {c}" for c in ("verified", "mismatched", "unclaimed"))
        click.echo(f"content_hash: {shown}")
    matches = ", ".join(f"{t.matches[r]:,} {r}" for r in RELATIONS)
    click.echo(f"found: {plural(t.revisions, 'revision')}, {plural(t.sightings, 'sighting')}, matches: {matches}; ", nl=False)
    click.echo(plural(t.changes, "change"))
