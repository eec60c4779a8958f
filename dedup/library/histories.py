"""The history of a page: the answer of `Database.history`."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.library.records import Record
from dedup.model import ChangeKind, CheckStatus, MismatchCause, Severity, SightingStatus, TimeSource


@dataclass(frozen=True)
class Revision(Record):
    """One distinct state of a page. `revision` is its ordinal, `digest` its identity, `sightings` the number of crawls that showed it."""

    revision: int
    title: str
    state_digest: str
    check_status: CheckStatus
    first_crawled_at: str
    last_crawled_at: str
    sightings: int
    pruned_at: str | None


@dataclass(frozen=True)
class TimelineEntry(Record):
    """One crawl of a page. `revision` is None if the crawl does not count; `status` says why."""

    crawled_at: str
    revision: int | None
    path: str
    check_status: CheckStatus
    check_cause: MismatchCause | None
    status: SightingStatus
    crawled_at_source: TimeSource
    gone: bool


@dataclass(frozen=True)
class StateChange(Record):
    """A change of title or body. `returned`: the later revision had been shown before."""

    from_revision: int
    to_revision: int
    at: str
    title_changed: bool
    body_similarity: float | None
    returned: bool
    kind: ChangeKind | None
    severity: Severity | None
    silent: bool
    corrected: bool


@dataclass(frozen=True)
class MetadataChange(Record):
    """A change of one metadata field."""

    at: str
    field: str
    before: str
    after: str


@dataclass(frozen=True)
class History(Record):
    """The revisions, crawls and changes of a page, ordered by crawl time. `aliases` are other URLs that files print for it."""

    url: str
    aliases: tuple[str, ...]
    revisions: tuple[Revision, ...]
    timeline: tuple[TimelineEntry, ...]
    changes: tuple[StateChange, ...]
    metadata_changes: tuple[MetadataChange, ...]
