"""From files to records. `examine` is pure CPU and works on batches; `record` is serial and owns the one transaction; `scan`
compares a crawl directory with the database and takes in what differs; `reindex` recomputes what is derived."""

from __future__ import annotations

from dedup.ingest.events import Policy
from dedup.ingest.examine import Examined, Found, Options, examine
from dedup.ingest.matcher import Matcher
from dedup.ingest.matching import Judged, Matching
from dedup.ingest.record import record
from dedup.ingest.reindex import reindex_changes, reindex_readings, reindex_signatures, reindex_urls
from dedup.ingest.resembling import Judge, Resemblance, resembling
from dedup.ingest.roots import Root, absent_mounts, check_roots, forget_mount, is_absent
from dedup.ingest.scan import Scan
from dedup.ingest.session import Session, open_session
from dedup.ingest.tally import Tally, save_last_scan

__all__ = [
    "Examined",
    "Found",
    "Judge",
    "Judged",
    "Matcher",
    "Matching",
    "Options",
    "Policy",
    "Resemblance",
    "Root",
    "Scan",
    "Session",
    "Tally",
    "absent_mounts",
    "check_roots",
    "examine",
    "forget_mount",
    "is_absent",
    "open_session",
    "record",
    "reindex_changes",
    "reindex_readings",
    "reindex_signatures",
    "reindex_urls",
    "resembling",
    "save_last_scan",
]
