"""Compare the stored summaries and clusters with those computed from the records."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from dedup import store
from dedup.doctor.context import CheckContext, Finding, Steps
from dedup.doctor.records import has_current_recipes, name_pages, rows_finding
from dedup.maintenance import summaries
from dedup.store import Database
from dedup.store.summaries import ClusterableArticle, SummaryRow

CHECK = "summaries"
BATCH_SIZE = 500
"""Pages compared at once, with all pages that matches connect to them."""

WRONG_SUMMARIES = "pages whose summary differs from their sightings"
WRONG_CLUSTERS = "pages whose clusters differ from their matches"
_REMEDY = "Run 'dedup doctor --repair' or 'dedup reindex --summaries' to compute them from the records."


@dataclass(frozen=True, slots=True)
class _Component:
    """Pages that chains of matches connect, and the texts they show.

    The summaries of `dirty_pages` are about to be updated. `stale`: so are some of the clusters."""

    pages: frozenset[int]
    texts: frozenset[int]
    dirty_pages: frozenset[int]
    stale: bool


def check_summaries(context: CheckContext) -> Iterator[Finding]:
    """Compute every summary and cluster and compare it with the stored one. Skips those that are about to be updated."""
    database = context.readable_database
    if not has_current_recipes(context) or store.settings.get(database, summaries.RECIPE_SETTING) != summaries.summaries_recipe(
        context.settings
    ):
        return  # all summaries are rebuilt once the database has the settings in force
    publishers = context.settings.publishers.build_publishers()
    wrong: dict[str, list[int]] = {WRONG_SUMMARIES: [], WRONG_CLUSTERS: []}
    compared: set[int] = set()  # pages after `last` that were compared as part of a component
    last = 0
    while pages := store.summaries.page_ids(database, after_id=last, limit=BATCH_SIZE):
        last = pages[-1]
        with database.snapshot():
            for component in _components(database, [page for page in pages if page not in compared]):
                compared |= {page for page in component.pages if page > last}
                rows = summaries.compute_summary_rows(database, publishers, component.pages)
                wrong[WRONG_SUMMARIES] += sorted(_pages_with_wrong_summary(database, component, rows))
                if not component.stale:
                    wrong[WRONG_CLUSTERS] += sorted(_pages_with_wrong_clusters(database, component, rows))
        context.add_checked(CHECK, len(pages))
    for message, wrong_pages in wrong.items():
        if wrong_pages:
            yield replace(rows_finding(name_pages(context, wrong_pages), message, "summaries", _REMEDY), check=CHECK)


STEPS: Steps = {"summaries and clusters": check_summaries}


def _components(database: Database, pages: Collection[int]) -> Iterator[_Component]:
    """Yield the pages that matches connect to these: all in one component, or page by page if some of it is stale."""
    if not pages:
        return
    connected = _connected_component(database, pages)
    if not connected.stale:
        yield connected
        return
    remaining = set(pages)
    while remaining:
        component = _connected_component(database, [min(remaining)])
        remaining -= component.pages
        yield component


def _connected_component(database: Database, pages: Collection[int]) -> _Component:
    all_pages: set[int] = set()
    all_texts: set[int] = set()
    new_pages, new_texts = set(pages), set[int]()
    while new_pages or new_texts:
        all_pages |= new_pages
        all_texts |= new_texts
        connected_texts = store.summaries.current_texts(database, new_pages) | store.summaries.texts_in_same_cluster(database, new_texts)
        new_pages, new_texts = store.summaries.pages_showing(database, new_texts) - all_pages, connected_texts - all_texts
    dirty_pages = frozenset(store.summaries.dirty_pages_among(database, all_pages))
    return _Component(
        frozenset(all_pages),
        frozenset(all_texts),
        dirty_pages,
        stale=bool(dirty_pages or store.summaries.dirty_texts_among(database, all_texts)),
    )


def _pages_with_wrong_summary(database: Database, component: _Component, rows: Collection[SummaryRow]) -> set[int]:
    """Return the pages of a component whose stored summary differs from `rows`, without dirty ones."""
    return {row.page_id for row in set(rows) ^ store.summaries.stored_rows(database, component.pages)} - component.dirty_pages


def _pages_with_wrong_clusters(database: Database, component: _Component, rows: Collection[SummaryRow]) -> set[int]:
    """Return the pages of a component whose cluster rows, member rows or roles differ from the computed ones."""
    crowded = store.texts.crowded(database, component.texts)
    urls = store.pages.urls(database, component.pages)
    articles = [_to_page_summary(row, urls[row.page_id], crowded=row.text_id in crowded) for row in rows]
    clusters, members = summaries.compute_clusters(articles, store.summaries.cluster_matches(database, component.texts))
    ids = store.summaries.clusters_with_pages(database, component.pages)
    roles = summaries.assign_cluster_roles(clusters, members)
    stored_roles = store.summaries.cluster_roles(database, component.pages)
    wrong = {row.page_id for row in clusters ^ store.summaries.cluster_rows(database, ids)} | {
        row.page_id for row in members ^ store.summaries.member_rows(database, ids)
    }
    return wrong | {page for page, role in stored_roles.items() if role != roles.get(page, "alone")}


def _to_page_summary(row: SummaryRow, url: str, *, crowded: bool) -> ClusterableArticle:
    return ClusterableArticle(
        row.page_id,
        row.text_id,
        url,
        row.publisher,
        row.published_at,
        row.first_crawled_at,
        row.last_crawled_at,
        row.check_status,
        crowded,
        "alone",
    )
