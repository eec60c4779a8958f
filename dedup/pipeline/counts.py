"""Counts of a scan, and the report of the last one that the database keeps."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from dedup import store
from dedup.model import RELATIONS
from dedup.pipeline.crawl_directories import CrawlDirectory
from dedup.store import WritableDatabase
from dedup.text import times
from dedup.text.sanitise import to_printable_path


@dataclass(slots=True)
class ScanCounts:
    """Counts of one scan. Every file is counted once in `files`: as new, changed, unchanged, moved, ignored, fault or unsettled.

    `reread` counts recorded files that were read again because settings changed. `ignored` counts by rule, `checks` by status, `matches` by
    relation. `absent_directories` and `absent_mounts` are paths for display.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    unsettled: int = 0
    gone: int = 0
    reread: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    revisions: int = 0
    sightings: int = 0
    matches: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    absent_directories: list[str] = field(default_factory=list)
    absent_mounts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def files(self) -> int:
        """Return the number of directory entries seen, without folders."""
        return self.new + self.changed + self.unchanged + self.moved + self.ignored.total() + self.faults + self.unsettled

    def add(self, other: ScanCounts) -> None:
        """Add the counts of files, checks, revisions, sightings, matches and changes of another scan."""
        for name in ("new", "changed", "unchanged", "moved", "faults", "unsettled", "gone", "reread", "revisions", "sightings", "changes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.ignored.update(other.ignored)
        self.checks.update(other.checks)
        self.matches.update(other.matches)

    def as_json(self) -> dict[str, Any]:
        """Return the counts in their documented JSON form."""
        return {
            "files": self.files,
            "new": self.new,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "moved": self.moved,
            "ignored": self.ignored.total(),
            "unsettled": self.unsettled,
            "faults": self.faults,
            "gone": self.gone,
            "reread": self.reread,
            "checks": {status: self.checks[status] for status in ("verified", "mismatched", "unclaimed")},
            "revisions": self.revisions,
            "sightings": self.sightings,
            "matches": {relation: self.matches[relation] for relation in RELATIONS},
            "changes": self.changes,
            "seconds": round(self.seconds, 3),
        }


def save_last_scan(database: WritableDatabase, counts: ScanCounts, command: str, scopes: Collection[tuple[CrawlDirectory, bytes]]) -> None:
    """Store the report of a scan, which `dedup status` shows, with the number of faults of each kind after the scan.

    `scopes` are the scanned (crawl directory, folder in it) pairs; the folder is empty for a whole crawl directory.
    """
    with database.transaction() as transaction:
        store.directories.set_scanned(
            transaction,
            [directory.id for directory, folder in scopes if not folder and directory.display_path not in counts.absent_directories],
            times.now(),
        )
        folder_paths = [to_printable_path(os.path.join(directory.path, folder)) for directory, folder in scopes if folder]
        report = {
            "command": command,
            "finished_at": times.now(),
            **counts.as_json(),
            "ignored_by": dict(sorted(counts.ignored.items())),
            "faults_by": store.faults.count_in_folders(transaction, [(directory.id, folder) for directory, folder in scopes]),
            "absent": counts.absent_directories + counts.absent_mounts,
        } | ({"folders": folder_paths} if folder_paths else {})
        store.settings.put(transaction, "last_scan", json.dumps(report))
