"""Articles that share text: the answers of `Database.clusters` and `Database.pairs`."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.library.records import Record
from dedup.model import CheckStatus, Relation


@dataclass(frozen=True)
class Article(Record):
    """A revision of a page, and the file that shows it.

    `crawled_at` is ISO 8601 in UTC. `path` is escaped for display. `revision` is the ordinal among the page's revisions. `gone`: no
    existing file shows it. `crowded`: it may have more matches than were found. `pruned_at`: its text was deleted then.
    """

    id: str | None
    url: str
    title: str
    publisher: str
    published_at: str | None
    crawled_at: str
    path: str
    revision: int | None
    check_status: CheckStatus
    gone: bool
    crowded: bool
    pruned_at: str | None


@dataclass(frozen=True)
class Match(Record):
    """The relation of two texts and its measures.

    `similarity`: Jaccard similarity of the shingles. `containment`: share of the smaller set of shingles in the larger. `coverage`: share
    of the shorter text in common passages; `shared_characters` is its length, and `longest_passage` that of the longest one, in letters
    and digits; both are None for exact copies. `quoted_share`: share of the common passages inside quotation marks.
    `masked_boilerplate`: names of the boilerplate that was ignored.
    """

    similarity: float
    containment: float
    relation: Relation
    coverage: float
    shared_characters: int | None
    longest_passage: int | None
    quoted_share: float
    masked_boilerplate: tuple[str, ...]


@dataclass(frozen=True)
class ClosestRevisions(Record):
    """The revisions of two pages that are most similar, by their ordinals."""

    a_revision: int
    b_revision: int
    relation: Relation
    similarity: float
    coverage: float


@dataclass(frozen=True)
class Member(Match, Article):
    """An article of a cluster, and its match with the representative.

    `lag_seconds`: how much later than the representative it was published. `via_url`: page whose text connects the two, if they do not
    match directly.
    """

    lag_seconds: float | None
    via_url: str | None
    closest_revisions: ClosestRevisions | None


@dataclass(frozen=True)
class Cluster(Record):
    """A representative and the articles on other pages that match it."""

    representative: Article
    members: tuple[Member, ...]


@dataclass(frozen=True)
class _TwoArticles(Record):
    a: Article
    b: Article


@dataclass(frozen=True)
class Pair(Match, _TwoArticles):
    """Two articles `a` and `b` on different pages that match."""

    closest_revisions: ClosestRevisions | None


@dataclass(frozen=True)
class PairWithPassages(Pair):
    """A pair with its shared passages, each (begin in a, end in a, begin in b, end in b) in code points. None: a text was pruned."""

    passages: tuple[tuple[int, ...], ...] | None
