"""The input and output of checks: the context of an examination, and findings."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from dedup import store
from dedup.config import Settings
from dedup.doctor.folder_walk import FolderCounts, count_folders
from dedup.files import inotify_limits, mounts
from dedup.files.inotify_limits import InotifyLimits
from dedup.files.mounts import Mount
from dedup.store.integrity import DamagedDatabase
from dedup.store.lock import LockHolder
from dedup.text import times

Severity = Literal["error", "warning", "ok"]
"""`error`: something is lost, wrong or does not work. `warning`: that may happen soon, or something works badly. `ok`: a remark."""
RepairKind = Literal["schema", "sqlite", "texts", "matches", "histories", "indexes", "summaries", "search"]
"""What `--repair` rebuilds. `schema`: indexes, triggers and views. `sqlite`: SQLite's indexes. `texts`: the texts of revisions. `matches`:
signatures, fingerprints and matches. `histories`: sightings, causes of mismatches, current sightings and changes. `indexes`: the index
files. `summaries`: summaries and clusters. `search`: the search index."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or remark of a check, and its remedy. While a finding `blocks_repair`, nothing may be written to the database."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    repair_kind: RepairKind | None = None
    blocks_repair: bool = False

    @property
    def is_repairable(self) -> bool:
        """Whether `--repair` fixes it."""
        return self.repair_kind is not None


@dataclass(frozen=True, slots=True)
class SystemProbes:
    """How checks read the state of the machine. Tests replace it."""

    read_inotify_limits: Callable[[], InotifyLimits] = inotify_limits.read_limits
    read_mounts: Callable[[], list[Mount]] = mounts.read_mounts
    read_space: Callable[[str], os.statvfs_result] = os.statvfs
    current_time: Callable[[], str] = times.now


@dataclass(slots=True)
class CheckContext:
    """One examination.

    `database` is None if the database cannot be queried; `can_open`: the file is one that SQLite may open. `writer` is the process that is
    writing to it. `checked_counts` maps a check to the number of things it examined; `progress` receives each increase."""

    settings: Settings
    database: DamagedDatabase | None
    writer: LockHolder | None = None
    quick: bool = False
    probes: SystemProbes = field(default_factory=SystemProbes)
    progress: Callable[[str, int], None] = lambda *_: None
    checked_counts: Counter[str] = field(default_factory=Counter)
    can_open: bool = False
    _folder_counts: dict[bytes, FolderCounts] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of the database."""
        return self.settings.database.path

    @property
    def readable_database(self) -> DamagedDatabase:
        """The database, for checks that run only if it can be queried."""
        assert self.database is not None
        return self.database

    def add_checked(self, check: str, count: int) -> None:
        """Add to the number of things that a check examined."""
        self.checked_counts[check] += count
        self.progress(check, count)

    def crawl_directories(self) -> list[bytes]:
        """Return the configured crawl directories; if there are none, all that were ever scanned."""
        configured = [os.path.abspath(os.fsencode(d)) for d in self.settings.crawl.directories]
        return configured or ([path for path, _, _ in store.integrity.directories(self.database)] if self.database else [])

    def folder_counts(self, directory: bytes) -> FolderCounts:
        """Return the folder counts of a crawl directory. It is walked once."""
        if directory not in self._folder_counts:
            self._folder_counts[directory] = count_folders(directory, partial(self.progress, "watches"))
        return self._folder_counts[directory]


Check = Callable[[CheckContext], Iterator[Finding]]
Steps = dict[str, Check]
"""The steps of a check, by printable name. A step that fails does not prevent the next."""
