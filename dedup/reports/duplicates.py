"""Who ran the same text: clusters, pairs, and both as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dedup import store
from dedup.model import ALIKE, RELATIONS, Numbers, Relation
from dedup.similarity.clustering import EXACT, Graph, Link, precedence
from dedup.similarity.overlap import spans
from dedup.store import Database
from dedup.store.rows import ArticleRow
from dedup.text import times
from dedup.text.publishers import Publishers

NUMBERS = ("similarity", "containment", "relation", "coverage", "shared", "longest", "quoted", "masked")
"""What `told` tells of a match."""
CLOSEST = ("closest_a", "closest_b", "closest_relation", "closest_coverage")
"""What `closest` tells, as columns."""
ARTICLE = ("id", "url", "title", "publisher", "published_at", "crawled_at", "path", "revision", "check", "gone", "crowded", "pruned_at")
"""What `article` tells."""
RESEMBLANCE_COLUMNS = (*ARTICLE, *NUMBERS)
CLUSTER_COLUMNS = ("cluster", *ARTICLE, *NUMBERS, "lag_seconds", "via", *CLOSEST)
PAIR_COLUMNS = (*(f"{side}_{name}" for side in ("a", "b") for name in ARTICLE), *NUMBERS, *CLOSEST)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which duplicates to tell of; the empty filter tells of all."""

    kinds: frozenset[str] = frozenset()
    since: str | None = None
    publisher: str | None = None
    min_similarity: float = 0.0
    every_revision: bool = False
    publishers: Publishers = field(default_factory=Publishers)

    def pair(self, a: ArticleRow, b: ArticleRow, link: Link) -> bool:
        """Whether a pair is told of: `since` counts the later crawl of the two, `publisher` either, by any name of its house."""
        return (
            self.link(link)
            and (self.since is None or max(a.crawled_at, b.crawled_at) >= self.since)
            and (self.publisher is None or self._is_by(a) or self._is_by(b))
        )

    def _is_by(self, article: ArticleRow) -> bool:
        return self.publishers.is_by(self.publisher or "", article.publisher, article.oid, article.url)

    def link(self, link: Link) -> bool:
        return (not self.kinds or link.relation in self.kinds) and link.similarity >= self.min_similarity


def article(database: Database, row: ArticleRow) -> dict[str, Any]:
    """An article as every command shows it."""
    numbers = [r.digest for r in store.revisions.of_page(database, row.page_id)]
    return {
        "id": row.id,
        "url": row.url,
        "title": row.title,
        "publisher": row.publisher,
        "published_at": row.published_at,
        "crawled_at": row.crawled_at,
        "path": row.path,
        "revision": numbers.index(row.digest) + 1 if row.digest in numbers else None,
        "check": row.check_status,
        "gone": row.gone,
        "crowded": row.crowded,
        "pruned_at": row.pruned_at,
    }


def clusters(database: Database, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The stars: a representative and every article that matches it, in the order of the representatives. Excerpts and quotes make
    no clusters; `pairs` tells them."""
    for star in _graph(database, wanted).stars(wanted.link):
        if any(wanted.pair(star.representative, other, link) for other, link, _ in star.members):
            yield {
                "representative": article(database, star.representative),
                "members": [_member(database, star.representative, *m) for m in star.members],
            }


def _graph(database: Database, wanted: Filter) -> Graph[ArticleRow]:
    """The matches between articles: each page's current one, or every revision."""
    return Graph(store.matches.matched_articles(database, every=wanted.every_revision), store.matches.list_all(database))


def _member(database: Database, representative: ArticleRow, row: ArticleRow, link: Link, way: int | None) -> dict[str, Any]:
    lag = None
    if representative.published_at and row.published_at:
        lag = times.seconds_between(representative.published_at, row.published_at)
    via = None if way is None else store.texts.url(database, way)
    best = closest(database, representative.page_id, row.page_id)
    return {**article(database, row), **told(link.relation, link.numbers), "lag_seconds": lag, "via": via, "closest": best}


def told(relation: Relation, n: Numbers) -> dict[str, Any]:
    """What was measured of a match, as every command shows it."""
    return {
        "similarity": round(n.similarity, 4),
        "containment": round(n.containment, 4),
        "relation": relation,
        "coverage": round(n.coverage, 4),
        "shared": None if relation == "exact" else n.shared,
        "longest": None if relation == "exact" else n.longest,
        "quoted": round(n.quoted, 4),
        "masked": list(n.masked),
    }


def pairs(database: Database, wanted: Filter, *, passages: bool = False) -> Iterator[dict[str, Any]]:
    """Every pair of articles of different pages that match, `exact` ones first, each once; with the places of the passages they
    share, if asked for."""
    for a, b, link in _pairs(database, wanted):
        told = _pair(database, a, b, link)
        yield with_passages(database, told, a, b) if passages else told


def _pairs(database: Database, wanted: Filter) -> Iterator[tuple[ArticleRow, ArticleRow, Link]]:
    graph = _graph(database, wanted)
    for group in graph.by_text.values():
        for i, a in enumerate(group):
            for b in group[i + 1 :]:
                if a.page_id != b.page_id and wanted.pair(a, b, EXACT):
                    yield a, b, EXACT
    for p in sorted(graph.matches, key=lambda p: (RELATIONS.index(p.relation), -p.numbers.coverage, -p.numbers.similarity, p.a, p.b)):
        link = Link(p.relation, p.numbers)
        for a in graph.by_text[p.a]:
            for b in graph.by_text[p.b]:
                if a.page_id != b.page_id and wanted.pair(a, b, link):
                    first, second = sorted((a, b), key=precedence)
                    yield first, second, link


def _pair(database: Database, a: ArticleRow, b: ArticleRow, link: Link) -> dict[str, Any]:
    best = closest(database, a.page_id, b.page_id)
    return {"a": article(database, a), "b": article(database, b), **told(link.relation, link.numbers), "closest": best}


def with_passages(database: Database, pair: dict[str, Any], a: ArticleRow, b: ArticleRow) -> dict[str, Any]:
    """A pair with the passages that its bodies share: [begin, end, begin, end] in code points of the one and the other. None where
    a body was pruned."""
    one, other = store.revisions.body_of_state(database, a.page_id, a.digest), store.revisions.body_of_state(database, b.page_id, b.digest)
    found = None if one is None or other is None else spans.passages(one, other)
    return {**pair, "passages": None if found is None else [[p.a_begin, p.a_end, p.b_begin, p.b_end] for p in found]}


def closest(database: Database, a: int | None, b: int | None) -> dict[str, Any] | None:
    """Which revisions of two pages are closest, the best relation first, then by coverage and similarity: which state of a page
    the other one copied. None where no two match."""
    if a is None or b is None or a == b:
        return None
    found = [
        (RELATIONS.index(m.relation), -m.numbers.coverage, -m.numbers.similarity, x, y, m) if m else (0, -1.0, -1.0, x, y, None)
        for x, y, m in store.matches.between_pages(database, a, b)
    ]
    numbers = [[r.digest for r in store.revisions.of_page(database, page)] for page in (a, b)]
    found = [row for row in found if row[3] in numbers[0] and row[4] in numbers[1]]
    if not found:
        return None
    order, _, _, x, y, m = min(found, key=lambda row: (*row[:3], numbers[0].index(row[3]), numbers[1].index(row[4])))
    n = m.numbers if m else ALIKE
    return {
        "a": numbers[0].index(x) + 1,
        "b": numbers[1].index(y) + 1,
        "relation": RELATIONS[order],
        "similarity": round(n.similarity, 4),
        "coverage": round(n.coverage, 4),
    }


def flat_clusters(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Clusters as rows for CSV: the representative first, then its members."""
    for number, cluster in enumerate(found, 1):
        none = dict.fromkeys((*NUMBERS, *CLOSEST, "lag_seconds", "via"), "") | {"relation": "representative"}
        yield {"cluster": number, **cluster["representative"], **none}
        for member in cluster["members"]:
            yield {"cluster": number, **flat(member)}


def flat_pairs(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pairs as rows for CSV: `a_url`, `b_url` and so on."""
    for pair in found:
        sides = {f"{side}_{key}": value for side in ("a", "b") for key, value in pair[side].items()}
        yield {**sides, **flat({k: v for k, v in pair.items() if k not in ("a", "b")})}


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A match as a row for CSV."""
    best = row.get("closest") or {}
    told = {k: v for k, v in row.items() if k not in ("closest", "passages")}
    return {**told, "masked": " ".join(row["masked"]), **{name: best.get(name.removeprefix("closest_"), "") for name in CLOSEST}}
