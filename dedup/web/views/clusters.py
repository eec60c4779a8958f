"""The list of clusters, and one cluster with its articles."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from dedup import charts, reports, store
from dedup.model import CLUSTER_RELATIONS
from dedup.store import Database
from dedup.store.lists import CLUSTER_ORDERS, ClusterFilter, ClusterListRow, MemberListRow
from dedup.text import times
from dedup.web.filters import format_time_span
from dedup.web.links import decode_cursor, encode_cursor
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 50
"""Clusters, or articles of a cluster, on one page of the list."""
ORDERS = tuple(CLUSTER_ORDERS)
FILTER_PARAMETERS = ("order", "publisher", "relation", "min_size", "across_publishers", "since", "until")


def view(database: Database, query: QueryParameters) -> Page:
    """List clusters, by default in the order in which they last grew, newest first."""
    order = query.choice("order", ORDERS, ORDERS[0])
    cursor = decode_cursor(query.text("cursor"), str if order == "newest" else int, str)
    publisher = query.publisher("publisher")
    criteria = ClusterFilter(
        publisher, query.choice("relation", ("", *CLUSTER_RELATIONS), "") or None, query.integer("min_size", 0, 10**9),
        query.flag("across_publishers"), query.timestamp("since"), query.timestamp("until"),
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
    """Return a cluster with `span_seconds`, the time from the first publication to the last."""
    has_times = cluster.first_published_at is not None and cluster.last_published_at is not None
    span_seconds = times.seconds_between(cluster.first_published_at or "", cluster.last_published_at or "") if has_times else None
    return cluster._asdict() | {"span_seconds": span_seconds}


def view_one(database: Database, query: QueryParameters) -> Page:
    """Show a cluster of a page: the one that it represents, or the largest of which it is a member.

    The parameter `representative` selects another cluster of the page by the URL of its representative.
    """
    reference = query.text("url")
    if not reference:
        return Page("cluster.html", "Find a cluster", {"url": None}, {})
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
    next_cursor = encode_cursor(rows[-1].published_at or rows[-1].first_crawled_at, rows[-1].url) if len(results) > PAGE_SIZE else None
    publications = store.statistics.publications(database, cluster_page_id)
    content = {
        "url": url,
        "cluster": cluster_as_json(cluster),
        "other_clusters": [c.url for c in clusters if c.url != cluster.url],
        "members": [_member_as_json(m, cluster.first_published_at) for m in rows],
        "next_cursor": next_cursor,
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


def _member_as_json(member: MemberListRow, first_published_at: str | None) -> dict[str, Any]:
    has_times = first_published_at is not None and member.published_at is not None
    lag_seconds = times.seconds_between(first_published_at or "", member.published_at or "") if has_times else None
    return member._asdict() | {"lag_seconds": lag_seconds, "representative": not member.relation}


def _chart(publication_times: list[str]) -> Markup:
    """Return a chart of the number of published articles over time, empty for fewer than two."""
    if len(publication_times) < 2:
        return Markup("")
    total_seconds = times.seconds_between(publication_times[0], publication_times[-1]) or 1.0
    points = tuple((times.seconds_between(publication_times[0], at) / total_seconds, n) for n, at in enumerate(publication_times, 1))
    ticks = [charts.AxisTick(place, format_time_span(total_seconds * place)) for place in (0.0, 0.5, 1.0)]
    description = "A line that rises by one with each article, over the time since the first publication."
    line = charts.StepLine(points, f"{len(publication_times):,} articles")
    return Markup(charts.render_step_lines("Articles over time", description, [line], ticks))  # noqa: S704  it escapes
