"""One page: what it said and when, what was edited, who has the same text."""

from __future__ import annotations

from itertools import groupby, islice
from typing import Any

from markupsafe import Markup

from dedup import reports, store
from dedup.model import SEVERITIES
from dedup.reports import STATE_RECIPE, Wanted
from dedup.store import Database
from dedup.store.rows import RevisionRow, TimelineRow
from dedup.text import urls
from dedup.web import charts
from dedup.web.links import digest, key, unkey
from dedup.web.render import Answer, Asked

CRAWLS, REVISIONS, CHANGES, COPIES = 200, 50, 50, 100
"""What is shown at once."""
TEXT = 20_000
"""Characters of a text that are shown."""


def view(database: Database, asked: Asked) -> Answer:
    """The page that a URL in any spelling, or an article's id, stands for. `after` goes on in its sightings, `before` in its
    revisions."""
    wanted = asked.text("url")
    if not wanted:
        return Answer("page.html", "Find a page", {"url": None}, {})
    place = unkey(asked.text("after"), str, str)
    before = unkey(asked.text("before"), int)
    page = reports.find_page(database, asked.settings.urls.canonicaliser(), wanted, None)
    revisions = store.revisions.of_page(database, page)
    told, crawls = _told(database, page, revisions, place, before[0] if before else len(revisions) + 1)
    current = store.pages.current_state(database, page)
    shown = next((n for n, r in enumerate(revisions, 1) if r.digest == current), None)
    body = None if current is None else store.revisions.body_of_state(database, page, current)
    more = {
        "chart": _chart(crawls, {r.id: n for n, r in enumerate(revisions, 1)}),
        "shown": shown,
        "body": body and body[:TEXT],
        "cut": bool(body) and len(body or "") > TEXT,
        "begun": place is None and before is None,
        "latest": revisions[-1] if revisions else None,
    }
    return Answer("page.html", told["title"] or told["url"], told, more)


def _told(
    database: Database, page: int, revisions: list[RevisionRow], place: tuple[Any, ...] | None, before: int
) -> tuple[dict[str, Any], list[TimelineRow]]:
    url = store.pages.url(database, page)
    number = {r.id: n for n, r in enumerate(revisions, 1)}
    by_digest = {f"{STATE_RECIPE}:{r.digest.hex()}": n for n, r in enumerate(revisions, 1)}
    crawls = store.sightings.list_of_page(database, page, (place[0], digest(place[1])) if place else None, CRAWLS + 1)
    seen = [list(rows) for _, rows in groupby(crawls, key=lambda r: r.sighting_id)]
    more = len(seen) > CRAWLS
    seen = seen[:CRAWLS]
    changes = list(islice(reports.changes(database, Wanted(url=url, min_severity=SEVERITIES[0])), CHANGES + 1))
    copies, more_copies = reports.copies(database, page, COPIES)
    listed = [(n, r) for n, r in enumerate(revisions, 1) if n < before][::-1]
    m, now = store.pages.current_metadata(database, page), store.pages.current_articles(database, [page]).get(page)
    told = {
        "url": url,
        "title": now.title if now else "",
        "publisher": now.publisher if now else "",
        "author": m.author if m else "",
        "category": m.category if m else "",
        "published_at": m.published_at if m else None,
        "id": m.id if m else None,
        "first_crawled_at": min((r.first_crawled_at for r in revisions), default=None),
        "last_crawled_at": max((r.last_crawled_at for r in revisions), default=None),
        "revisions": len(revisions),
        "sightings": store.sightings.count_of_page(database, page),
        "aliases": sorted({urls.shown(spelling) for spelling in store.pages.aliases(database, page)} - {url}),
        "states": [reports.revision(n, r) for n, r in listed[:REVISIONS]],
        "before": key(listed[REVISIONS - 1][0]) if len(listed) > REVISIONS else None,
        "changes": [
            {**c, "from_revision": by_digest.get(c["from"]), "to_revision": by_digest.get(c["to"])} for c in changes[:CHANGES]
        ],
        "more_changes": len(changes) > CHANGES,
        "copies": copies,
        "more_copies": more_copies,
        "crawls": [_crawl(rows, number) for rows in seen],
        "after": key(seen[-1][0].crawled_at, seen[-1][0].digest.hex()) if more else None,
    }  # fmt: skip
    return told, [rows[0] for rows in seen]


def _crawl(rows: list[TimelineRow], number: dict[int, int]) -> dict[str, Any]:
    first = rows[0]
    return {
        "crawled_at": first.crawled_at,
        "revision": number.get(first.revision_id) if first.standing == "counted" else None,
        "standing": first.standing,
        "crawled_at_from": first.crawled_at_from,
        "files": [{"path": r.path, "check": r.check_status, "cause": r.check_cause, "gone": r.gone} for r in rows],
    }


def _chart(crawls: list[TimelineRow], number: dict[int, int]) -> Markup:
    points = []
    for c in reversed(crawls):
        row = number.get(c.revision_id)
        counted = c.standing == "counted"
        points.append(charts.Point(c.crawled_at, row or 1, f"revision {row or '–'}" + ("" if counted else f", {c.standing}"), counted))
    title = "Which revision the page showed, by time of crawl"
    return charts.steps(points, len(number) or 1, title, "The same is in the table of crawls below.")
