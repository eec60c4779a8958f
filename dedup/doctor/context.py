"""What is examined, and what is found."""

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
"""`error`: something is lost, wrong or does not work. `warning`: it will, or works worse. `ok`: a remark."""
RepairKind = Literal["schema", "sqlite", "texts", "matches", "histories", "indexes", "summaries", "search"]
"""What `--repair` makes again about a finding: indexes, triggers and views of the schema, SQLite's own indexes, texts and the
revisions that have them, signatures and all matches (with what of passages belongs to them), sightings, causes of mismatches, current
sightings and changes, the index files, summaries and clusters, the search index."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found by which check, how bad it is, and what to do about it. What `blocks_repair` a repair must be put right first: nothing
    may be written until then."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    repair_kind: RepairKind | None = None
    blocks_repair: bool = False

    @property
    def is_repairable(self) -> bool:
        """Whether `--repair` puts it right."""
        return self.repair_kind is not None


@dataclass(frozen=True, slots=True)
class SystemProbes:
    """What the machine says of itself; a test says otherwise."""

    read_inotify_limits: Callable[[], InotifyLimits] = inotify_limits.read_limits
    read_mounts: Callable[[], list[Mount]] = mounts.read_mounts
    read_space: Callable[[str], os.statvfs_result] = os.statvfs
    current_time: Callable[[], str] = times.now


@dataclass(slots=True)
class CheckContext:
    """One examination. `database` None: the database cannot be asked (`can_open`: the file is one that SQLite may be asked about);
    `writer`: who writes to it now; `checked_counts`: check → how many things it looked at; `progress` hears which check has looked at so
    many more."""

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
        """The database."""
        return self.settings.database.path

    @property
    def readable_database(self) -> DamagedDatabase:
        """The database, for checks of what it holds."""
        assert self.database is not None
        return self.database

    def add_checked(self, check: str, count: int) -> None:
        """A check has looked at so many more things."""
        self.checked_counts[check] += count
        self.progress(check, count)

    def crawl_directories(self) -> list[bytes]:
        """The configured crawl directories; where there are none, those that were ever scanned."""
        configured = [os.path.abspath(os.fsencode(d)) for d in self.settings.crawl.directories]
        return configured or ([path for path, _, _ in store.integrity.directories(self.database)] if self.database else [])

    def folder_counts(self, directory: bytes) -> FolderCounts:
        """The folders of a crawl directory, walked once."""
        if directory not in self._folder_counts:
            self._folder_counts[directory] = count_folders(directory, partial(self.progress, "watches"))
        return self._folder_counts[directory]


Check = Callable[[CheckContext], Iterator[Finding]]
Steps = dict[str, Check]
"""What a check consists of: a name for people → the step. One is made although another could not be finished."""
