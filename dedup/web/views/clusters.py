"""Clusters: the list of them, and one with its articles."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from dedup import charts, reports, store
from dedup.model import CLUSTER_RELATIONS
from dedup.store import Database
from dedup.store.lists import CLUSTER_ORDERS, ClusterFilter, ClusterListRow
from dedup.text import times
from dedup.web.filters import format_time_span
from dedup.web.links import decode_cursor, encode_cursor
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 50
"""Clusters, or articles of one, on one page."""
ORDERS = tuple(CLUSTER_ORDERS)
FILTER_PARAMETERS = ("order", "publisher", "relation", "min_size", "across_publishers", "since", "until")


def view(database: Database, query: QueryParameters) -> Page:
    """Clusters, those that grew last first."""
    order = query.choice("order", ORDERS, ORDERS[0])
    cursor = decode_cursor(query.text("cursor"), str if order == "newest" else int, str)
    publisher = query.publisher("publisher")
    criteria = ClusterFilter(
        publisher, query.choice("relation", ("", *CLUSTER_RELATIONS), "") or None, query.integer("min_size", 0, 10**9),
        query.flag("across_publishers"),         query.timestamp("since"), query.timestamp("until"),
    )  # fmt: skip
    results = store.lists.list_clusters(database, criteria, order, (cursor[0], cursor[1]) if cursor else None, PAGE_SIZE + 1)
    rows = results[:PAGE_SIZE]
    next_cursor = encode_cursor(getattr(rows[-1], CLUSTER_ORDERS[order]), rows[-1].url) if len(results) > PAGE_SIZE else None
    parameters = {name: query.text(name) for name in FILTER_PARAMETERS}
    content = {
        "filters": {name: value for name, value in parameters.items() if value},
        "order": order,
        "clusters": [cluster_as_json(c) for c in rows],
        "next_cursor": next_cursor,
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
    }
    context = {
        "parameters": parameters, "orders": ORDERS, "relations": CLUSTER_RELATIONS, "publishers": store.lists.publishers(database),
        "is_first_page": cursor is None, "has_any": bool(rows) or store.statistics.count(database, "clusters") > 0,
    }  # fmt: skip
    return Page("clusters.html", "Clusters", content, context)


def cluster_as_json(cluster: ClusterListRow) -> dict[str, Any]:
    """A cluster with how long it took to spread."""
    has_times = cluster.first_published_at is not None and cluster.last_published_at is not None
    span_seconds = times.seconds_between(cluster.first_published_at or "", cluster.last_published_at or "") if has_times else None
    return cluster._asdict() | {"span_seconds": span_seconds}


def view_one(database: Database, query: QueryParameters) -> Page:
    """The cluster that a page is in: its own, or the largest of those it is a member of, the others by name. `representative` names
    another of them."""
    reference = query.text("url")
    if not reference:
        return Page("cluster.html", "A cluster", {"url": None}, {})
    canonicaliser = query.settings.urls.build_canonicaliser()
    page = reports.find_page(database, canonicaliser, reference, None)
    cursor = decode_cursor(query.text("cursor"), str, str)
    url = store.pages.url(database, page)
    clusters = store.lists.clusters_of_page(database, page)
    if not clusters:
        return Page(
            "cluster.html",
            "No cluster",
            {"url": url, "cluster": None, "dirty_pages": store.statistics.count_unsummarised_pages(database)},
            {},
        )
    cluster = next((c for c in clusters if c.url == query.text("representative")), clusters[0])
    cluster_page_id = store.pages.get_by_url(database, cluster.url)
    assert cluster_page_id is not None
    results = store.lists.cluster_members(database, cluster_page_id, (cursor[0], cursor[1]) if cursor else None, PAGE_SIZE + 1)
    rows = results[:PAGE_SIZE]
    first_published = cluster.first_published_at
    members = [
        m._asdict()
        | {
            "lag_seconds": times.seconds_between(first_published, m.published_at) if first_published and m.published_at else None,
            "representative": not m.relation,
        }
        for m in rows
    ]
    publications = store.statistics.publications(database, cluster_page_id)
    content = {
        "url": url,
        "cluster": cluster_as_json(cluster),
        "other_clusters": [c.url for c in clusters if c.url != cluster.url],
        "members": members,
        "next_cursor": encode_cursor(rows[-1].published_at or rows[-1].first_crawled_at, rows[-1].url)
        if len(results) > PAGE_SIZE
        else None,
        "publication_times": [{"at": p.published_at, "publisher": p.publisher} for p in publications[:1000]],
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
    }
    is_first_page = cursor is None
    context = {
        "is_first_page": is_first_page,
        "chart": _chart([p.published_at for p in publications]) if is_first_page else None,
        "titles": {c.url: c.title for c in clusters},
    }
    return Page("cluster.html", cluster.title or cluster.url, content, context)


def _chart(publication_times: list[str]) -> Markup:
    """How many articles of the cluster had been published by when."""
    if len(publication_times) < 2:
        return Markup("")
    total_seconds = times.seconds_between(publication_times[0], publication_times[-1]) or 1.0
    points = tuple((times.seconds_between(publication_times[0], at) / total_seconds, n) for n, at in enumerate(publication_times, 1))
    ticks = [charts.AxisTick(place, format_time_span(total_seconds * place)) for place in (0.0, 0.5, 1.0)]
    description = "A line that rises with each article, by the time after the first."
    line = charts.StepLine(points, f"{len(publication_times):,} articles")
    return Markup(charts.render_step_lines("Articles over time", description, [line], ticks))  # noqa: S704  it escapes
