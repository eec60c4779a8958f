"""Which articles to keep of a corpus, and which to drop: of articles that copy each other one is kept. Nothing is deleted.

Articles are taken in the order of a rule. One that is not dropped yet is kept, and every article that matches it is dropped for it: so
a dropped one always matches the very article that is kept in its place (or is `via` a text that does, where there are more copies than
were compared), and no two that are kept match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from dedup import store
from dedup.model import CLUSTERED, CheckStatus, Relation
from dedup.reports.export.schema import LISTS, Row, Table
from dedup.similarity.clustering import Graph, Link
from dedup.store import Database
from dedup.store.export import Standing
from dedup.text.normalise import printable_path
from dedup.text.publishers import Publishers

Key = tuple[Any, ...]
REASONS: dict[Relation, str] = {"exact": "the same text", "near": "nearly the same text", "copy": "its passages run alike"}
"""Why an article is dropped."""


@dataclass(frozen=True, slots=True)
class _Article:
    """An article as `dedup.similarity.clustering` knows it, and by what a rule orders it."""

    page_id: int
    text_id: int | None
    url: str
    published_at: str | None
    crawled_at: str
    check_status: CheckStatus
    crowded: bool
    key: Key
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class _Dropped:
    """For which page an article is dropped, how it matches, and by way of which text."""

    page_id: int
    link: Link
    via: int | None


def _earliest(a: Standing) -> Key:
    return a.published_at is None, a.published_at or "", a.crawled_at


def _latest(a: Standing) -> Key:
    return a.published_at is None, _backwards(a.published_at or ""), _backwards(a.crawled_at)


def _longest(a: Standing) -> Key:
    return (-a.characters, *_earliest(a))


def _backwards(iso: str) -> tuple[int, ...]:
    """Later times first."""
    return tuple(-ord(c) for c in iso)


RULES: dict[str, Callable[[Standing], Key]] = {"earliest": _earliest, "longest": _longest, "latest": _latest}
"""Which of two articles is kept rather: what is smaller comes first."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is kept: articles that are not mismatched before those that are, then those of `prefer` in that order, then by `keep`;
    `relations` are those that make copies."""

    keep: str = "earliest"
    prefer: tuple[str, ...] = ()
    relations: frozenset[str] = frozenset(CLUSTERED)
    publishers: Publishers = field(default_factory=Publishers)

    def key(self, a: Standing) -> Key:
        """Articles in the order in which they are kept rather; no two are equal."""
        preferred = (n for n, name in enumerate(self.prefer) if self.publishers.is_by(name, a.publisher, a.oid, a.url))
        rank = next(preferred, len(self.prefer)) if self.prefer else 0
        return a.check_status == "mismatched", rank, *RULES[self.keep](a), a.url

    @property
    def told(self) -> str:
        """The rule in words."""
        return (f"{', '.join(self.prefer)}, then " if self.prefer else "") + self.keep


def kept(database: Database, rule: Rule) -> Table:
    """The articles to keep, by URL."""
    return Table("keep", LISTS, _rows(database, rule, dropped_ones=False))


def dropped(database: Database, rule: Rule) -> Table:
    """The others, each with the one that is kept in its place."""
    return Table("drop", LISTS, _rows(database, rule, dropped_ones=True))


def _rows(database: Database, rule: Rule, *, dropped_ones: bool) -> Iterator[Row]:
    dropped_by, urls = _decided(database, rule)
    stands_for = {d.page_id for d in dropped_by.values()}
    for page, files in groupby(store.export.articles_with_files(database), key=lambda f: f[0]):
        of_page = list(files)
        _, url, article_id, publisher, oid, title, *_ = of_page[0]
        paths = [b"/".join(p for p in f[6:] if p) for f in of_page]
        hexes = [p.hex() for p in paths] if any(printable_path(p).encode() != p for p in paths) else None
        gone = dropped_by.get(page)
        if (gone is not None) != dropped_ones:
            continue
        house = rule.publishers.house(publisher, oid, url)
        head = (url, article_id, title, house, [printable_path(p) for p in paths], hexes)
        if gone is None:
            yield (*head, url, None, None, None, None, f"chosen: {rule.told}" if page in stands_for else "no copies")
        else:
            via = None if gone.via is None else store.texts.url(database, gone.via)
            numbers = gone.link.numbers
            yield (
                *head, urls[gone.page_id], gone.link.relation, round(numbers.similarity, 4), round(numbers.coverage, 4), via,
                REASONS[gone.link.relation],
            )  # fmt: skip


def _decided(database: Database, rule: Rule) -> tuple[dict[int, _Dropped], dict[int, str]]:
    """(page → for what it is dropped; page that something is dropped for → URL)"""
    articles = [
        _Article(a.page_id, a.text_id, a.url, a.published_at, a.crawled_at, a.check_status, bool(a.crowded), rule.key(a))  # type: ignore[arg-type]
        for a in store.export.current_articles(database, matched=True)
    ]
    graph = Graph(articles, store.export.copies(database, rule.relations))
    decided: dict[int, _Dropped] = {}
    urls: dict[int, str] = {}
    keep: set[int] = set()
    for article in sorted(graph.articles, key=lambda a: a.key):
        if article.page_id in decided:
            continue
        keep.add(article.page_id)
        for other, link, via in graph.star(article):
            if link.relation in rule.relations and other.page_id not in keep and other.page_id not in decided:
                decided[other.page_id] = _Dropped(article.page_id, link, via)
                urls[article.page_id] = article.url
    return decided, urls
