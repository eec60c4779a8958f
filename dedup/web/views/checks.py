"""Checks of `content_hash`: what fits, what does not, and why."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from dedup import store
from dedup.model import Cause
from dedup.similarity.clustering import CHECKS
from dedup.store import Database
from dedup.web.links import key, unkey
from dedup.web.render import Answer, Asked

SHOWN = 50
CAUSES = get_args(Cause)


def view(database: Database, asked: Asked) -> Answer:
    """What pages' current crawls claim, by publisher; and every crawl that claims what does not fit, the latest first."""
    cause = asked.one_of("cause", ("", *CAUSES), "") or None
    publisher = asked.house("publisher")
    place = unkey(asked.text("after"), str, str)
    found = store.lists.mismatches(database, cause, publisher, (place[0], place[1]) if place else None, SHOWN + 1)
    rows = found[:SHOWN]
    counted = store.lists.checks_by_publisher(database)
    status: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    by_publisher: dict[str, dict[str, int]] = {}
    for house, check, why, number in counted:
        status[check] += number
        if why:
            causes[why] += number
        of_house = by_publisher.setdefault(house, dict.fromkeys((*CHECKS, *CAUSES), 0))
        of_house[check] += number
        if why:
            of_house[why] += number
    worst = sorted((h for h in by_publisher.items() if h[1]["mismatched"]), key=lambda h: (-h[1]["mismatched"], h[0]))
    told: dict[str, Any] = {
        "filters": {name: value for name, value in (("cause", cause), ("publisher", publisher)) if value},
        "checks": {check: status[check] for check in CHECKS},
        "causes": {why: causes[why] for why in CAUSES},
        "publishers": [{"publisher": house, **counts} for house, counts in worst],
        "mismatched": [row._asdict() for row in rows],
        "after": key(rows[-1].crawled_at, rows[-1].url) if len(found) > SHOWN else None,
        "due": store.lists.count_unsummarised_pages(database),
    }
    return Answer("checks.html", "Checks", told, {"meaning": MEANING, "begun": place is None, "cause": cause, "publisher": publisher or ""})


MEANING = {
    "truncated": "the file ends in the middle of its text",
    "stale": "the text changed; the claim is that of an earlier revision",
    "altered": "the text is not what was claimed, and no earlier revision is either",
    "malformed": "what is claimed is no digest that could be made",
}
