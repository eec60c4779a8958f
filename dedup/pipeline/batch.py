"""A batch of extracted files on its way into the database: what its steps share, and the rows that they pass on.

The steps run in this order: `record_files`, `record_pages`, `record_sightings`, `record_texts`, and the rest of `record`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dedup.matching.matcher import Matcher
from dedup.model import Article, CheckStatus, Fault, FileOutcome, MismatchCause, SightingStatus, TimeSource
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.events import Policy
from dedup.pipeline.extract import Extraction
from dedup.store import Database, Transaction
from dedup.store.files import FilePath
from dedup.store.rows import FileRow
from dedup.text import sanitise

Report = Callable[[str, str], None]
"""Receives the kind of a noteworthy event and one line that describes it."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file whose article was recorded, with the canonical URL of its page and the result of its check. `path` is escaped for display."""

    path: str
    url: str
    crawled_at: str
    outcome: FileOutcome
    check_status: CheckStatus
    check_cause: MismatchCause | None


@dataclass(frozen=True, slots=True)
class RecordedFault:
    """A file or folder that could not be read as an article. `path` is escaped for display."""

    path: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """What one committed transaction recorded. `changed_sightings` are the later sightings of the changes that it found."""

    counts: ScanCounts = field(default_factory=ScanCounts)
    files: list[RecordedFile] = field(default_factory=list)
    faults: list[RecordedFault] = field(default_factory=list)
    changed_sightings: list[int] = field(default_factory=list)


BatchListener = Callable[[CommittedBatch], None]


class IdAllocator:
    """Allocates ids for rows that are not written yet. Each table's ids continue from the largest that was stored at the first request."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counters: dict[str, Iterator[int]] = {}

    def next_id(self, table: str) -> int:
        if table not in self._counters:
            self._counters[table] = itertools.count(self._database.next_id(table))
        return next(self._counters[table])


@dataclass(frozen=True, slots=True)
class BatchContext:
    """Values shared by the steps of one batch. Steps add to `counts` and send each noteworthy event to `report` (None: nothing listens).
    `committed` collects what is recorded (None: nothing listens); its counts are `counts`.

    Files in `suppressed_directories` raise no alerts. `now` is the time at which the batch is recorded.
    """

    transaction: Transaction
    ids: IdAllocator
    matcher: Matcher
    policy: Policy
    counts: ScanCounts
    report: Report | None
    suppressed_directories: Collection[int]
    now: str
    committed: CommittedBatch | None = None


class FileArticle(NamedTuple):
    """An article that a file holds, with the file's id and its row before this batch (None: a new file).

    `is_unchanged`: the article is recorded and the file still has the same bytes; it is recorded once more because settings changed or
    its body was pruned. `is_reread`: the bytes are recorded, and only their interpretation may differ. `is_copy`: the file was not read;
    another file with the same bytes was.
    """

    extraction: Extraction
    article: Article
    url: str
    file_id: int
    file_row: FileRow | None
    is_unchanged: bool = False
    is_reread: bool = False
    is_copy: bool = False


class ArticleKeys(NamedTuple):
    """The rows of its page that an article belongs to.

    `is_known_page`: the page was stored before this batch. `text_id` is the text that the revision has so far. `is_pruned`: the
    revision is stored, but its body was pruned.
    """

    page_id: int
    is_known_page: bool
    alias_id: int
    metadata_id: int
    metadata_digest: bytes
    revision_id: int
    text_id: int | None
    is_pruned: bool
    crawled_at: str
    crawled_at_source: TimeSource


class BatchReading(NamedTuple):
    """A reading to store: an article, its keys, the sighting that it supports, and the result of its checks.

    `is_new_sighting`: this is the first reading of a sighting that was not stored before this batch.
    """

    source: FileArticle
    keys: ArticleKeys
    sighting_id: int
    is_new_sighting: bool
    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None


def file_path(extraction: Extraction) -> FilePath:
    """Return the path of an extracted file as the store's key."""
    return extraction.file.directory_id, extraction.file.folder, extraction.file.name


def printable_relative_path(extraction: Extraction) -> str:
    """Return the path of an extracted file relative to its crawl directory, escaped for display."""
    return sanitise.to_printable_path(extraction.file.relative_path)
