"""Clusters: stars of a representative and the articles that match it. A star: similarity is not passed along chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from dedup.model import ALIKE, CLUSTERED, CheckStatus, Match, Numbers, Relation

CHECKS: tuple[CheckStatus, ...] = ("verified", "unclaimed", "mismatched")
"""By how much is known of an article."""


class Article(Protocol):
    """What the order of candidates for representative needs of an article: see `precedence`."""

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


A = TypeVar("A", bound=Article)


@dataclass(frozen=True, slots=True)
class Link:
    """How two articles match."""

    relation: Relation
    numbers: Numbers

    @property
    def similarity(self) -> float:
        return self.numbers.similarity


EXACT = Link("exact", ALIKE)

Member = tuple[A, Link, int | None]
"""An article of a cluster, how it matches, and the text by way of which it does (None: it matches the representative itself)."""


@dataclass(frozen=True, slots=True)
class Star(Generic[A]):
    """A cluster, its members in the order in which they were published."""

    representative: A
    members: tuple[Member[A], ...]


class Graph(Generic[A]):
    """Articles of which some match, and the matches of their texts; articles by text, texts by text."""

    def __init__(self, articles: Iterable[A], matches: Iterable[Match]) -> None:
        self.articles = sorted(articles, key=precedence)
        self.by_text: dict[int, list[A]] = {}
        for article in self.articles:
            if article.text_id is not None:
                self.by_text.setdefault(article.text_id, []).append(article)
        self._links: dict[int, list[tuple[int, Link]]] = {}
        self.matches: list[Match] = []
        """Those of which articles show both texts."""
        for m in matches:
            if m.relation in CLUSTERED:
                link = Link(m.relation, m.numbers)
                self._links.setdefault(m.a, []).append((m.b, link))
                self._links.setdefault(m.b, []).append((m.a, link))
            if m.a in self.by_text and m.b in self.by_text:
                self.matches.append(m)

    def stars(self, takes: Callable[[Link], bool] = lambda _: True) -> Iterator[Star[A]]:
        """The clusters that these matches make, in the order of the representatives.

        An article that no star covers yet opens one. A mismatched one leaves that to the first of its matches that is not.
        """
        covered: set[tuple[int, bytes]] = set()
        for opener in self.articles:
            if (opener.page_id, opener.digest) in covered:
                continue
            members = [m for m in self.star(opener) if takes(m[1])]
            if not members:
                continue
            representative = opener
            if opener.check_status == "mismatched":
                representative = min((opener, *(other for other, _, way in members if way is None)), key=precedence)
                members = [m for m in self.star(representative) if takes(m[1])]
            covered.update((a.page_id, a.digest) for a in (representative, *(other for other, _, _ in members)))
            members.sort(key=lambda m: precedence(m[0])[1:])
            yield Star(representative, tuple(members))

    def star(self, representative: A) -> Iterator[Member[A]]:
        """Every article that matches this one; and, by way of one text that does, those of its matches that were compared with
        few of the texts they share a bucket with: those that are crowded, or all where the representative is. That way may be a
        text that no page shows any more."""
        direct = list(self._matching(representative))
        there = {representative.text_id, *(other.text_id for other, _ in direct)}
        yield from ((other, link, None) for other, link in direct)
        for way, _ in self._links.get(representative.text_id or 0, ()):
            for text, link in self._links.get(way, ()):
                shown = self.by_text.get(text, ())
                if text not in there and shown and (shown[0].crowded or representative.crowded):
                    there.add(text)
                    yield from ((other, link, way) for other in shown if other.page_id != representative.page_id)

    def _matching(self, article: A) -> Iterator[tuple[A, Link]]:
        """Every article of another page that a cluster with this one would hold."""
        if article.text_id is None:
            return
        for text, link in ((article.text_id, EXACT), *self._links.get(article.text_id, ())):
            for other in self.by_text.get(text, ()):
                if other.page_id != article.page_id:
                    yield other, link


def precedence(article: Article) -> tuple[int, bool, str, str, str]:
    """Candidates for representative in order: by what is known of them, earliest published (unknown last), earliest crawled."""
    return (
        CHECKS.index(article.check_status),
        article.published_at is None,
        article.published_at or "",
        article.crawled_at,
        article.url,
    )
