"""What the watcher records: the batches of `watch`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dedup.library.changes import Change
from dedup.library.records import Record
from dedup.model import CheckStatus, FaultKind, FileOutcome, MismatchCause


@dataclass(frozen=True)
class RecordedFile(Record):
    """A file whose article was recorded. `url` is the canonical URL of its page; `path` is escaped for display.

    `outcome` is `new`, `changed`, `moved`, or, for a file with the recorded bytes, `unchanged` (its text had been pruned) or `reread`
    (settings changed).
    """

    path: str
    url: str
    crawled_at: str
    outcome: FileOutcome
    check_status: CheckStatus
    check_cause: MismatchCause | None


@dataclass(frozen=True)
class RecordedFault(Record):
    """A file or folder that could not be read as an article."""

    path: str
    kind: FaultKind
    message: str


@dataclass(frozen=True)
class WatchBatch(Record):
    """What one transaction recorded.

    `changes` are the edits that it found. `gone`: number of files that no longer exist. `sightings` and `revisions`: number of crawls and
    of states of pages that were not recorded before. `matches` counts new matches by relation.
    """

    files: tuple[RecordedFile, ...]
    faults: tuple[RecordedFault, ...]
    changes: tuple[Change, ...]
    gone: int
    sightings: int
    revisions: int
    matches: Mapping[str, int]

    @property
    def new(self) -> tuple[RecordedFile, ...]:
        """The files that are new."""
        return tuple(file for file in self.files if file.outcome == "new")

    @property
    def changed(self) -> tuple[RecordedFile, ...]:
        """The files whose content changed."""
        return tuple(file for file in self.files if file.outcome == "changed")
