"""Rows as they leave the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from dedup.model import AlertTopic, CheckStatus, Masking, Metadata, MismatchCause, PickleBySlots, Severity, SightingStatus, TimeSource


@dataclass(frozen=True, slots=True)
class FileStamp(PickleBySlots):
    """What tells one state of a file from another without reading it; inode as a signed 64-bit number."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


ARTICLE, FAULT, UNREAD, GONE = 1, 2, 3, 4
"""What a file was found to be: read as an article, read as a fault, not read, or no longer there."""

RecordedFile = tuple[bytes, int, int, int, int, int, int]
"""What a scan compares: (name, file, size, mtime_ns, inode, ctime_ns, one of the four above). A plain row: there are millions."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One path under a crawl directory as last recorded. `content_digest` None: it could not be read. `is_pruned`: it is gone, and so is
    the body that it held last. `reading_id`: the key of what it holds now, None for a fault. `reread_digest`: what of its content is still
    to be read again by the settings in force."""

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
    """One reading of a file, with the crawl that it showed. `crawled_at_source` is where this reading has the crawl time from."""

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
    """A stored state of a page: its revision, the text of that if it has one, and whether its body was pruned."""

    revision_id: int
    text_id: int | None
    is_pruned: bool


@dataclass(frozen=True, slots=True)
class StateBody:
    """Title and body of a state; of one that was pruned the `body` is None, and the digest of what it was (XXH3-128 of its UTF-8)
    is there."""

    title: str
    body: str | None
    pruned_at: str | None = None
    body_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class RetentionState:
    """A state of a page as a rule of retention sees it. `first_crawled_at` and `last_crawled_at` are the crawls that showed it and count
    (None: no such one), `last_seen_at` the last crawl of any standing; `is_current`: the page shows it now; `has_file`: a file that is
    there holds it."""

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
    """What a reading says of its sighting."""

    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    metadata_id: int
    metadata_digest: bytes
    crawled_at_source: TimeSource


class MergedReadings(NamedTuple):
    """What its readings make of a sighting."""

    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    metadata_id: int
    crawled_at_source: TimeSource


@dataclass(frozen=True, slots=True)
class StaleCandidate:
    """A counted reading whose claim is a digest, but not that of its own state."""

    id: int
    page_id: int
    sighting_id: int
    crawled_at: str
    revision_id: int
    claimed_digest: str
    cause: MismatchCause


class FirstCrawl(NamedTuple):
    """A revision with the digest of its state and the first counted crawl that showed it; `is_pruned`: its body was let go."""

    revision_id: int
    digest: bytes
    crawled_at: str
    is_pruned: int


@dataclass(frozen=True, slots=True)
class TextPages:
    """The first and the last page that show a text."""

    first_page_id: int
    last_page_id: int

    @property
    def has_several(self) -> bool:
        """Whether more pages than one show it."""
        return self.first_page_id != self.last_page_id


@dataclass(frozen=True, slots=True)
class SightingRow:
    """A sighting with what its page's history is worked out from."""

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
    """An article as shown: a page's sighting with its state, its metadata and where it was found."""

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
    """A distinct normalised text, with the body of the first revision that has it and what its house is known by."""

    id: int
    body: str
    publisher: str
    oid: str
    url: str


@dataclass(frozen=True, slots=True)
class BoilerplateRow:
    """A passage that a publisher's articles share: `passage` normalised, `example` as it stood in one of them; learned from
    `article_count` articles (0: entered by hand)."""

    name: str
    publisher: str
    passage: str
    example: str
    article_count: int
    status: Masking
    added_at: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One path's reading of one sighting."""

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
    """One counted state of a page. `check_rank`: 0 some sighting verified, 1 none but some unclaimed, 2 all mismatched."""

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
    """A stored change; `fields` is JSON, name → [before, after]. `body_similarity` None: a body was pruned before they were
    compared; `kind` None: it was not judged."""

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
    """A change as stored, by its later sighting: the earlier one, the two revisions, what it was worked out from (`page_history` None: it
    was never judged), and the judgement."""

    previous_sighting_id: int
    returned: bool
    fields: str
    page_history: str | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class ClassificationRow:
    """A stored judgement: columns `kind` to `classified_by` of a change."""

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
    """A change of a page with its judgement (`kind` None: it has none), as told in a feed; states are their digests; `silent` and
    `corrected` are 0 or 1; `parts`, `evidence` and `fields` are JSON."""

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
    """An alert as it is kept. `public_id` is what it is known by; `details` and `payload` are what its event brought (see
    dedup.rules.Event); `page_count`: it tells of an incident on so many pages."""

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
    """An alert on its way to a channel; `status` is pending, sent, dead or withdrawn, `digest_reason` why it is told together with
    others."""

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
    """A pending delivery whose due time was set when the clock was ahead; `is_retry`: it waits for another attempt."""

    id: int
    alert_id: int
    rule: str
    due_at: str
    digest_reason: str | None
    is_retry: bool
    scheduled_at: str


@dataclass(frozen=True, slots=True)
class OutstandingDeliveries:
    """Of one channel: deliveries that are pending, when the first of them is or was due, and those that are dead."""

    pending: int
    first_due_at: str | None
    dead: int


@dataclass(frozen=True, slots=True)
class ExistingAlert:
    """What an event that is met again has to know: of which rule an alert tells of it already, and how that stands; the channels that it
    was or will be sent to."""

    id: int
    rule: str
    withdrawn_at: str | None
    folded_into_id: int | None
    channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class IncidentState:
    """What was told last of an incident, how many times it was told by then, and whether a channel has taken it."""

    alert_id: int
    open_until: str
    report_count: int
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """What a revision is found by: `publishers` are the (publisher as printed, oid) of its crawls, `body` is None where it was pruned."""

    id: int
    digest: bytes
    title: str
    body: str | None
    url: str
    publishers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SearchHitRow:
    """A revision as search results show it, by its last counted crawl; `is_current`: its page shows it now, `body` is None where it was
    pruned."""

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
    """A crawl directory that the database knows: `file_count`: its files that are there; `gone_count`: those that are
    gone. `scanned_at`: the end of the last scan of all of it; `retired_at`: when it was retired."""

    id: int
    path: bytes
    file_count: int
    gone_count: int
    scanned_at: str | None
    retired_at: str | None
