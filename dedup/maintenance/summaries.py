"""Update dirty summaries: those of pages whose sightings changed, and the clusters that these pages belong to.

Clusters that no chain of matches connects are independent. Dirty pages are updated together with everything that matches connect to them,
so the result is that of a complete rebuild.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import xxhash

from dedup import store
from dedup.config import Settings
from dedup.errors import ShutdownRequested
from dedup.model import Match
from dedup.pipeline.isolation import is_file_error, isolate_failures, log_error_once
from dedup.runtime.heartbeat import beat
from dedup.similarity.clustering import MatchGraph, StarCluster
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.store.summaries import ClusterableArticle, ClusterRow, MemberRow, SummaryRow
from dedup.text import times
from dedup.text.publishers import PublisherResolver

PAGES_PER_BATCH = 2000
"""Dirty pages updated at once, with all pages connected to them."""
FIRST_HOUR_SECONDS = 3600.0
ROWS_PER_CHECK = 1000
"""Rows between two checks whether to stop."""
RECIPE_SETTING = "recipe.summaries"
_T = TypeVar("_T")


@dataclass(slots=True)
class SummaryFailures:
    """Pages and texts whose update failed with an internal error, and the `last_error`. They stay dirty, and other updates skip them."""

    pages: set[int] = field(default_factory=set)
    texts: set[int] = field(default_factory=set)
    last_error: Exception | None = None

    def __len__(self) -> int:
        return len(self.pages) + len(self.texts)


def update_summaries(
    database: WritableDatabase,
    settings: Settings,
    limit: int,
    should_stop: Callable[[], bool] = lambda: False,
    failures: SummaryFailures | None = None,
) -> int:
    """Update up to `limit` dirty pages in a transaction.

    Returns the number of pages; 0 if nothing is dirty, or if `should_stop` returned true: then nothing is changed. With `failures`, pages
    and texts that cause an internal error are added to it and skipped: the batch is divided until each of them is alone. Raises errors of
    SQLite and the system; without `failures`, internal errors too.
    """
    current_recipe = summaries_recipe(settings)
    if store.settings.get(database, RECIPE_SETTING) != current_recipe:
        with database.transaction() as transaction:
            store.summaries.mark_all_dirty(transaction)
            store.settings.put(transaction, RECIPE_SETTING, current_recipe)
    pages, texts = store.summaries.dirty_batch(database, limit + (len(failures) if failures else 0))
    if failures:
        pages, texts = pages - failures.pages, texts - failures.texts
    if not pages and not texts:
        return 0
    database.lock.set_activity("updating summaries")
    page_count = 0
    try:
        page_count = _update_summaries(database, settings, pages, texts, should_stop)
    except Exception as error:
        if failures is None or not is_file_error(error):
            raise
        if failures.last_error is None and isinstance(error, SUSPICIOUS_ERRORS):
            database.require_sound(error)
        failures.last_error = error
        page_count = _update_separately(database, settings, pages, texts, should_stop, failures)
    database.lock.set_activity("")
    return page_count


def _update_summaries(
    database: WritableDatabase, settings: Settings, pages: set[int], texts: set[int], should_stop: Callable[[], bool]
) -> int:
    with suppress(ShutdownRequested), database.transaction() as transaction:
        batch = _update_connected(transaction, settings.publishers.build_publishers(), pages, texts, should_stop)
        _update_clusters(transaction, batch.pages, batch.texts, should_stop)
        store.summaries.clear_dirty(transaction, batch.dirty_pages, batch.texts)
        return len(batch.dirty_pages) or len(texts)
    return 0


def _update_separately(
    database: WritableDatabase,
    settings: Settings,
    pages: set[int],
    texts: set[int],
    should_stop: Callable[[], bool],
    failures: SummaryFailures,
) -> int:
    """Update the pages and texts in parts; a part that fails is divided until the failing item is alone. Returns the number of pages."""
    items = [*((page, True) for page in sorted(pages)), *((text, False) for text in sorted(texts))]

    def update_part(part: Sequence[tuple[int, bool]]) -> int:
        still_dirty = (
            store.summaries.dirty_pages_among(database, (n for n, is_page in part if is_page)),
            store.summaries.dirty_texts_among(database, (n for n, is_page in part if not is_page)),
        )
        return _update_summaries(database, settings, *still_dirty, should_stop) if any(still_dirty) and not should_stop() else 0

    def record_failure(item: tuple[int, bool], error: Exception) -> None:
        log_error_once(error, "updating the summary of a page")
        failures.last_error = error
        (failures.pages if item[1] else failures.texts).add(item[0])

    return max(1, sum(isolate_failures(items, update_part, record_failure)))


def update_all_summaries(
    database: WritableDatabase, settings: Settings, progress: Callable[[int], Any] = lambda _: None, failures: SummaryFailures | None = None
) -> int:
    """Update all dirty summaries; see `update_summaries`. Returns the number of pages."""
    total = 0
    while count := update_summaries(database, settings, PAGES_PER_BATCH, failures=failures):
        total += count
        progress(count)
    return total


def rebuild_summaries(database: WritableDatabase, settings: Settings, progress: Callable[[int], Any] = lambda _: None) -> int:
    """Rebuild all summaries and clusters. Returns the number of pages."""
    with database.transaction() as transaction:
        store.summaries.delete_all(transaction)
    return update_all_summaries(database, settings, progress)


def summaries_recipe(settings: Settings) -> str:
    """Return the recipe of summaries. Besides the records, they depend on the publisher aliases."""
    aliases = json.dumps([a.model_dump() for a in settings.publishers.aliases], ensure_ascii=False, sort_keys=True)
    return f"summaries1/{xxhash.xxh3_64_hexdigest(aliases.encode('utf-8', 'surrogatepass'))}"


class _ConnectedBatch(NamedTuple):
    """The pages and texts that matches, or stored clusters, connect to dirty ones. The summaries of `dirty_pages` were updated."""

    pages: set[int]
    texts: set[int]
    dirty_pages: set[int]


def _update_connected(
    transaction: Transaction, publishers: PublisherResolver, pages: set[int], texts: set[int], should_stop: Callable[[], bool]
) -> _ConnectedBatch:
    """Update the summaries of these pages, of those that show these texts, and of all dirty pages connected to them.

    Raises ShutdownRequested."""
    batch = _ConnectedBatch(set(), set(), set())
    while pages or texts:
        beat()
        if should_stop():
            raise ShutdownRequested
        batch.pages.update(pages)
        batch.texts.update(texts)
        dirty_pages = store.summaries.dirty_pages_among(transaction, pages)
        _summarise_pages(transaction, publishers, dirty_pages)
        batch.dirty_pages.update(dirty_pages)
        clusters = store.summaries.clusters_with_pages(transaction, pages)
        connected_texts = set(store.summaries.summarised_texts(transaction, pages).values())
        connected_texts |= store.summaries.texts_in_same_cluster(transaction, texts)
        connected_pages = clusters | {m.page_id for m in store.summaries.member_rows(transaction, clusters)}
        connected_pages |= store.summaries.pages_showing(transaction, texts)
        pages, texts = connected_pages - batch.pages, connected_texts - batch.texts
    return batch


def _summarise_pages(transaction: Transaction, publishers: PublisherResolver, pages: set[int]) -> None:
    rows = compute_summary_rows(transaction, publishers, pages)
    store.summaries.delete(transaction, pages - {row.page_id for row in rows})
    store.summaries.upsert(transaction, rows)


def compute_summary_rows(database: Database, publishers: PublisherResolver, pages: Iterable[int]) -> list[SummaryRow]:
    """Compute the summaries of those pages that have a current sighting, from their sightings and changes alone."""
    page_ids = sorted(pages)
    crawls = {page: list(rows) for page, rows in groupby(store.sightings.counted_crawls(database, page_ids), key=itemgetter(0))}
    changes = store.summaries.count_changes(database, page_ids)
    return [
        SummaryRow(
            page, publishers.canonical_name(printed, oid, url), published, crawls[page][0].crawled_at, crawled, status, cause,
            len({c.revision_id for c in crawls[page]}), len(crawls[page]), *changes.get(page, (0, 0)), characters, text,
        )
        for page, url, printed, oid, published, crawled, status, cause, characters, text
        in store.summaries.current_crawls(database, page_ids)
    ]  # fmt: skip


def _update_clusters(transaction: Transaction, pages: Collection[int], texts: Collection[int], should_stop: Callable[[], bool]) -> None:
    old_ids = store.summaries.clusters_with_pages(transaction, pages)
    old_clusters, old_members = store.summaries.cluster_rows(transaction, old_ids), store.summaries.member_rows(transaction, old_ids)
    articles = store.summaries.articles(transaction, pages)
    clusters, members = compute_clusters(
        articles, _iterate_checked(store.summaries.cluster_matches(transaction, texts), should_stop), should_stop
    )
    removed_ids = {c.page_id for c in old_clusters} - {c.page_id for c in clusters}
    store.summaries.replace_clusters(transaction, clusters - old_clusters, removed_ids)
    store.summaries.replace_members(
        transaction, members - old_members, (m for m in old_members - members if m.cluster_id not in removed_ids)
    )
    roles = assign_cluster_roles(clusters, members)
    store.summaries.set_cluster_roles(
        transaction, ((a.page_id, roles.get(a.page_id, "alone")) for a in articles if a.cluster_role != roles.get(a.page_id, "alone"))
    )


def compute_clusters(
    articles: Iterable[ClusterableArticle], matches: Iterable[Match], should_stop: Callable[[], bool] = lambda: False
) -> tuple[set[ClusterRow], set[MemberRow]]:
    """Compute the clusters and their members. `articles` must include every article that a chain of `matches` connects to one of them."""
    stars = list(_iterate_checked(MatchGraph(articles, matches).find_clusters(), should_stop))
    return {_cluster_row(star) for star in stars}, {row for star in stars for row in _member_rows(star)}


def assign_cluster_roles(clusters: Iterable[ClusterRow], members: Iterable[MemberRow]) -> dict[int, str]:
    """Page → `representative` or `member`; pages in no cluster are left out."""
    return dict.fromkeys((m.page_id for m in members), "member") | dict.fromkeys((c.page_id for c in clusters), "representative")


def _iterate_checked(rows: Iterable[_T], should_stop: Callable[[], bool]) -> Iterator[_T]:
    """Yield the rows. Raises ShutdownRequested if `should_stop` returns true, which is checked every ROWS_PER_CHECK rows."""
    for number, row in enumerate(rows):
        if number % ROWS_PER_CHECK == 0:
            beat()
            if should_stop():
                raise ShutdownRequested
        yield row


def _cluster_row(star: StarCluster[ClusterableArticle]) -> ClusterRow:
    articles = [star.representative, *dict.fromkeys(m[0] for m in star.members)]
    published = sorted(a.published_at for a in articles if a.published_at)
    counts_by_relation = Counter(link.relation for _, link, _ in star.members)
    return ClusterRow(
        star.representative.page_id,
        len(articles),
        len({a.publisher for a in articles}),
        counts_by_relation["exact"],
        counts_by_relation["near"],
        counts_by_relation["copy"],
        published[0] if published else None,
        published[-1] if published else None,
        min(a.first_crawled_at for a in articles),
        max(a.first_crawled_at for a in articles),
        _count_within(published, FIRST_HOUR_SECONDS),
    )


def _count_within(published: list[str], seconds: float) -> int:
    """Return how many of these sorted times are at most `seconds` after the first."""
    return sum(times.seconds_between(published[0], time) <= seconds for time in published)


def _member_rows(star: StarCluster[ClusterableArticle]) -> Iterable[MemberRow]:
    return (
        MemberRow(star.representative.page_id, a.page_id, link.relation, link.similarity, link.scores.coverage, via)
        for a, link, via in star.members
    )
