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
from dedup.heartbeat import beat
from dedup.model import Match
from dedup.scan.isolation import each_apart, is_of_file, log_once
from dedup.similarity.clustering import Graph, Star
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.corruption import UNEXPECTED
from dedup.store.summaries import ClusterRow, MemberRow, SummaryRow, Summed
from dedup.text import times
from dedup.text.publishers import Publishers

SLICE = 2000
"""Pages that are taken at once, and what they are connected to."""
FIRST_HOUR = 3600.0
LOOKED_UP = 1000
"""Rows after which it is asked whether there is time for more."""
RECIPE = "recipe.summaries"
_T = TypeVar("_T")


class _LeavingError(Exception):
    """It takes too long to be finished; nothing of it is written."""


@dataclass(slots=True)
class Failed:
    """What could not be summed up lately, because the program fails at it: it stays due, and does not keep the rest from being summed
    up. `error` is the last that was met."""

    pages: set[int] = field(default_factory=set)
    texts: set[int] = field(default_factory=set)
    error: Exception | None = None

    def __len__(self) -> int:
        return len(self.pages) + len(self.texts)


def work_off(
    database: WritableDatabase, settings: Settings, most: int, leave: Callable[[], bool] = lambda: False, failed: Failed | None = None
) -> int:
    """Work off some of what is due in a transaction of its own; returns the number of pages, 0 once nothing is due, or where `leave` says
    that there is no time for it: then it is due as before.

    With `failed`, whatever the program fails at is added to that and left out: what is due is worked off in smaller parts then, until
    the page or text that it fails at is alone. Raises errors of SQLite and the system, and without `failed` all.
    """
    current = recipe(settings)
    if store.settings.get(database, RECIPE) != current:
        with database.transaction() as transaction:
            store.summaries.mark_all_due(transaction)
            store.settings.put(transaction, RECIPE, current)
    pages, texts = store.summaries.due_batch(database, most + (len(failed) if failed else 0))
    if failed:
        pages, texts = pages - failed.pages, texts - failed.texts
    if not pages and not texts:
        return 0
    database.lock.doing("summing up what was recorded")
    number = 0
    try:
        number = _work_off(database, settings, pages, texts, leave)
    except Exception as error:
        if failed is None or not is_of_file(error):
            raise
        if failed.error is None and isinstance(error, UNEXPECTED):
            database.require_sound(error)
        failed.error = error
        number = _in_parts(database, settings, pages, texts, leave, failed)
    database.lock.doing("")
    return number


def _work_off(database: WritableDatabase, settings: Settings, pages: set[int], texts: set[int], leave: Callable[[], bool]) -> int:
    with suppress(_LeavingError), database.transaction() as transaction:
        work = _Work(transaction, settings.publishers.publishers())
        work.connect(pages, texts, leave)
        _cluster(transaction, work.pages, work.texts, leave)
        store.summaries.mark_done(transaction, work.due, work.texts)
        return len(work.due) or len(texts)
    return 0


def _in_parts(
    database: WritableDatabase, settings: Settings, pages: set[int], texts: set[int], leave: Callable[[], bool], failed: Failed
) -> int:
    """Each page and text by itself, or with the others of a part that succeeds."""
    due = [*((page, True) for page in sorted(pages)), *((text, False) for text in sorted(texts))]

    def work(part: Sequence[tuple[int, bool]]) -> int:
        still = (
            store.summaries.due_pages_among(database, (n for n, is_page in part if is_page)),
            store.summaries.due_texts_among(database, (n for n, is_page in part if not is_page)),
        )
        return _work_off(database, settings, *still, leave) if any(still) and not leave() else 0

    def aside(one: tuple[int, bool], error: Exception) -> None:
        log_once(error, "summing up a page")
        failed.error = error
        (failed.pages if one[1] else failed.texts).add(one[0])

    return max(1, sum(each_apart(due, work, aside)))


def work_all_off(
    database: WritableDatabase, settings: Settings, progress: Callable[[int], Any] = lambda _: None, failed: Failed | None = None
) -> int:
    """The same until nothing is due; returns the number of pages."""
    number = 0
    while done := work_off(database, settings, SLICE, failed=failed):
        number += done
        progress(done)
    return number


def work_all_again(database: WritableDatabase, settings: Settings, progress: Callable[[int], Any] = lambda _: None) -> int:
    """Everything anew; returns the number of pages."""
    with database.transaction() as transaction:
        store.summaries.delete_all(transaction)
    return work_all_off(database, settings, progress)


def recipe(settings: Settings) -> str:
    """What summaries are made by beside the records: whose an article is."""
    aliases = json.dumps([a.model_dump() for a in settings.publishers.aliases], ensure_ascii=False, sort_keys=True)
    return f"summaries1/{xxhash.xxh3_64_hexdigest(aliases.encode('utf-8', 'surrogatepass'))}"


class _Work:
    """What is worked off at once: `pages` and `texts` that chains of matches, or clusters as they were, connect with what is due, those
    of the pages that are `due` summed up."""

    def __init__(self, transaction: Transaction, publishers: Publishers) -> None:
        self._transaction, self._publishers = transaction, publishers
        self.pages: set[int] = set()
        self.texts: set[int] = set()
        self.due: set[int] = set()

    def connect(self, pages: set[int], texts: set[int], leave: Callable[[], bool]) -> None:
        """Take these, and whatever is connected with them."""
        transaction = self._transaction
        while pages or texts:
            beat()
            if leave():
                raise _LeavingError
            self.pages |= pages
            self.texts |= texts
            self._summarise(store.summaries.due_pages_among(transaction, pages))
            held = store.summaries.clusters_with_pages(transaction, pages)
            found_texts = set(store.summaries.summarised_texts(transaction, pages).values()) | store.summaries.texts_in_same_cluster(
                transaction, texts
            )
            found_pages = (
                held | {m.page_id for m in store.summaries.member_rows(transaction, held)} | store.summaries.pages_showing(transaction, texts)
            )
            pages, texts = found_pages - self.pages, found_texts - self.texts

    def _summarise(self, pages: set[int]) -> None:
        rows = summary_rows(self._transaction, self._publishers, pages)
        store.summaries.delete(self._transaction, pages - {row.page_id for row in rows})
        store.summaries.write(self._transaction, rows)
        self.due |= pages


def summary_rows(database: Database, publishers: Publishers, pages: Iterable[int]) -> list[SummaryRow]:
    """Compute the summaries of those pages that have a current sighting, from their sightings and changes alone."""
    wanted = sorted(pages)
    crawls = {page: list(rows) for page, rows in groupby(store.summaries.counted_crawls(database, wanted), key=itemgetter(0))}
    changes = store.summaries.count_changes(database, wanted)
    return [
        SummaryRow(
            page, publishers.house(printed, oid, url), published, crawls[page][0][1], crawled, status, cause,
            len({revision for _, _, revision in crawls[page]}), len(crawls[page]), *changes.get(page, (0, 0)), characters, text,
        )
        for page, url, printed, oid, published, crawled, status, cause, characters, text in store.summaries.current_crawls(database, wanted)
    ]  # fmt: skip


def _cluster(transaction: Transaction, pages: Collection[int], texts: Collection[int], leave: Callable[[], bool]) -> None:
    before = store.summaries.clusters_with_pages(transaction, pages)
    old_clusters, old_members = store.summaries.cluster_rows(transaction, before), store.summaries.member_rows(transaction, before)
    articles = store.summaries.articles(transaction, pages)
    clusters, members = cluster_rows(articles, _each(store.summaries.cluster_matches(transaction, texts), leave), leave)
    gone = {c.page_id for c in old_clusters} - {c.page_id for c in clusters}
    store.summaries.replace_clusters(transaction, clusters - old_clusters, gone)
    store.summaries.replace_members(transaction, members - old_members, (m for m in old_members - members if m.cluster_id not in gone))
    places = places_in(clusters, members)
    store.summaries.set_cluster_positions(
        transaction, ((a.page_id, places.get(a.page_id, "alone")) for a in articles if a.place != places.get(a.page_id, "alone"))
    )


def cluster_rows(
    articles: Iterable[Summed], matches: Iterable[Match], leave: Callable[[], bool] = lambda: False
) -> tuple[set[ClusterRow], set[MemberRow]]:
    """Compute the clusters and their members; `articles` must hold every article that a chain of `matches` connects with one of them."""
    stars = list(_each(Graph(articles, matches).stars(), leave))
    return {_cluster_row(star) for star in stars}, {row for star in stars for row in _member_rows(star)}


def places_in(clusters: Iterable[ClusterRow], members: Iterable[MemberRow]) -> dict[int, str]:
    """Page → `representative` or `member`; pages in no cluster are left out."""
    return dict.fromkeys((m.page_id for m in members), "member") | dict.fromkeys((c.page_id for c in clusters), "representative")


def _each(rows: Iterable[_T], leave: Callable[[], bool]) -> Iterator[_T]:
    for number, row in enumerate(rows):
        if number % LOOKED_UP == 0:
            beat()
            if leave():
                raise _LeavingError
        yield row


def _cluster_row(star: Star[Summed]) -> ClusterRow:
    articles = [star.representative, *dict.fromkeys(m[0] for m in star.members)]
    published = sorted(a.published_at for a in articles if a.published_at)
    by = Counter(link.relation for _, link, _ in star.members)
    return ClusterRow(
        star.representative.page_id,
        len(articles),
        len({a.publisher for a in articles}),
        by["exact"],
        by["near"],
        by["copy"],
        published[0] if published else None,
        published[-1] if published else None,
        min(a.first_at for a in articles),
        max(a.first_at for a in articles),
        _within(published, FIRST_HOUR),
    )


def _within(published: list[str], seconds: float) -> int:
    """How many of these times, in order, lie so soon after the first at most."""
    return sum(times.seconds_between(published[0], time) <= seconds for time in published)


def _member_rows(star: Star[Summed]) -> Iterable[MemberRow]:
    return (
        MemberRow(star.representative.page_id, a.page_id, link.relation, link.similarity, link.numbers.coverage, via)
        for a, link, via in star.members
    )
