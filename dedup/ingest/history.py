"""A page's history worked out from its sightings: pure, so that any order of arrival gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from dedup.judging import Past
from dedup.model import Change, Sighting

TRACKED = ("author", "category", "published_at", "publisher")
"""Metadata whose change is a change of the page."""


def changes(sightings: Sequence[Sighting]) -> list[Change]:
    """The differences between successive sightings, which must be in order (crawl time, then state digest).

    A change of state is `returned` where the page showed the new state before.
    """
    found = []
    seen = {sightings[0].revision} if sightings else set()
    for previous, sighting in pairwise(sightings):
        differing = tuple(
            (name, getattr(previous.metadata, name) or "", getattr(sighting.metadata, name) or "")
            for name in TRACKED
            if (getattr(previous.metadata, name) or "") != (getattr(sighting.metadata, name) or "")
        )
        moved = previous.revision != sighting.revision
        if moved or differing:
            found.append(Change(previous, sighting, moved and sighting.revision in seen, differing))
        seen.add(sighting.revision)
    return found


MOST_RUNS = 8
"""Runs of a going to and fro of which it is told how long they stood."""


def pasts(sightings: Sequence[Sighting]) -> dict[int, Past]:
    """Sighting that begins a run → what the history before it says, but for removals; they must be in order."""
    found: dict[int, Past] = {}
    runs: list[Sighting] = []
    seen: set[int] = set()
    returns = 0
    for sighting in sightings:
        if runs and sighting.revision == runs[-1].revision:
            continue
        returned = sighting.revision in seen
        returns = returns + 1 if returned else 0
        runs.append(sighting)
        if len(runs) > 1:
            shown = runs[-min(returns + 2, MOST_RUNS) :] if returned else []
            stood = tuple((a.digest[:4].hex(), _seconds(a.crawled_at, b.crawled_at)) for a, b in pairwise(shown))
            found[sighting.id] = Past(returned, returns, stood=stood)
        seen.add(sighting.revision)
    return found


def _seconds(begin: str, end: str) -> int:
    return int((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
