"""Edits of pages: the answers of `Database.changes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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

    `kind` and `severity` are None if the change is not classified. `before_state` and `after_state` (`from` and `to` in JSON) are state
    digests. `fields` are the metadata that differ. `incident` identifies an edit that is listed once for `pages` pages.
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
    before_state: str = field(metadata={"key": "from"})
    after_state: str = field(metadata={"key": "to"})
    body_similarity: float | None
    title_before: str
    fields: Mapping[str, BeforeAfter]
    incident: str | None
    pages: int
