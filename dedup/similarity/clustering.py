"""Clusters: stars of a representative and the articles that match it.

A star, because similarity is not transitive: two articles that match a third need not match each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from dedup.model import CLUSTER_RELATIONS, IDENTICAL, CheckStatus, Match, MatchScores, Relation

CHECK_ORDER: tuple[CheckStatus, ...] = ("verified", "unclaimed", "mismatched")
"""Check statuses in the order in which articles are preferred as representative."""


class ClusterArticle(Protocol):
    """The properties of an article on which clusters depend, see `representative_order`."""

    @property
    def page_id(self) -> int: ...
    @property
    def text_id(self) -> int | None: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def url(self) -> str: ...
    @property
    def published_at(self) -> str | None: ...
    @property
    def crawled_at(self) -> str: ...
    @property
    def check_status(self) -> CheckStatus: ...
    @property
    def crowded(self) -> bool: ...


A = TypeVar("A", bound=ClusterArticle)


@dataclass(frozen=True, slots=True)
class MatchLink:
    """How two articles match."""

    relation: Relation
    scores: MatchScores

    @property
    def similarity(self) -> float:
        return self.scores.similarity


EXACT_LINK = MatchLink("exact", IDENTICAL)

ClusterMember = tuple[A, MatchLink, int | None]
"""(article of a cluster, its match, the id of the text that links it to the representative; None for a direct match)."""


@dataclass(frozen=True, slots=True)
class StarCluster(Generic[A]):
    """A cluster. `members` are ordered by publication time."""

    representative: A
    members: tuple[ClusterMember[A], ...]


class MatchGraph(Generic[A]):
    """Articles, some of which match, and the matches between their texts."""

    def __init__(self, articles: Iterable[A], matches: Iterable[Match]) -> None:
        self.articles = sorted(articles, key=representative_order)
        self.articles_by_text: dict[int, list[A]] = {}
        for article in self.articles:
            if article.text_id is not None:
                self.articles_by_text.setdefault(article.text_id, []).append(article)
        self._links_by_text: dict[int, list[tuple[int, MatchLink]]] = {}
        self.matches: list[Match] = []
        """Matches whose texts both occur in articles."""
        for match in matches:
            if match.relation in CLUSTER_RELATIONS:
                link = MatchLink(match.relation, match.scores)
                self._links_by_text.setdefault(match.a, []).append((match.b, link))
                self._links_by_text.setdefault(match.b, []).append((match.a, link))
            if match.a in self.articles_by_text and match.b in self.articles_by_text:
                self.matches.append(match)

    def find_clusters(self, accepts: Callable[[MatchLink], bool] = lambda _: True) -> Iterator[StarCluster[A]]:
        """Yield the clusters, ordered by representative. `accepts` selects the matches that count.

        Each article that no star covers yet opens a star of all its matches. If that article is mismatched, its best direct
        match (by `representative_order`) becomes the representative in its place.
        """
        covered: set[tuple[int, bytes]] = set()
        for opener in self.articles:
            if (opener.page_id, opener.digest) in covered:
                continue
            members = [m for m in self.find_members(opener) if accepts(m[1])]
            if not members:
                continue
            representative = opener
            if opener.check_status == "mismatched":
                representative = min((opener, *(other for other, _, via_text in members if via_text is None)), key=representative_order)
                members = [m for m in self.find_members(representative) if accepts(m[1])]
            covered.update((a.page_id, a.digest) for a in (representative, *(other for other, _, _ in members)))
            members.sort(key=lambda m: representative_order(m[0])[1:])
            yield StarCluster(representative, tuple(members))

    def find_members(self, representative: A) -> Iterator[ClusterMember[A]]:
        """Yield every article that matches `representative`.

        A crowded text was compared with few of the texts in its buckets, so it may lack matches. Matches of matches are
        therefore included if they are crowded, or if the representative is. The text in between may belong to no current
        article.
        """
        direct = list(self._direct_members(representative))
        covered_texts = {representative.text_id, *(other.text_id for other, _ in direct)}
        yield from ((other, link, None) for other, link in direct)
        for via_text, _ in self._links_by_text.get(representative.text_id or 0, ()):
            for text_id, link in self._links_by_text.get(via_text, ()):
                articles = self.articles_by_text.get(text_id, ())
                if text_id not in covered_texts and articles and (articles[0].crowded or representative.crowded):
                    covered_texts.add(text_id)
                    yield from ((other, link, via_text) for other in articles if other.page_id != representative.page_id)

    def _direct_members(self, article: A) -> Iterator[tuple[A, MatchLink]]:
        """The articles of other pages that have the same text or a matching one."""
        if article.text_id is None:
            return
        for text_id, link in ((article.text_id, EXACT_LINK), *self._links_by_text.get(article.text_id, ())):
            for other in self.articles_by_text.get(text_id, ()):
                if other.page_id != article.page_id:
                    yield other, link


def representative_order(article: ClusterArticle) -> tuple[int, bool, str, str, str]:
    """Sort key of candidates for representative: check status, publication time (unknown last), crawl time, URL."""
    return (
        CHECK_ORDER.index(article.check_status),
        article.published_at is None,
        article.published_at or "",
        article.crawled_at,
        article.url,
    )
