"""Stored summaries and clusters against those that the records make."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from dedup import store
from dedup.doctor.context import Case, Finding, Steps
from dedup.doctor.records import finding, in_force, named_pages
from dedup.maintenance import summaries
from dedup.store import Database
from dedup.store.summaries import SummaryRow, Summed

CHECK = "summaries"
SLICE = 500
"""Pages compared at once, with those that matches connect with them."""

SUMMARY = "pages whose stored summary is not the one that their crawls make"
CLUSTER = "pages whose stored clusters are not those that their matches make"
_REMEDY = "Run 'dedup doctor --repair' or 'dedup reindex --summaries': they are computed again from the records."


@dataclass(frozen=True, slots=True)
class _Component:
    """Pages that matches connect, directly or through others, and the texts they show. The summaries of pages that are `due` wait to be
    computed again. `stale`: so do some of its clusters."""

    pages: frozenset[int]
    texts: frozenset[int]
    due: frozenset[int]
    stale: bool


def stored(case: Case) -> Iterator[Finding]:
    """Every summary and cluster, computed again and compared. Those that wait to be computed again are left out."""
    database = case.asked
    if not in_force(case) or store.settings.get(database, summaries.RECIPE) != summaries.recipe(case.settings):
        return  # everything is computed again once the settings in force are those of the database
    publishers = case.settings.publishers.publishers()
    wrong: dict[str, list[int]] = {SUMMARY: [], CLUSTER: []}
    seen: set[int] = set()  # pages beyond `last` that were compared with others
    last = 0
    while pages := store.summaries.page_ids(database, after=last, most=SLICE):
        last = pages[-1]
        with database.snapshot():
            for component in _components(database, [page for page in pages if page not in seen]):
                seen |= {page for page in component.pages if page > last}
                rows = summaries.summary_rows(database, publishers, component.pages)
                wrong[SUMMARY] += sorted(_wrong_summaries(database, component, rows))
                if not component.stale:
                    wrong[CLUSTER] += sorted(_wrong_clusters(database, component, rows))
        case.look(CHECK, len(pages))
    for what, those in wrong.items():
        if those:
            yield replace(finding(named_pages(case, those), what, "summaries", _REMEDY), check=CHECK)


STEPS: Steps = {"summaries and clusters": stored}


def _components(database: Database, pages: Collection[int]) -> Iterator[_Component]:
    """What matches connect with these pages: all of it at once, or page by page where some of it is stale."""
    if not pages:
        return
    whole = _connected(database, pages)
    if not whole.stale:
        yield whole
        return
    left = set(pages)
    while left:
        component = _connected(database, [min(left)])
        left -= component.pages
        yield component


def _connected(database: Database, pages: Collection[int]) -> _Component:
    all_pages: set[int] = set()
    all_texts: set[int] = set()
    more, texts = set(pages), set[int]()
    while more or texts:
        all_pages |= more
        all_texts |= texts
        found_texts = store.summaries.current_texts(database, more) | store.summaries.texts_in_same_cluster(database, texts)
        more, texts = store.summaries.pages_showing(database, texts) - all_pages, found_texts - all_texts
    due = frozenset(store.summaries.due_pages_among(database, all_pages))
    return _Component(
        frozenset(all_pages), frozenset(all_texts), due, stale=bool(due or store.summaries.due_texts_among(database, all_texts))
    )


def _wrong_summaries(database: Database, component: _Component, rows: Collection[SummaryRow]) -> set[int]:
    """Pages of a component whose summary is not as computed (`rows`), but for those that are due."""
    return {row.page_id for row in set(rows) ^ store.summaries.stored(database, component.pages)} - component.due


def _wrong_clusters(database: Database, component: _Component, rows: Collection[SummaryRow]) -> set[int]:
    """Pages of a component whose cluster rows, member rows or places are not as computed."""
    crowded = store.summaries.crowded_texts(database, component.texts)
    urls = store.pages.urls(database, component.pages)
    articles = [_article(row, urls[row.page_id], crowded=row.text_id in crowded) for row in rows]
    clusters, members = summaries.cluster_rows(articles, store.summaries.cluster_matches(database, component.texts))
    ids = store.summaries.clusters_with_pages(database, component.pages)
    places = summaries.places_in(clusters, members)
    stored_places = store.summaries.cluster_positions(database, component.pages)
    wrong = {row.page_id for row in clusters ^ store.summaries.cluster_rows(database, ids)} | {
        row.page_id for row in members ^ store.summaries.member_rows(database, ids)
    }
    return wrong | {page for page, place in stored_places.items() if place != places.get(page, "alone")}


def _article(row: SummaryRow, url: str, *, crowded: bool) -> Summed:
    return Summed(
        row.page_id, row.text_id, url, row.publisher, row.published_at, row.first_at, row.last_at, row.check_status, crowded, "alone"
    )
