"""Selects the articles of a corpus to keep and to drop: of articles that are copies of each other one is kept. Nothing is deleted.

Articles are processed in the order of a rule. An article that is not dropped yet is kept, and every article that matches it is
dropped. So a dropped article always matches the article that is kept in its place, and no two kept articles match. If a text has more
copies than were compared, the match may lead through the text of `via_url`.
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
"""Relation → why an article is dropped."""


@dataclass(frozen=True, slots=True)
class _RankedArticle:
    """An article of a `MatchGraph`, with the sort key of the rule."""

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
    """The page kept in place of a dropped article, how the two match, and the text through which they match, if any."""

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
    """Return a sort key by which later times come first."""
    return tuple(-ord(c) for c in iso)


KEEP_ORDERS: dict[str, Callable[[CurrentArticleRow], SortKey]] = {
    "earliest": _earliest_first,
    "longest": _longest_first,
    "latest": _latest_first,
}
"""Name of an order → sort key of an article. The smallest is kept."""


@dataclass(frozen=True, slots=True)
class KeepRule:
    """Which of several copies to keep: mismatched articles last, then publishers in the order of `prefer`, then by `order`.

    `relations` are the relations that make an article a copy.
    """

    order: str = "earliest"
    prefer: tuple[str, ...] = ()
    relations: frozenset[str] = frozenset(CLUSTER_RELATIONS)
    publishers: PublisherResolver = field(default_factory=PublisherResolver)

    def sort_key(self, article: CurrentArticleRow) -> SortKey:
        """Return the sort key of an article. The smallest is kept; no two are equal."""
        positions = (
            n for n, name in enumerate(self.prefer) if self.publishers.is_published_by(name, article.publisher, article.oid, article.url)
        )
        rank = next(positions, len(self.prefer)) if self.prefer else 0
        return article.check_status == "mismatched", rank, *KEEP_ORDERS[self.order](article), article.url

    @property
    def description(self) -> str:
        """The rule in words, such as `한빛일보, then earliest`."""
        return (f"{', '.join(self.prefer)}, then " if self.prefer else "") + self.order


def kept_table(database: Database, rule: KeepRule) -> ExportTable:
    """Return the table of articles to keep, ordered by URL."""
    return ExportTable("keep", SELECTION_SCHEMA, _selection_rows(database, rule, want_dropped=False))


def dropped_table(database: Database, rule: KeepRule) -> ExportTable:
    """Return the table of articles to drop, each with the article kept in its place, ordered by URL."""
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
    """Return page → decision for each dropped page, and page → URL for each page kept in place of another."""
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
