"""Edits of pages: the answers of `Database.changes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dedup.library.records import Record
from dedup.model import ChangeKind, Severity


@dataclass(frozen=True)
class Evidence(Record):
    """A piece of what changed: its kind, and the words before and after."""

    kind: str
    before: str
    after: str


@dataclass(frozen=True)
class BeforeAfter(Record):
    """A value before and after a change."""

    before: str
    after: str


@dataclass(frozen=True)
class Change(Record):
    """The difference between two successive crawls of a page.

    `kind` and `severity` are None if the change is not classified. `fields` are the metadata that differ. `incident` identifies an edit
    that is listed once for `page_count` pages.
    """

    url: str
    title: str
    publisher: str
    at: str
    previous_at: str
    kind: ChangeKind | None
    severity: Severity | None
    silent: bool
    corrected: bool
    parts: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    state_digest_before: str
    state_digest_after: str
    body_similarity: float | None
    title_before: str
    fields: Mapping[str, BeforeAfter]
    incident: str | None
    page_count: int
