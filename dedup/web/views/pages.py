"""The list of pages."""

from __future__ import annotations

from dedup import store
from dedup.similarity.clustering import CHECKS
from dedup.store import Database
from dedup.store.lists import PAGE_ORDERS, PageFilter
from dedup.web.links import key, unkey
from dedup.web.render import Answer, Asked

SHOWN = 100
"""Pages at once."""
ORDERS = tuple(PAGE_ORDERS)
PLACES = ("alone", "representative", "member")
FILTERS = ("order", "publisher", "place", "check", "edited", "since", "until")


def view(database: Database, asked: Asked) -> Answer:
    """Pages, those that were crawled last first."""
    order = asked.one_of("order", ORDERS, ORDERS[0])
    place = unkey(asked.text("after"), int if order == "edited" else str, str)
    publisher = asked.house("publisher")
    wanted = PageFilter(
        publisher, asked.one_of("place", ("", *PLACES), "") or None, asked.one_of("check", ("", *CHECKS), "") or None,
        asked.flag("edited"), asked.moment("since"), asked.moment("until"),
    )  # fmt: skip
    found = store.lists.list_pages(database, wanted, order, (place[0], place[1]) if place else None, SHOWN + 1)
    rows = found[:SHOWN]
    after = key(getattr(rows[-1], PAGE_ORDERS[order]), rows[-1].url) if len(found) > SHOWN else None
    given = {name: asked.text(name) for name in FILTERS}
    told = {
        "filters": {name: value for name, value in given.items() if value},
        "order": order,
        "pages": [p._asdict() for p in rows],
        "after": after,
        "due": store.lists.count_unsummarised_pages(database),
    }
    more = {
        "given": given, "orders": ORDERS, "places": PLACES, "checks": CHECKS, "publishers": store.lists.publishers(database), "begun": place is None,
        "any": bool(rows) or store.statistics.count(database, "summaries") > 0,
    }  # fmt: skip
    return Answer("pages.html", "Pages", told, more)
