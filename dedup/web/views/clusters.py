"""Clusters: the list of them, and one with its articles."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from dedup import charts, reports, store
from dedup.model import CLUSTERED
from dedup.store import Database
from dedup.store.lists import CLUSTER_ORDERS, ClusterFilter, ListedCluster
from dedup.text import times
from dedup.web.filters import span
from dedup.web.links import key, unkey
from dedup.web.render import Answer, Asked

SHOWN = 50
"""Clusters, or articles of one, on one page."""
ORDERS = tuple(CLUSTER_ORDERS)
FILTERS = ("order", "publisher", "relation", "size", "across", "since", "until")


def view(database: Database, asked: Asked) -> Answer:
    """Clusters, those that grew last first."""
    order = asked.one_of("order", ORDERS, ORDERS[0])
    place = unkey(asked.text("after"), str if order == "newest" else int, str)
    publisher = asked.house("publisher")
    wanted = ClusterFilter(
        publisher, asked.one_of("relation", ("", *CLUSTERED), "") or None, asked.whole("size", 0, 10**9), asked.flag("across"),
        asked.moment("since"), asked.moment("until"),
    )  # fmt: skip
    found = store.lists.list_clusters(database, wanted, order, (place[0], place[1]) if place else None, SHOWN + 1)
    rows = found[:SHOWN]
    after = key(getattr(rows[-1], CLUSTER_ORDERS[order]), rows[-1].url) if len(found) > SHOWN else None
    given = {name: asked.text(name) for name in FILTERS}
    told = {
        "filters": {name: value for name, value in given.items() if value},
        "order": order,
        "clusters": [as_told(c) for c in rows],
        "after": after,
        "due": store.lists.count_unsummarised_pages(database),
    }
    more = {
        "given": given, "orders": ORDERS, "relations": CLUSTERED, "publishers": store.lists.publishers(database), "begun": place is None,
        "any": bool(rows) or store.statistics.count(database, "clusters") > 0,
    }  # fmt: skip
    return Answer("clusters.html", "Clusters", told, more)


def as_told(c: ListedCluster) -> dict[str, Any]:
    """A cluster with how long it took to spread."""
    known = c.first_published is not None and c.last_published is not None
    span = times.seconds_between(c.first_published or "", c.last_published or "") if known else None
    return c._asdict() | {"span_seconds": span}


def one(database: Database, asked: Asked) -> Answer:
    """The cluster that a page is in: its own, or the largest of those it is a member of, the others by name. `of` names
    another of them."""
    wanted = asked.text("url")
    if not wanted:
        return Answer("cluster.html", "A cluster", {"url": None}, {})
    canonicaliser = asked.settings.urls.canonicaliser()
    page = reports.find_page(database, canonicaliser, wanted, None)
    place = unkey(asked.text("after"), str, str)
    url = store.pages.url(database, page)
    within = store.lists.clusters_of_page(database, page)
    if not within:
        return Answer(
            "cluster.html", "No cluster", {"url": url, "cluster": None, "due": store.lists.count_unsummarised_pages(database)}, {}
        )
    chosen = next((c for c in within if c.url == asked.text("of")), within[0])
    cluster = store.pages.get_by_url(database, chosen.url)
    assert cluster is not None
    found = store.lists.cluster_members(database, cluster, (place[0], place[1]) if place else None, SHOWN + 1)
    rows = found[:SHOWN]
    first = chosen.first_published
    members = [
        m._asdict()
        | {
            "lag_seconds": times.seconds_between(first, m.published_at) if first and m.published_at else None,
            "representative": not m.relation,
        }
        for m in rows
    ]
    spread = store.lists.publication_times(database, cluster)
    told = {
        "url": url,
        "cluster": as_told(chosen),
        "others": [c.url for c in within if c.url != chosen.url],
        "members": members,
        "after": key(rows[-1].published_at or rows[-1].first_at, rows[-1].url) if len(found) > SHOWN else None,
        "spread": [{"at": at, "publisher": publisher} for at, publisher in spread[:1000]],
        "due": store.lists.count_unsummarised_pages(database),
    }
    begun = place is None
    more = {"begun": begun, "chart": _chart([at for at, _ in spread]) if begun else None, "titles": {c.url: c.title for c in within}}
    return Answer("cluster.html", chosen.title or chosen.url, told, more)


def _chart(published: list[str]) -> Markup:
    """How many articles of the cluster had been published by when."""
    if len(published) < 2:
        return Markup("")
    whole = times.seconds_between(published[0], published[-1]) or 1.0
    points = tuple((times.seconds_between(published[0], at) / whole, n) for n, at in enumerate(published, 1))
    ticks = [charts.Tick(place, span(whole * place)) for place in (0.0, 0.5, 1.0)]
    told = "A line that rises with each article, by the time after the first."
    line = charts.Steps(points, f"{len(published):,} articles")
    return Markup(charts.steps("Articles over time", told, [line], ticks))  # noqa: S704  it escapes
