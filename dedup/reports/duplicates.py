"""Articles that share text: clusters, pairs, and both as flat rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dedup import store
from dedup.model import IDENTICAL, RELATIONS, Match, MatchScores, Relation
from dedup.similarity.clustering import EXACT_LINK, MatchGraph, MatchLink, representative_order
from dedup.similarity.overlap import spans
from dedup.store import Database
from dedup.store.rows import ArticleRow
from dedup.text import times
from dedup.text.publishers import PublisherResolver

SCORE_COLUMNS = (
    "similarity",
    "containment",
    "relation",
    "coverage",
    "shared_characters",
    "longest_passage",
    "quoted_share",
    "masked_boilerplate",
)
"""Keys of `scores_as_json`."""
CLOSEST_COLUMNS = ("closest_a_revision", "closest_b_revision", "closest_relation", "closest_coverage")
"""Columns for the keys of `closest_revisions`."""
ARTICLE_COLUMNS = (
    "id",
    "url",
    "title",
    "publisher",
    "published_at",
    "crawled_at",
    "path",
    "revision",
    "check_status",
    "gone",
    "crowded",
    "pruned_at",
)
"""Keys of `article_as_json`."""
SIMILAR_COLUMNS = (*ARTICLE_COLUMNS, *SCORE_COLUMNS)
CLUSTER_COLUMNS = ("cluster", *ARTICLE_COLUMNS, *SCORE_COLUMNS, "lag_seconds", "via_url", *CLOSEST_COLUMNS)
PAIR_COLUMNS = (*(f"{side}_{name}" for side in ("a", "b") for name in ARTICLE_COLUMNS), *SCORE_COLUMNS, *CLOSEST_COLUMNS)


@dataclass(frozen=True, slots=True)
class DuplicateFilter:
    """Which duplicates to list. By default all between current revisions.

    `since` is ISO 8601 in UTC, `min_similarity` a Jaccard similarity.
    """

    relations: frozenset[str] = frozenset()
    since: str | None = None
    publisher: str | None = None
    min_similarity: float = 0.0
    all_revisions: bool = False
    publishers: PublisherResolver = field(default_factory=PublisherResolver)

    def accepts_pair(self, a: ArticleRow, b: ArticleRow, link: MatchLink) -> bool:
        """Return whether a pair passes. `since` applies to the later crawl of the two, `publisher` to either article."""
        return (
            self.accepts_link(link)
            and (self.since is None or max(a.crawled_at, b.crawled_at) >= self.since)
            and (self.publisher is None or self._is_by(a) or self._is_by(b))
        )

    def _is_by(self, article: ArticleRow) -> bool:
        return self.publishers.is_published_by(self.publisher or "", article.publisher, article.oid, article.url)

    def accepts_link(self, link: MatchLink) -> bool:
        """Return whether a match passes the filters on relation and similarity."""
        return (not self.relations or link.relation in self.relations) and link.similarity >= self.min_similarity


def article_as_json(database: Database, row: ArticleRow) -> dict[str, Any]:
    """Return an article as JSON."""
    digests = [r.digest for r in store.revisions.of_page(database, row.page_id)]
    return {
        "id": row.article_id,
        "url": row.url,
        "title": row.title,
        "publisher": row.publisher,
        "published_at": row.published_at,
        "crawled_at": row.crawled_at,
        "path": row.path,
        "revision": digests.index(row.digest) + 1 if row.digest in digests else None,
        "check_status": row.check_status,
        "gone": row.is_gone,
        "crowded": row.crowded,
        "pruned_at": row.pruned_at,
    }


def list_clusters(database: Database, criteria: DuplicateFilter) -> Iterator[dict[str, Any]]:
    """List clusters: a representative with all articles that match it, in the order of the representatives.

    A cluster is listed in full if one of its members passes the filter. Excerpts and quotes form no clusters; `list_pairs`
    lists them.
    """
    for star in _match_graph(database, criteria).find_clusters(criteria.accepts_link):
        if any(criteria.accepts_pair(star.representative, other, link) for other, link, _ in star.members):
            yield {
                "representative": article_as_json(database, star.representative),
                "members": [_member_as_json(database, star.representative, *m) for m in star.members],
            }


def _match_graph(database: Database, criteria: DuplicateFilter) -> MatchGraph[ArticleRow]:
    """Return the graph of matches between current revisions, or between all revisions."""
    return MatchGraph(store.matches.matched_articles(database, all_revisions=criteria.all_revisions), store.matches.list_all(database))


def _member_as_json(
    database: Database, representative: ArticleRow, row: ArticleRow, link: MatchLink, via_text_id: int | None
) -> dict[str, Any]:
    lag_seconds = None
    if representative.published_at and row.published_at:
        lag_seconds = times.seconds_between(representative.published_at, row.published_at)
    via_url = None if via_text_id is None else store.texts.url(database, via_text_id)
    closest_pair = closest_revisions(database, representative.page_id, row.page_id)
    return {
        **article_as_json(database, row),
        **scores_as_json(link.relation, link.scores),
        "lag_seconds": lag_seconds,
        "via_url": via_url,
        "closest_revisions": closest_pair,
    }


def scores_as_json(relation: Relation, scores: MatchScores) -> dict[str, Any]:
    """Return the relation and the measures of a match as JSON."""
    return {
        "similarity": round(scores.similarity, 4),
        "containment": round(scores.containment, 4),
        "relation": relation,
        "coverage": round(scores.coverage, 4),
        "shared_characters": None if relation == "exact" else scores.shared_characters,
        "longest_passage": None if relation == "exact" else scores.longest_passage,
        "quoted_share": round(scores.quoted_share, 4),
        "masked_boilerplate": list(scores.masked_boilerplate),
    }


def list_pairs(database: Database, criteria: DuplicateFilter, *, passages: bool = False) -> Iterator[dict[str, Any]]:
    """List the pairs of matching articles on different pages, exact matches first.

    With `passages` each pair has the positions of its shared passages.
    """
    for a, b, link in _matching_pairs(database, criteria):
        row = _pair_as_json(database, a, b, link)
        yield add_passages(database, row, a, b) if passages else row


def _matching_pairs(database: Database, criteria: DuplicateFilter) -> Iterator[tuple[ArticleRow, ArticleRow, MatchLink]]:
    graph = _match_graph(database, criteria)
    for group in graph.articles_by_text.values():
        for i, a in enumerate(group):
            for b in group[i + 1 :]:
                if a.page_id != b.page_id and criteria.accepts_pair(a, b, EXACT_LINK):
                    yield a, b, EXACT_LINK
    for match in sorted(graph.matches, key=lambda p: (RELATIONS.index(p.relation), -p.scores.coverage, -p.scores.similarity, p.a, p.b)):
        link = MatchLink(match.relation, match.scores)
        for a in graph.articles_by_text[match.a]:
            for b in graph.articles_by_text[match.b]:
                if a.page_id != b.page_id and criteria.accepts_pair(a, b, link):
                    first, second = sorted((a, b), key=representative_order)
                    yield first, second, link


def _pair_as_json(database: Database, a: ArticleRow, b: ArticleRow, link: MatchLink) -> dict[str, Any]:
    closest_pair = closest_revisions(database, a.page_id, b.page_id)
    return {
        "a": article_as_json(database, a),
        "b": article_as_json(database, b),
        **scores_as_json(link.relation, link.scores),
        "closest_revisions": closest_pair,
    }


def add_passages(database: Database, pair: dict[str, Any], a: ArticleRow, b: ArticleRow) -> dict[str, Any]:
    """Return a pair with its shared `passages`: lists [a_begin, a_end, b_begin, b_end] of offsets in code points.

    `passages` is None if a body was pruned.
    """
    body_a, body_b = (
        store.revisions.body_of_state(database, a.page_id, a.digest),
        store.revisions.body_of_state(database, b.page_id, b.digest),
    )
    passages = None if body_a is None or body_b is None else spans.find_passages(body_a, body_b)
    return {**pair, "passages": None if passages is None else [[p.a_begin, p.a_end, p.b_begin, p.b_end] for p in passages]}


def closest_revisions(database: Database, page_a: int | None, page_b: int | None) -> dict[str, Any] | None:
    """Return the numbers and the match of the closest revisions of two pages, or None if no two match.

    This shows which revision of a page the other one copied. Closest means the best relation, then the highest coverage, then
    the highest similarity, then the earliest revisions.
    """
    if page_a is None or page_b is None or page_a == page_b:
        return None
    numbers_a, numbers_b = (
        {r.digest: number for number, r in enumerate(store.revisions.of_page(database, page), 1)} for page in (page_a, page_b)
    )
    candidates = [
        (*match_closeness(match), numbers_a[digest_a], numbers_b[digest_b], match)
        for digest_a, digest_b, match in store.matches.between_pages(database, page_a, page_b)
        if digest_a in numbers_a and digest_b in numbers_b
    ]
    if not candidates:
        return None
    *_, number_a, number_b, match = min(candidates, key=lambda candidate: candidate[:5])
    scores = match.scores if match else IDENTICAL
    return {
        "a_revision": number_a,
        "b_revision": number_b,
        "relation": match.relation if match else "exact",
        "similarity": round(scores.similarity, 4),
        "coverage": round(scores.coverage, 4),
    }


def match_closeness(match: Match | None) -> tuple[int, float, float]:
    """Sort key of a match: the closest first, by relation, coverage and similarity. None is an exact match."""
    if match is None:
        return 0, -1.0, -1.0
    return RELATIONS.index(match.relation), -match.scores.coverage, -match.scores.similarity


def flatten_clusters(clusters: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return clusters as flat rows for CSV: the representative, then its members."""
    for number, cluster in enumerate(clusters, 1):
        no_match = dict.fromkeys((*SCORE_COLUMNS, *CLOSEST_COLUMNS, "lag_seconds", "via_url"), "") | {"relation": "representative"}
        yield {"cluster": number, **cluster["representative"], **no_match}
        for member in cluster["members"]:
            yield {"cluster": number, **flatten_match(member)}


def flatten_pairs(pairs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return pairs as flat rows for CSV, with the keys `a_url`, `b_url` and so on."""
    for pair in pairs:
        sides = {f"{side}_{key}": value for side in ("a", "b") for key, value in pair[side].items()}
        yield {**sides, **flatten_match({k: v for k, v in pair.items() if k not in ("a", "b")})}


def flatten_match(row: dict[str, Any]) -> dict[str, Any]:
    """Return a match as a flat row for CSV."""
    closest_pair = row.get("closest_revisions") or {}
    scalars = {k: v for k, v in row.items() if k not in ("closest_revisions", "passages")}
    return {
        **scalars,
        "masked_boilerplate": " ".join(row["masked_boilerplate"]),
        **{name: closest_pair.get(name.removeprefix("closest_"), "") for name in CLOSEST_COLUMNS},
    }
