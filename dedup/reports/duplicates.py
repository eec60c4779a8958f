"""Who ran the same text: clusters, pairs, and both as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dedup import times
from dedup.model import ALIKE, CLUSTERED, RELATIONS, Match, Numbers, Relation
from dedup.overlap import places
from dedup.publishers import Publishers
from dedup.store import ArticleRow, Reader

NUMBERS = ("similarity", "containment", "relation", "coverage", "shared", "longest", "quoted", "masked")
"""What `told` tells of a match."""
CLOSEST = ("closest_a", "closest_b", "closest_relation", "closest_coverage")
"""What `closest` tells, as columns."""
ARTICLE = ("id", "url", "title", "publisher", "published_at", "crawled_at", "path", "revision", "check", "gone", "crowded", "pruned_at")
"""What `article` tells."""
RESEMBLANCE_COLUMNS = (*ARTICLE, *NUMBERS)
CLUSTER_COLUMNS = ("cluster", *ARTICLE, *NUMBERS, "lag_seconds", "via", *CLOSEST)
CHECKS = ("verified", "unclaimed", "mismatched")
"""By how much is known of an article."""
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

    def pair(self, a: ArticleRow, b: ArticleRow, link: _Link) -> bool:
        """Whether a pair is told of: `since` counts the later crawl of the two, `publisher` either, by any name of its house."""
        return (
            self.link(link)
            and (self.since is None or max(a.crawled_at, b.crawled_at) >= self.since)
            and (self.publisher is None or self._is_by(a) or self._is_by(b))
        )

    def _is_by(self, article: ArticleRow) -> bool:
        return self.publishers.is_by(self.publisher or "", article.publisher, article.oid, article.url)

    def link(self, link: _Link) -> bool:
        return (not self.kinds or link.relation in self.kinds) and link.similarity >= self.min_similarity


@dataclass(frozen=True, slots=True)
class _Link:
    relation: Relation
    numbers: Numbers

    @property
    def similarity(self) -> float:
        return self.numbers.similarity


_EXACT = _Link("exact", ALIKE)


class _Graph:
    """The matches between articles: each page's current one, or every revision; articles by text, texts by text."""

    def __init__(self, store: Reader, *, every: bool) -> None:
        self.store = store
        self.articles = sorted(store.matched_articles(every=every), key=_precedence)
        self.by_text: dict[int, list[ArticleRow]] = {}
        for article in self.articles:
            if article.text_id is not None:
                self.by_text.setdefault(article.text_id, []).append(article)
        self.links: dict[int, list[tuple[int, _Link]]] = {}
        self.pairs: list[Match] = []
        for m in store.pairs():
            link = _Link(m.relation, m.numbers)
            self.links.setdefault(m.a, []).append((m.b, link))
            self.links.setdefault(m.b, []).append((m.a, link))
            if m.a in self.by_text and m.b in self.by_text:
                self.pairs.append(m)

    def matches(self, article: ArticleRow) -> Iterator[tuple[ArticleRow, _Link]]:
        """Every article of another page that a cluster with this one would hold."""
        if article.text_id is None:
            return
        for text, link in ((article.text_id, _EXACT), *self._clustered(article.text_id)):
            for other in self.by_text.get(text, ()):
                if other.page_id != article.page_id:
                    yield other, link

    def star(self, representative: ArticleRow) -> Iterator[tuple[ArticleRow, _Link, int | None]]:
        """Every article that matches this one; and, by way of one text that does, those of its matches that were compared with
        few of the texts they share a bucket with: those that are crowded, or all where the representative is. The third value
        is that way, which may be a text that no page shows any more."""
        direct = list(self.matches(representative))
        there = {representative.text_id, *(other.text_id for other, _ in direct)}
        yield from ((other, link, None) for other, link in direct)
        for way, _ in self._clustered(representative.text_id or 0):
            for text, link in self._clustered(way):
                shown = self.by_text.get(text, ())
                if text not in there and shown and (shown[0].crowded or representative.crowded):
                    there.add(text)
                    yield from ((other, link, way) for other in shown if other.page_id != representative.page_id)

    def _clustered(self, text: int) -> Iterator[tuple[int, _Link]]:
        return (found for found in self.links.get(text, ()) if found[1].relation in CLUSTERED)


def _precedence(article: ArticleRow) -> tuple[int, bool, str, str, str]:
    return (
        CHECKS.index(article.check_status),
        article.published_at is None,
        article.published_at or "",
        article.crawled_at,
        article.url,
    )


def article(store: Reader, row: ArticleRow) -> dict[str, Any]:
    """An article as every command shows it."""
    numbers = [r.digest for r in store.revisions(row.page_id)]
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


def clusters(store: Reader, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The stars: a representative and every article that matches it, in the order of the representatives.

    An article that no star covers yet opens one. A mismatched one leaves that to the first of its matches that is not.
    Excerpts and quotes make no clusters; `pairs` tells them.
    """
    graph = _Graph(store, every=wanted.every_revision)
    covered: set[tuple[int, bytes]] = set()
    for opener in graph.articles:
        if (opener.page_id, opener.digest) in covered:
            continue
        star = [m for m in graph.star(opener) if wanted.link(m[1])]
        if not star:
            continue
        representative = opener
        if opener.check_status == "mismatched":
            representative = min((opener, *(other for other, _, way in star if way is None)), key=_precedence)
            star = [m for m in graph.star(representative) if wanted.link(m[1])]
        covered.update((a.page_id, a.digest) for a in (representative, *(other for other, _, _ in star)))
        if any(wanted.pair(representative, other, link) for other, link, _ in star):
            star.sort(key=lambda m: _precedence(m[0])[1:])
            yield {
                "representative": article(store, representative),
                "members": [_member(store, representative, *m) for m in star],
            }


def _member(store: Reader, representative: ArticleRow, row: ArticleRow, link: _Link, way: int | None) -> dict[str, Any]:
    lag = None
    if representative.published_at and row.published_at:
        lag = times.seconds_between(representative.published_at, row.published_at)
    via = None if way is None else store.url_of_text(way)
    best = closest(store, representative.page_id, row.page_id)
    return {**article(store, row), **told(link.relation, link.numbers), "lag_seconds": lag, "via": via, "closest": best}


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


def pairs(store: Reader, wanted: Filter, *, passages: bool = False) -> Iterator[dict[str, Any]]:
    """Every pair of articles of different pages that match, `exact` ones first, each once; with the places of the passages they
    share, if asked for."""
    for a, b, link in _pairs(store, wanted):
        told = _pair(store, a, b, link)
        yield with_passages(store, told, a, b) if passages else told


def _pairs(store: Reader, wanted: Filter) -> Iterator[tuple[ArticleRow, ArticleRow, _Link]]:
    graph = _Graph(store, every=wanted.every_revision)
    for group in graph.by_text.values():
        for i, a in enumerate(group):
            for b in group[i + 1 :]:
                if a.page_id != b.page_id and wanted.pair(a, b, _EXACT):
                    yield a, b, _EXACT
    for p in sorted(graph.pairs, key=lambda p: (RELATIONS.index(p.relation), -p.numbers.coverage, -p.numbers.similarity, p.a, p.b)):
        link = _Link(p.relation, p.numbers)
        for a in graph.by_text[p.a]:
            for b in graph.by_text[p.b]:
                if a.page_id != b.page_id and wanted.pair(a, b, link):
                    first, second = sorted((a, b), key=_precedence)
                    yield first, second, link


def _pair(store: Reader, a: ArticleRow, b: ArticleRow, link: _Link) -> dict[str, Any]:
    best = closest(store, a.page_id, b.page_id)
    return {"a": article(store, a), "b": article(store, b), **told(link.relation, link.numbers), "closest": best}


def with_passages(store: Reader, pair: dict[str, Any], a: ArticleRow, b: ArticleRow) -> dict[str, Any]:
    """A pair with the passages that its bodies share: [begin, end, begin, end] in code points of the one and the other. None where
    a body was pruned."""
    one, other = store.body_of_state(a.page_id, a.digest), store.body_of_state(b.page_id, b.digest)
    found = None if one is None or other is None else places.passages(one, other)
    return {**pair, "passages": None if found is None else [[p.a_begin, p.a_end, p.b_begin, p.b_end] for p in found]}


def closest(store: Reader, a: int | None, b: int | None) -> dict[str, Any] | None:
    """Which revisions of two pages are closest, the best relation first, then by coverage and similarity: which state of a page
    the other one copied. None where no two match."""
    if a is None or b is None or a == b:
        return None
    found = [
        (RELATIONS.index(m.relation), -m.numbers.coverage, -m.numbers.similarity, x, y, m) if m else (0, -1.0, -1.0, x, y, None)
        for x, y, m in store.matches_between(a, b)
    ]
    numbers = [[r.digest for r in store.revisions(page)] for page in (a, b)]
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
