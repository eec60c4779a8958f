"""The list of pages."""

from __future__ import annotations

from dedup import store
from dedup.similarity.clustering import CHECK_ORDER
from dedup.store import Database
from dedup.store.lists import PAGE_ORDERS, PageFilter
from dedup.web.links import decode_cursor, encode_cursor
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 100
"""Pages on one page of the list."""
ORDERS = tuple(PAGE_ORDERS)
CLUSTER_ROLES = ("alone", "representative", "member")
FILTER_PARAMETERS = ("order", "publisher", "cluster_role", "check_status", "edited", "since", "until")


def view(database: Database, query: QueryParameters) -> Page:
    """List pages, by default in the order of their latest crawl, newest first."""
    order = query.choice("order", ORDERS, ORDERS[0])
    cursor = decode_cursor(query.text("cursor"), int if order == "edited" else str, str)
    publisher = query.publisher("publisher")
    criteria = PageFilter(
        publisher, query.choice("cluster_role", ("", *CLUSTER_ROLES), "") or None,
        query.choice("check_status", ("", *CHECK_ORDER), "") or None,
        query.flag("edited"), query.timestamp("since"), query.timestamp("until"),
    )  # fmt: skip
    results = store.lists.list_pages(database, criteria, order, (cursor[0], cursor[1]) if cursor else None, PAGE_SIZE + 1)
    rows = results[:PAGE_SIZE]
    next_cursor = encode_cursor(getattr(rows[-1], PAGE_ORDERS[order]), rows[-1].url) if len(results) > PAGE_SIZE else None
    parameters = {name: query.text(name) for name in FILTER_PARAMETERS}
    content = {
        "filters": {name: value for name, value in parameters.items() if value},
        "order": order,
        "pages": [p._asdict() for p in rows],
        "next_cursor": next_cursor,
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
    }
    context = {
        "parameters": parameters, "orders": ORDERS, "cluster_roles": CLUSTER_ROLES, "checks": CHECK_ORDER,
        "publishers": store.lists.publishers(database), "is_first_page": cursor is None,
        "has_any": bool(rows) or store.statistics.count(database, "summaries") > 0,
    }  # fmt: skip
    return Page("pages.html", "Pages", content, context)
