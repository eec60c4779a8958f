"""Why two articles match or do not: the answer of `Database.explain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dedup.library.articles import ClosestRevisions
from dedup.library.records import Record
from dedup.model import Relation


@dataclass(frozen=True)
class ComparedArticle(Record):
    """One of the two articles. `publisher` is the canonical name. `revision` is None for a file that is not recorded, `path` for a page."""

    url: str
    title: str
    publisher: str
    publisher_printed: str
    revision: int | None
    path: str | None
    characters: int


@dataclass(frozen=True)
class SharedCounts(Record):
    """How many `a` has, how many `b` has, and how many both have."""

    a: int
    b: int
    shared: int


@dataclass(frozen=True)
class Bands(Record):
    """LSH bands of the two signatures that are equal, of how many."""

    shared: int
    total: int
    rows_per_band: int


@dataclass(frozen=True)
class Passage(Record):
    """A common passage: (begin, end) in `a` and in `b` in code points, its letters and digits, and its text in `a`."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    characters: int
    text: str


@dataclass(frozen=True)
class MaskedPassage(Record):
    """A passage of boilerplate that was ignored."""

    name: str
    text: str


@dataclass(frozen=True)
class MaskedBoilerplate(Record):
    """The boilerplate of one article: the number of ignored characters, and its passages."""

    characters: int
    passages: tuple[MaskedPassage, ...]


@dataclass(frozen=True)
class TwoMasks(Record):
    """The ignored boilerplate of both articles."""

    a: MaskedBoilerplate
    b: MaskedBoilerplate


@dataclass(frozen=True)
class Explanation(Record):
    """The relation of two articles with its reason in one sentence, and the measurements behind it.

    `relation` is None if they do not match. `recorded_relation` is the match in the database. `thresholds` are the settings of
    `[duplicates]`.
    """

    a: ComparedArticle
    b: ComparedArticle
    relation: Relation | None
    recorded_relation: Relation | None
    reason: str
    similarity: float
    containment: float
    coverage: float
    shared_characters: int
    longest_passage: int
    quoted_share: float
    shingles: SharedCounts
    bands: Bands
    fingerprints: SharedCounts
    passages: tuple[Passage, ...]
    masked_boilerplate: TwoMasks
    closest_revisions: ClosestRevisions | None
    thresholds: Mapping[str, Any]
