"""`scan`: one scan of the crawl directories."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click

from dedup.cli.common import (
    CommonOptions,
    common_options,
    format_option,
    log_to_stderr,
    print_json,
    print_note,
    set_verdict,
    shows_progress,
)
from dedup.cli.progress import ProgressBar
from dedup.cli.suggestions import SuggestingChoice
from dedup.model import RELATIONS
from dedup.runtime import process
from dedup.text.format import format_count

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.maintenance.full_scan import FullScan, ScanProgress
    from dedup.pipeline.counts import ScanCounts

FAIL_CONDITIONS = ("mismatched", "fault", "unsettled", "gone", *RELATIONS, "change")


@click.command()
@click.argument("directories", nargs=-1, metavar="[DIR]...", type=click.Path())
@click.option(
    "--fail-on",
    multiple=True,
    type=SuggestingChoice(FAIL_CONDITIONS),
    help="Exit with 1 if the scan met this. May be repeated.",
)
@click.option("--alert-on-import", is_flag=True, help="Send alerts for the first scan of a crawl directory, too.")
@click.option(
    "--accept-absent",
    "accepted_absent",
    multiple=True,
    metavar="PATH",
    type=click.Path(),
    help="Mark the files of PATH, a mount that is retired for good, as gone. May be repeated.",
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
    """Scan the crawl directories once.

    Compares the crawl directories with the database, records what differs, and prints the counts of files, checks, matches
    and changes. DIR replaces the configured directories; a folder inside a configured directory is scanned as part of it.
    A file that is still being written is waited for, up to twice settle_seconds.

    No file is marked as gone in a crawl directory, or a mount inside one, that is missing or not mounted: the command then
    exits with 3. --accept-absent marks the files of a former mount as gone after all; 'dedup directories retire' those of a
    directory that is no longer configured.

    \b
    Examples:
      dedup scan
      dedup --database /srv/dedup.db scan /srv/crawl --format json
      dedup scan --fail-on mismatched --fail-on fault

    Exit codes: 1 if a --fail-on condition is met, 3 if a directory is absent or the database is locked.
    """
    from dedup.errors import DirectoryAbsentError

    loaded = options.load(directories)
    configured = options.load().settings.crawl.directories if directories else None
    result = _scan(options, loaded.settings, configured, accepted_absent, alert_on_import=alert_on_import)
    counts, failures = result.counts, result.failures
    if failures.last_error is not None:
        print_note(
            options,
            f"Everything is recorded, but {format_count(len(failures), 'page or text', 'pages or texts')} could not be summarised for"
            f" reports and dashboard ({type(failures.last_error).__name__}). The next scan retries.",
        )
    conditions = _count_conditions(counts)
    has_failed = any(conditions[kind] for kind in fail_on)
    set_verdict(has_findings=has_failed)
    absent = counts.absent_directories + counts.absent_mounts
    if output_format == "json":
        print_json(counts.as_json() | ({"absent": absent} if absent else {}))
    else:
        _print(counts)
    _print_absent(options, counts)
    if absent:
        raise DirectoryAbsentError(paths=", ".join(absent))
    if has_failed:
        sys.exit(1)


def _scan(
    options: CommonOptions,
    settings: Settings,
    configured: tuple[str, ...] | None,
    accepted_absent: tuple[str, ...],
    *,
    alert_on_import: bool,
) -> FullScan:
    """Scan, and show progress. `configured` are the crawl directories of the configuration, or None if they are the ones to scan."""
    from dedup.maintenance.full_scan import run_full_scan
    from dedup.pipeline.session import open_session

    process.prepare_for_scanning()
    with (
        log_to_stderr(options),
        open_session(settings, "scan", alert_on_import=alert_on_import, configured_directories=configured) as session,
        ProgressBar("scan", "files", is_shown=shows_progress(options)) as bar,
    ):
        return run_full_scan(session, accept_absent=accepted_absent, progress=_build_progress(bar))


def _build_progress(bar: ProgressBar) -> ScanProgress:
    """Return a receiver of a scan's progress that shows it on `bar`."""
    from dedup.maintenance.full_scan import ScanProgress

    class BarProgress(ScanProgress):
        wants_estimate = bar.is_shown

        def expect(self, entries: int) -> None:
            bar.expect(entries)

        def report_scanned(self, counts: ScanCounts) -> None:
            bar.update(counts.files, f"{counts.faults:,} faults")

        def report_indexed(self, signatures: int) -> None:
            bar.count_other("signatures indexed", signatures)

        def report_summarised(self, pages: int) -> None:
            bar.count_other("summarising", pages)

    return BarProgress()


def _print_absent(options: CommonOptions, counts: ScanCounts) -> None:
    for path in counts.absent_directories:
        print_note(options, f"{path} is missing, unreadable, or empty and not the directory it was: nothing there was marked as gone.")
    for path in counts.absent_mounts:
        hint = f"If it is retired for good, run: dedup scan --accept-absent {shlex.quote(path)}"
        print_note(options, f"{path} was a mount and is not mounted: nothing there was marked as gone. {hint}")


def _count_conditions(counts: ScanCounts) -> dict[str, int]:
    conditions: dict[str, int] = {k: counts.matches[k] for k in RELATIONS}
    conditions |= {"mismatched": counts.checks["mismatched"], "fault": counts.faults, "unsettled": counts.unsettled}
    return conditions | {"gone": counts.gone, "change": counts.changes}


def _print(counts: ScanCounts) -> None:
    rules = f" ({', '.join(f'{n:,} by {rule}' for rule, n in sorted(counts.ignored.items()))})" if counts.ignored else ""
    click.echo(
        f"{format_count(counts.files, 'file')} in {counts.seconds:.1f} s: {counts.new:,} new, {counts.changed:,} changed,"
        f" {counts.unchanged:,} unchanged, {counts.moved:,} moved, {counts.ignored.total():,} ignored{rules},"
        f" {counts.faults:,} with faults, {counts.unsettled:,} unsettled; {counts.gone:,} gone"
    )
    if counts.reread:
        click.echo(f"{format_count(counts.reread, 'recorded file')} read again because settings or the program changed")
    if counts.checks.total():
        checks = ", ".join(f"{counts.checks[c]:,} {c}" for c in ("verified", "mismatched", "unclaimed"))
        click.echo(f"content_hash: {checks}")
    matches = ", ".join(f"{counts.matches[r]:,} {r}" for r in RELATIONS)
    click.echo(
        f"found: {format_count(counts.revisions, 'revision')}, {format_count(counts.sightings, 'sighting')}, matches: {matches}; ", nl=False
    )
    click.echo(format_count(counts.changes, "change"))
