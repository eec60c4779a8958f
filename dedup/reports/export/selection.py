"""Which articles to keep of a corpus, and which to drop: of articles that copy each other one is kept. Nothing is deleted.

Articles are taken in the order of a rule. One that is not dropped yet is kept, and every article that matches it is dropped for it: so
a dropped one always matches the very article that is kept in its place (or with the text of `via_url`, that does, where there are more
copies than were compared), and no two that are kept match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from dedup import store
from dedup.model import CLUSTER_RELATIONS, CheckStatus, Relation
from dedup.reports.export.schema import SELECTION_SCHEMA, ExportTable, Row
from dedup.similarity.clustering import MatchGraph, MatchLink
from dedup.store import Database
from dedup.store.export import CurrentArticleRow
from dedup.text.publishers import PublisherResolver
from dedup.text.sanitise import to_printable_path

SortKey = tuple[Any, ...]
DROP_REASONS: dict[Relation, str] = {"exact": "the same text", "near": "nearly the same text", "copy": "it shares its passages"}
"""Why an article is dropped."""


@dataclass(frozen=True, slots=True)
class _RankedArticle:
    """An article as `dedup.similarity.clustering` knows it, and by what a rule orders it."""

    page_id: int
    text_id: int | None
    url: str
    published_at: str | None
    crawled_at: str
    check_status: CheckStatus
    crowded: bool
    sort_key: SortKey
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class _DropDecision:
    """For which page an article is dropped, how it matches, and by way of which text."""

    kept_page_id: int
    link: MatchLink
    via_text_id: int | None


def _earliest_first(article: CurrentArticleRow) -> SortKey:
    return article.published_at is None, article.published_at or "", article.crawled_at


def _latest_first(article: CurrentArticleRow) -> SortKey:
    return article.published_at is None, _descending_key(article.published_at or ""), _descending_key(article.crawled_at)


def _longest_first(article: CurrentArticleRow) -> SortKey:
    return (-article.characters, *_earliest_first(article))


def _descending_key(iso: str) -> tuple[int, ...]:
    """Later times first."""
    return tuple(-ord(c) for c in iso)


KEEP_ORDERS: dict[str, Callable[[CurrentArticleRow], SortKey]] = {
    "earliest": _earliest_first,
    "longest": _longest_first,
    "latest": _latest_first,
}
"""Which of two articles is kept rather: what is smaller comes first."""


@dataclass(frozen=True, slots=True)
class KeepRule:
    """What is kept: articles that are not mismatched before those that are, then those of `prefer` in that order, then by `order`;
    `relations` are those that make copies."""

    order: str = "earliest"
    prefer: tuple[str, ...] = ()
    relations: frozenset[str] = frozenset(CLUSTER_RELATIONS)
    publishers: PublisherResolver = field(default_factory=PublisherResolver)

    def sort_key(self, article: CurrentArticleRow) -> SortKey:
        """Articles in the order in which they are kept rather; no two are equal."""
        is_published_by = self.publishers.is_published_by
        positions = (n for n, name in enumerate(self.prefer) if is_published_by(name, article.publisher, article.oid, article.url))
        rank = next(positions, len(self.prefer)) if self.prefer else 0
        return article.check_status == "mismatched", rank, *KEEP_ORDERS[self.order](article), article.url

    @property
    def description(self) -> str:
        """The rule in words."""
        return (f"{', '.join(self.prefer)}, then " if self.prefer else "") + self.order


def kept_table(database: Database, rule: KeepRule) -> ExportTable:
    """The articles to keep, by URL."""
    return ExportTable("keep", SELECTION_SCHEMA, _selection_rows(database, rule, want_dropped=False))


def dropped_table(database: Database, rule: KeepRule) -> ExportTable:
    """The others, each with the one that is kept in its place."""
    return ExportTable("drop", SELECTION_SCHEMA, _selection_rows(database, rule, want_dropped=True))


def _selection_rows(database: Database, rule: KeepRule, *, want_dropped: bool) -> Iterator[Row]:
    decisions, kept_urls = _decide_drops(database, rule)
    kept_page_ids = {d.kept_page_id for d in decisions.values()}
    for page_id, files in groupby(store.export.articles_with_files(database), key=lambda f: f.page_id):
        page_rows = list(files)
        article = page_rows[0]
        paths = [b"/".join(p for p in (f.directory, f.folder, f.name) if p) for f in page_rows]
        paths_hex = [p.hex() for p in paths] if any(to_printable_path(p).encode() != p for p in paths) else None
        decision = decisions.get(page_id)
        if (decision is not None) != want_dropped:
            continue
        publisher = rule.publishers.canonical_name(article.publisher, article.oid, article.url)
        article_columns = (article.url, article.article_id, article.title, publisher, [to_printable_path(p) for p in paths], paths_hex)
        if decision is None:
            yield (
                *article_columns,
                article.url,
                None,
                None,
                None,
                None,
                f"chosen: {rule.description}" if page_id in kept_page_ids else "no copies",
            )
        else:
            via = None if decision.via_text_id is None else store.texts.url(database, decision.via_text_id)
            scores = decision.link.scores
            yield (
                *article_columns, kept_urls[decision.kept_page_id], decision.link.relation, round(scores.similarity, 4),
                round(scores.coverage, 4), via, DROP_REASONS[decision.link.relation],
            )  # fmt: skip


def _decide_drops(database: Database, rule: KeepRule) -> tuple[dict[int, _DropDecision], dict[int, str]]:
    """(page → for what it is dropped; page that something is dropped for → URL)"""
    articles = [
        _RankedArticle(a.page_id, a.text_id, a.url, a.published_at, a.crawled_at, a.check_status, bool(a.crowded), rule.sort_key(a))  # type: ignore[arg-type]
        for a in store.export.current_articles(database, matched_only=True)
    ]
    graph = MatchGraph(articles, store.export.copies(database, rule.relations))
    decisions: dict[int, _DropDecision] = {}
    kept_urls: dict[int, str] = {}
    kept_page_ids: set[int] = set()
    for article in sorted(graph.articles, key=lambda a: a.sort_key):
        if article.page_id in decisions:
            continue
        kept_page_ids.add(article.page_id)
        for other, link, via in graph.find_members(article):
            if link.relation in rule.relations and other.page_id not in kept_page_ids and other.page_id not in decisions:
                decisions[other.page_id] = _DropDecision(article.page_id, link, via)
                kept_urls[article.page_id] = article.url
    return decisions, kept_urls
