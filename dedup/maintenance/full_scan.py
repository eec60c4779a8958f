"""One complete scan, as `dedup scan` runs it: record what differs, update the summaries, store the report, extend the search index."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from dedup.maintenance import summaries
from dedup.maintenance.summaries import SummaryFailures
from dedup.pipeline.counts import ScanCounts, save_last_scan
from dedup.pipeline.crawl_directories import retire_mount
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session
from dedup.store import Database

MIN_INDEX_SECONDS = 2.0
"""Seconds that a scan may spend on the search index afterwards,"""
INDEX_TIME_SHARE = 0.1
"""or this share of its own time, if that is longer."""


class ScanProgress:
    """Receives the progress of a scan. This one ignores it."""

    wants_estimate = False
    """Whether `expect` should be called; the estimate takes a walk over the crawl directories."""

    def expect(self, entries: int) -> None:
        """About `entries` directory entries will be seen."""

    def report_scanned(self, counts: ScanCounts) -> None:
        """The scan has these counts so far."""

    def report_indexed(self, signatures: int) -> None:
        """`signatures` more signatures were added to an index that is being rebuilt."""

    def report_summarised(self, pages: int) -> None:
        """The summaries of `pages` more pages were updated. 0: that work begins."""


@dataclass(frozen=True, slots=True)
class FullScan:
    """The counts of a scan, and the pages and texts that could not be summarised; the next scan retries those."""

    counts: ScanCounts
    failures: SummaryFailures = field(default_factory=SummaryFailures)


def run_full_scan(
    session: Session, *, accept_absent: Sequence[str] = (), stop: threading.Event | None = None, progress: ScanProgress | None = None
) -> FullScan:
    """Scan all crawl directories of a session once.

    `accept_absent` are paths of mounts that are retired first: their files are marked as gone. Once `stop` is set, the scan ends after
    the batch in progress, and neither summaries nor search index are updated; the next scan finds the rest.
    """
    stop, progress = stop or threading.Event(), progress or ScanProgress()
    for path in accept_absent:
        retire_mount(session.database, session.directories, os.fsencode(path))
    scan = Scan(session, stop, progress.report_scanned)
    session.matcher.progress = progress.report_indexed
    if progress.wants_estimate:
        progress.expect(scan.estimate_entries())
    result = FullScan(scan.run())
    if stop.is_set():
        return result
    progress.report_summarised(0)
    summaries.update_all_summaries(session.database, session.settings, progress.report_summarised, result.failures)
    save_last_scan(session.database, result.counts, "scan", session.scopes)
    if session.settings.search.index and not result.counts.absent_directories:
        _update_search_index(session.database, result.counts.seconds)
    return result


def _update_search_index(database: Database, scan_seconds: float) -> None:
    """Add texts to the search index, for a time in proportion to that of the scan."""
    from dedup.search import SearchIndexer

    index = SearchIndexer(database)
    try:
        index.update(max(MIN_INDEX_SECONDS, INDEX_TIME_SHARE * scan_seconds))
    finally:
        index.close()
