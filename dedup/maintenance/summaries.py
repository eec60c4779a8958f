"""Working off what is due: the summaries of pages whose crawls changed, and the clusters that hold them or came to.

Clusters of articles that no chain of matches connects do not depend on each other: what is due is worked out with all it is connected
to, and comes out as if everything had been worked out anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import xxhash

from dedup import store
from dedup.config import Settings
from dedup.errors import ShutdownRequested
from dedup.heartbeat import beat
from dedup.model import Match
from dedup.scan.isolation import is_file_error, isolate_failures, log_error_once
from dedup.similarity.clustering import MatchGraph, StarCluster
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.store.summaries import ClusterableArticle, ClusterRow, MemberRow, SummaryRow
from dedup.text import times
from dedup.text.publishers import PublisherResolver

PAGES_PER_BATCH = 2000
"""Pages that are taken at once, and what they are connected to."""
FIRST_HOUR_SECONDS = 3600.0
ROWS_PER_CHECK = 1000
"""Rows after which it is asked whether there is time for more."""
RECIPE_SETTING = "recipe.summaries"
_T = TypeVar("_T")


@dataclass(slots=True)
class SummaryFailures:
    """What could not be summed up lately, because the program fails at it: it stays due, and does not keep the rest from being summed
    up. `last_error` is the last that was met."""

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
    """Work off some of what is due in a transaction of its own; returns the number of pages, 0 once nothing is due, or where `should_stop`
    says that there is no time for it: then it is due as before.

    With `failures`, whatever the program fails at is added to that and left out: what is due is worked off in smaller parts then, until
    the page or text that it fails at is alone. Raises errors of SQLite and the system, and without `failures` all.
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
    database.lock.set_activity("summing up what was recorded")
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
        update = _SummaryUpdate(transaction, settings.publishers.build_publishers())
        update.connect(pages, texts, should_stop)
        _update_clusters(transaction, update.pages, update.texts, should_stop)
        store.summaries.clear_dirty(transaction, update.dirty_pages, update.texts)
        return len(update.dirty_pages) or len(texts)
    return 0


def _update_separately(
    database: WritableDatabase,
    settings: Settings,
    pages: set[int],
    texts: set[int],
    should_stop: Callable[[], bool],
    failures: SummaryFailures,
) -> int:
    """Each page and text by itself, or with the others of a part that succeeds."""
    items = [*((page, True) for page in sorted(pages)), *((text, False) for text in sorted(texts))]

    def update_part(part: Sequence[tuple[int, bool]]) -> int:
        still_dirty = (
            store.summaries.dirty_pages_among(database, (n for n, is_page in part if is_page)),
            store.summaries.dirty_texts_among(database, (n for n, is_page in part if not is_page)),
        )
        return _update_summaries(database, settings, *still_dirty, should_stop) if any(still_dirty) and not should_stop() else 0

    def record_failure(item: tuple[int, bool], error: Exception) -> None:
        log_error_once(error, "summing up a page")
        failures.last_error = error
        (failures.pages if item[1] else failures.texts).add(item[0])

    return max(1, sum(isolate_failures(items, update_part, record_failure)))


def update_all_summaries(
    database: WritableDatabase, settings: Settings, progress: Callable[[int], Any] = lambda _: None, failures: SummaryFailures | None = None
) -> int:
    """The same until nothing is due; returns the number of pages."""
    total = 0
    while count := update_summaries(database, settings, PAGES_PER_BATCH, failures=failures):
        total += count
        progress(count)
    return total


def rebuild_summaries(database: WritableDatabase, settings: Settings, progress: Callable[[int], Any] = lambda _: None) -> int:
    """Everything anew; returns the number of pages."""
    with database.transaction() as transaction:
        store.summaries.delete_all(transaction)
    return update_all_summaries(database, settings, progress)


def summaries_recipe(settings: Settings) -> str:
    """What summaries are made by beside the records: whose an article is."""
    aliases = json.dumps([a.model_dump() for a in settings.publishers.aliases], ensure_ascii=False, sort_keys=True)
    return f"summaries1/{xxhash.xxh3_64_hexdigest(aliases.encode('utf-8', 'surrogatepass'))}"


class _SummaryUpdate:
    """What is worked off at once: `pages` and `texts` that chains of matches, or clusters as they were, connect with what is due, those
    of the pages that are `dirty_pages` summed up."""

    def __init__(self, transaction: Transaction, publishers: PublisherResolver) -> None:
        self._transaction, self._publishers = transaction, publishers
        self.pages: set[int] = set()
        self.texts: set[int] = set()
        self.dirty_pages: set[int] = set()

    def connect(self, pages: set[int], texts: set[int], should_stop: Callable[[], bool]) -> None:
        """Take these, and whatever is connected with them."""
        transaction = self._transaction
        while pages or texts:
            beat()
            if should_stop():
                raise ShutdownRequested
            self.pages |= pages
            self.texts |= texts
            self._summarise(store.summaries.dirty_pages_among(transaction, pages))
            clusters = store.summaries.clusters_with_pages(transaction, pages)
            connected_texts = set(store.summaries.summarised_texts(transaction, pages).values()) | store.summaries.texts_in_same_cluster(
                transaction, texts
            )
            connected_pages = (
                clusters
                | {m.page_id for m in store.summaries.member_rows(transaction, clusters)}
                | store.summaries.pages_showing(transaction, texts)
            )
            pages, texts = connected_pages - self.pages, connected_texts - self.texts

    def _summarise(self, pages: set[int]) -> None:
        rows = compute_summary_rows(self._transaction, self._publishers, pages)
        store.summaries.delete(self._transaction, pages - {row.page_id for row in rows})
        store.summaries.upsert(self._transaction, rows)
        self.dirty_pages |= pages


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
    """Compute the clusters and their members; `articles` must hold every article that a chain of `matches` connects with one of them."""
    stars = list(_iterate_checked(MatchGraph(articles, matches).find_clusters(), should_stop))
    return {_cluster_row(star) for star in stars}, {row for star in stars for row in _member_rows(star)}


def assign_cluster_roles(clusters: Iterable[ClusterRow], members: Iterable[MemberRow]) -> dict[int, str]:
    """Page → `representative` or `member`; pages in no cluster are left out."""
    return dict.fromkeys((m.page_id for m in members), "member") | dict.fromkeys((c.page_id for c in clusters), "representative")


def _iterate_checked(rows: Iterable[_T], should_stop: Callable[[], bool]) -> Iterator[_T]:
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
    """How many of these times, in order, lie so soon after the first at most."""
    return sum(times.seconds_between(published[0], time) <= seconds for time in published)


def _member_rows(star: StarCluster[ClusterableArticle]) -> Iterable[MemberRow]:
    return (
        MemberRow(star.representative.page_id, a.page_id, link.relation, link.similarity, link.scores.coverage, via)
        for a, link, via in star.members
    )
