"""Stored summaries and clusters against those that the records make."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from dedup.doctor.context import Case, Finding, Steps
from dedup.doctor.records import finding, in_force, named_pages
from dedup.maintenance import summaries
from dedup.store.integrity import Auditor
from dedup.store.summing import SummaryRow, Summed

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
    store = case.asked
    if not in_force(case) or store.setting(summaries.RECIPE) != summaries.recipe(case.settings):
        return  # everything is computed again once the settings in force are those of the database
    publishers = case.settings.publishers.publishers()
    wrong: dict[str, list[int]] = {SUMMARY: [], CLUSTER: []}
    seen: set[int] = set()  # pages beyond `last` that were compared with others
    last = 0
    while pages := store.page_ids(after=last, most=SLICE):
        last = pages[-1]
        with store.moment():
            for component in _components(store, [page for page in pages if page not in seen]):
                seen |= {page for page in component.pages if page > last}
                rows = summaries.summary_rows(store, publishers, component.pages)
                wrong[SUMMARY] += sorted(_wrong_summaries(store, component, rows))
                if not component.stale:
                    wrong[CLUSTER] += sorted(_wrong_clusters(store, component, rows))
        case.look(CHECK, len(pages))
    for what, those in wrong.items():
        if those:
            yield replace(finding(named_pages(case, those), what, "summaries", _REMEDY), check=CHECK)


STEPS: Steps = {"summaries and clusters": stored}


def _components(store: Auditor, pages: Collection[int]) -> Iterator[_Component]:
    """What matches connect with these pages: all of it at once, or page by page where some of it is stale."""
    if not pages:
        return
    whole = _connected(store, pages)
    if not whole.stale:
        yield whole
        return
    left = set(pages)
    while left:
        component = _connected(store, [min(left)])
        left -= component.pages
        yield component


def _connected(store: Auditor, pages: Collection[int]) -> _Component:
    all_pages: set[int] = set()
    all_texts: set[int] = set()
    more, texts = set(pages), set[int]()
    while more or texts:
        all_pages |= more
        all_texts |= texts
        found_texts = store.current_texts(more) | store.texts_beside(texts)
        more, texts = store.pages_showing(texts) - all_pages, found_texts - all_texts
    due = frozenset(store.due_among(all_pages))
    return _Component(frozenset(all_pages), frozenset(all_texts), due, stale=bool(due or store.due_texts_among(all_texts)))


def _wrong_summaries(store: Auditor, component: _Component, rows: Collection[SummaryRow]) -> set[int]:
    """Pages of a component whose summary is not as computed (`rows`), but for those that are due."""
    return {row.page_id for row in set(rows) ^ store.stored_summaries(component.pages)} - component.due


def _wrong_clusters(store: Auditor, component: _Component, rows: Collection[SummaryRow]) -> set[int]:
    """Pages of a component whose cluster rows, member rows or places are not as computed."""
    crowded = store.crowded_among(component.texts)
    urls = store.urls_of(component.pages)
    articles = [_article(row, urls[row.page_id], crowded=row.text_id in crowded) for row in rows]
    clusters, members = summaries.cluster_rows(articles, store.cluster_matches(component.texts))
    ids = store.clusters_with(component.pages)
    places = summaries.places_in(clusters, members)
    stored_places = store.places_of(component.pages)
    wrong = {row.page_id for row in clusters ^ store.cluster_rows(ids)} | {row.page_id for row in members ^ store.member_rows(ids)}
    return wrong | {page for page, place in stored_places.items() if place != places.get(page, "alone")}


def _article(row: SummaryRow, url: str, *, crowded: bool) -> Summed:
    return Summed(
        row.page_id, row.text_id, url, row.publisher, row.published_at, row.first_at, row.last_at, row.check_status, crowded, "alone"
    )
