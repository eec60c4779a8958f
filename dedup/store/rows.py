"""Rows that the store returns: one type for each table or query. Each docstring names its source.

Fields that hold JSON text say so. Times are ISO 8601 in UTC. Digests are raw bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from dedup.model import AlertTopic, CheckStatus, Masking, Metadata, MismatchCause, PickleBySlots, Severity, SightingStatus, TimeSource


@dataclass(frozen=True, slots=True)
class FileStamp(PickleBySlots):
    """Columns of `files` that show without reading a file whether it changed. `inode` is a signed 64-bit number."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


ARTICLE, FAULT, UNREAD, GONE = 1, 2, 3, 4
"""Outcome of a file in `files`: read as an article, a fault, not read, or gone."""

RecordedFile = tuple[bytes, int, int, int, int, int, int]
"""A row of `files` as a scan compares it: (name, id, size, mtime_ns, inode, ctime_ns, one of the four outcomes above). A plain tuple,
because there are millions of them."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of `files` as last recorded, with its entry in `reread_queue`.

    `content_digest` is None if the file could not be read. `is_pruned`: the file is gone and the body that it held last was pruned.
    `reading_id` is the current reading, None for a fault. `reread_digest` is the content digest of its entry in the queue, None if
    it is not queued.
    """

    id: int
    stamp: FileStamp
    content_digest: bytes | None
    is_article: bool
    is_gone: bool
    is_pruned: bool = False
    reading_id: int | None = None
    reread_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class FileReadingRow:
    """A row of `readings` with the page, crawl time and revision of its sighting. `crawled_at_source` is that of the reading."""

    id: int
    sighting_id: int
    check_status: CheckStatus
    status: SightingStatus
    page_id: int
    crawled_at: str
    crawled_at_source: TimeSource
    revision_id: int


@dataclass(frozen=True, slots=True)
class ExistingState:
    """A row of `revisions`, looked up by page and state digest."""

    revision_id: int
    text_id: int | None
    is_pruned: bool


@dataclass(frozen=True, slots=True)
class StateBody:
    """Title and body of a row of `revisions`.

    If the body was pruned, `body` is None and `body_digest` is the XXH3-128 of the deleted body in UTF-8.
    """

    title: str
    body: str | None
    pruned_at: str | None = None
    body_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class RetentionState:
    """A row of `revisions` with its sightings and files, as retention rules see it (query of `store.prune.states`).

    `first_crawled_at` and `last_crawled_at` are its counted crawls (None: there is none), `last_seen_at` is its last crawl of any
    status. `is_current`: the page shows it now. `has_file`: an existing file holds it.
    """

    page_id: int
    revision_id: int
    digest: bytes
    first_crawled_at: str | None
    last_crawled_at: str | None
    last_seen_at: str
    is_current: bool
    has_file: bool
    is_pruned: bool


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """Columns of `readings` that decide what its sighting is, with the digest of its metadata."""

    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    metadata_id: int
    metadata_digest: bytes
    crawled_at_source: TimeSource


class MergedReadings(NamedTuple):
    """Columns of `sightings` that are derived from all readings of the sighting."""

    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    metadata_id: int
    crawled_at_source: TimeSource


@dataclass(frozen=True, slots=True)
class StaleCandidate:
    """A counted row of `readings` that is `altered` or `stale`, with its sighting: the claim is a digest, but not of its own state."""

    id: int
    page_id: int
    sighting_id: int
    crawled_at: str
    revision_id: int
    claimed_digest: str
    cause: MismatchCause


class FirstCrawl(NamedTuple):
    """A row of `revisions` with its first counted crawl. `is_pruned` is 0 or 1."""

    revision_id: int
    digest: bytes
    crawled_at: str
    is_pruned: int


@dataclass(frozen=True, slots=True)
class TextPages:
    """The lowest and the highest page id among the `revisions` of a text."""

    first_page_id: int
    last_page_id: int

    @property
    def has_several(self) -> bool:
        """Return whether at least two pages show the text."""
        return self.first_page_id != self.last_page_id


@dataclass(frozen=True, slots=True)
class SightingRow:
    """A row of `sightings` with its state digest and its tracked metadata: what a page's history is computed from."""

    id: int
    crawled_at: str
    revision_id: int
    digest: bytes
    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class ArticleRow:
    """A sighting with its page, revision, metadata and a path that showed it (`store.texts.ARTICLE_QUERIES`).

    `path` is printable. `is_gone`: no existing file shows the sighting. `publisher` is the printed one.
    """

    page_id: int
    url: str
    text_id: int | None
    digest: bytes
    title: str
    publisher: str
    published_at: str | None
    crawled_at: str
    article_id: str | None
    check_status: CheckStatus
    path: str
    is_gone: bool
    crowded: bool
    oid: str
    pruned_at: str | None


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row of `texts` with a body that has the text, and printed publisher, oid and URL of its first sighting."""

    id: int
    body: str
    publisher: str
    oid: str
    url: str


@dataclass(frozen=True, slots=True)
class BoilerplateRow:
    """A row of `boilerplate` with the canonical name of its publisher.

    `passage` is normalised, `example` is as printed. `article_count` is the number of articles that it was learned from, 0 if it was
    added by hand.
    """

    name: str
    publisher: str
    passage: str
    example: str
    article_count: int
    status: Masking
    added_at: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A row of `sightings` with the check and the printable path of one of its readings."""

    sighting_id: int
    crawled_at: str
    crawled_at_source: str
    revision_id: int
    digest: bytes
    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    path: str
    is_gone: bool


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """A row of `revisions` with its counted sightings.

    `check_rank` is 0 if a sighting is verified, 1 if none is verified but one is unclaimed, 2 if all are mismatched.
    """

    id: int
    digest: bytes
    title: str
    first_crawled_at: str
    last_crawled_at: str
    sighting_count: int
    check_rank: int
    pruned_at: str | None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A row of `changes` with the revisions of its two sightings, as histories show it.

    `fields` is JSON, name → [before, after]. `body_similarity` is None if a body was pruned before the comparison. `kind` is None if
    the change is not classified.
    """

    from_revision_id: int
    to_revision_id: int
    at: str
    title_changed: bool
    body_changed: bool
    body_similarity: float | None
    returned: bool
    fields: str
    kind: str | None
    severity: str | None
    silent: bool
    corrected: bool


@dataclass(frozen=True, slots=True)
class StoredChange:
    """Columns of `changes` that decide whether a stored change is still right.

    `fields` and `page_history` are JSON. `page_history` is None if the change was never classified.
    """

    previous_sighting_id: int
    returned: bool
    fields: str
    page_history: str | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class ClassificationRow:
    """Columns `kind` to `classified_by` of `changes`. All None and 0: not classified."""

    kind: str | None = None
    severity: str | None = None
    parts: str | None = None
    evidence: str | None = None
    silent: int = 0
    corrected: int = 0
    edit_digest: bytes | None = None
    page_history: str | None = None
    classified_by: str | None = None


@dataclass(frozen=True, slots=True)
class ClassifiedChange:
    """A row of `changes` with its page, its two sightings and their revisions, as lists of changes show it.

    `state_before` and `state` are state digests. `silent` and `corrected` are 0 or 1. `parts`, `evidence` and `fields` are JSON.
    `kind` is None if the change is not classified.
    """

    sighting_id: int
    page_id: int
    url: str
    publisher: str
    oid: str
    at: str
    previous_at: str
    title_before: str
    title: str
    state_before: bytes
    state: bytes
    kind: str | None
    severity: str | None
    parts: str | None
    evidence: str | None
    silent: int
    corrected: int
    edit_digest: bytes | None
    fields: str
    body_similarity: float | None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """A row of `alerts`, its JSON decoded. `details` and `payload` are those of its event, see `dedup.rules.Event`."""

    id: int
    public_id: str
    rule: str
    event_key: str
    topic: AlertTopic
    kind: str
    severity: Severity
    url: str
    title: str
    publisher: str
    at: str
    details: dict[str, Any]
    payload: dict[str, Any]
    created_at: str
    withdrawn_at: str | None = None
    incident: str | None = None
    page_count: int | None = None
    open_until: str | None = None
    folded_into_id: int | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A row of `deliveries` with the rule of its alert."""

    id: int
    alert_id: int
    rule: str
    channel: str
    status: str
    due_at: str
    digest_reason: str | None
    attempts: int
    first_attempt_at: str | None
    last_attempt_at: str | None
    last_error: str | None
    sent_at: str | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class MistimedDelivery:
    """A pending row of `deliveries` that was scheduled by a clock that was ahead. `is_retry`: an attempt to send it failed before."""

    id: int
    alert_id: int
    rule: str
    due_at: str
    digest_reason: str | None
    is_retry: bool
    scheduled_at: str


@dataclass(frozen=True, slots=True)
class OutstandingDeliveries:
    """Pending and dead `deliveries` of one channel, and the earliest due time of the pending ones."""

    pending: int
    first_due_at: str | None
    dead: int


@dataclass(frozen=True, slots=True)
class ExistingAlert:
    """A row of `alerts`, looked up by its event, with the channels of its deliveries."""

    id: int
    rule: str
    withdrawn_at: str | None
    folded_into_id: int | None
    channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class IncidentState:
    """The latest row of `alerts` that reports an incident.

    `report_count` is the number of alerts that reported the incident so far. `is_sent`: a channel accepted the latest one.
    """

    alert_id: int
    open_until: str
    report_count: int
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """A row of `revisions` with its page's URL and its publishers, as the search index needs it.

    `publishers` holds each (printed publisher, oid) of its sightings. `body` is None if it was pruned.
    """

    id: int
    digest: bytes
    title: str
    body: str | None
    url: str
    publishers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SearchHitRow:
    """A row of `revisions` with its page, its last counted sighting and the metadata of that, as search results need it.

    `is_current`: the page shows it now. `body` is None if it was pruned. `publisher` is the printed one.
    """

    id: int
    url: str
    digest: bytes
    title: str
    body: str | None
    pruned_at: str | None
    publisher: str
    oid: str
    crawled_at: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """A row of `crawl_directories` with the number of its existing files and of its files that are gone."""

    id: int
    path: bytes
    file_count: int
    gone_count: int
    scanned_at: str | None
    retired_at: str | None
