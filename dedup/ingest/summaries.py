"""Working off what is due: the summaries of pages whose crawls changed, and the clusters that hold them or came to.

Clusters of articles that no chain of matches connects do not depend on each other: what is due is worked out with all it is connected
to, and comes out as if everything had been worked out anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import xxhash

from dedup import times
from dedup.clustering import Graph, Star
from dedup.config import Settings
from dedup.heartbeat import beat
from dedup.publishers import Publishers
from dedup.store import Writer
from dedup.store.summing import ClusterRow, MemberRow, Summed

SLICE = 2000
"""Pages that are taken at once, and what they are connected to."""
FIRST_HOUR = 3600.0
LOOKED_UP = 1000
"""Rows after which it is asked whether there is time for more."""
RECIPE = "recipe.summaries"
_T = TypeVar("_T")


class _LeavingError(Exception):
    """It takes too long to be finished; nothing of it is written."""


def work_off(store: Writer, settings: Settings, most: int, leave: Callable[[], bool] = lambda: False) -> int:
    """Work off some of what is due in a transaction of its own; returns the number of pages, 0 once nothing is due, or where `leave` says
    that there is no time for it: then it is due as before."""
    recipe = _recipe(settings)
    if store.setting(RECIPE) != recipe:
        with store.transaction():
            store.all_due()
            store.set_setting(RECIPE, recipe)
    pages, texts = store.due_now(most)
    if not pages and not texts:
        return 0
    store.lock.doing("summing up what was recorded")
    number = 0
    with suppress(_LeavingError), store.transaction():
        work = _Work(store, settings.publishers.publishers())
        work.connect(pages, texts, leave)
        _cluster(store, work.pages, work.texts, leave)
        store.no_longer_due(work.due, work.texts)
        number = len(work.due) or len(texts)
    store.lock.doing("")
    return number


def work_all_off(store: Writer, settings: Settings, progress: Callable[[int], Any] = lambda _: None) -> int:
    """The same until nothing is due; returns the number of pages."""
    number = 0
    while done := work_off(store, settings, SLICE):
        number += done
        progress(done)
    return number


def work_all_again(store: Writer, settings: Settings, progress: Callable[[int], Any] = lambda _: None) -> int:
    """Everything anew; returns the number of pages."""
    with store.transaction():
        store.forget_summaries()
    return work_all_off(store, settings, progress)


def _recipe(settings: Settings) -> str:
    """What summaries are made by beside the records: whose an article is."""
    aliases = json.dumps([a.model_dump() for a in settings.publishers.aliases], ensure_ascii=False, sort_keys=True)
    return f"summaries1/{xxhash.xxh3_64_hexdigest(aliases.encode('utf-8', 'surrogatepass'))}"


class _Work:
    """What is worked off at once: `pages` and `texts` that chains of matches, or clusters as they were, connect with what is due, those
    of the pages that are `due` summed up."""

    def __init__(self, store: Writer, publishers: Publishers) -> None:
        self._store, self._publishers = store, publishers
        self.pages: set[int] = set()
        self.texts: set[int] = set()
        self.due: set[int] = set()

    def connect(self, pages: set[int], texts: set[int], leave: Callable[[], bool]) -> None:
        """Take these, and whatever is connected with them."""
        store = self._store
        while pages or texts:
            beat()
            if leave():
                raise _LeavingError
            self.pages |= pages
            self.texts |= texts
            self._summarise(store.due_among(pages))
            held = store.clusters_with(pages)
            found_texts = set(store.texts_shown(pages).values()) | store.texts_beside(texts)
            found_pages = held | {m.page_id for m in store.member_rows(held)} | store.pages_showing(texts)
            pages, texts = found_pages - self.pages, found_texts - self.texts

    def _summarise(self, pages: set[int]) -> None:
        store, wanted = self._store, sorted(pages)
        crawls = {page: list(rows) for page, rows in groupby(store.counted_crawls(wanted), key=itemgetter(0))}
        changes = store.changes_counted(wanted)
        rows = [
            (
                page, self._publishers.house(printed, oid, url), published, crawls[page][0][1], crawled, status, cause,
                len({revision for _, _, revision in crawls[page]}), len(crawls[page]), *changes.get(page, (0, 0)), characters, text,
            )
            for page, url, printed, oid, published, crawled, status, cause, characters, text in store.current_crawls(wanted)
        ]  # fmt: skip
        store.drop_summaries(pages - {row[0] for row in rows})
        store.write_summaries(rows)
        self.due |= pages


def _cluster(store: Writer, pages: Collection[int], texts: Collection[int], leave: Callable[[], bool]) -> None:
    before = store.clusters_with(pages)
    old_clusters, old_members = store.cluster_rows(before), store.member_rows(before)
    articles = store.summed(pages)
    stars = list(_each(Graph(articles, _each(store.cluster_matches(texts), leave)).stars(), leave))
    clusters = {_cluster_row(star) for star in stars}
    members = {row for star in stars for row in _member_rows(star)}
    gone = {c.page_id for c in old_clusters} - {c.page_id for c in clusters}
    store.replace_clusters(clusters - old_clusters, gone)
    store.replace_members(members - old_members, (m for m in old_members - members if m.cluster_id not in gone))
    places = dict.fromkeys((m.page_id for m in members), "member") | dict.fromkeys((c.page_id for c in clusters), "representative")
    store.set_places((a.page_id, places.get(a.page_id, "alone")) for a in articles if a.place != places.get(a.page_id, "alone"))


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
