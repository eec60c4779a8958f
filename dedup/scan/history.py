"""A page's history worked out from its sightings: pure, so that any order of arrival gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from dedup.changes import Past
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
"""Runs of a going to and fro of which it is recorded how long they lasted; how often the page has gone back is not counted further
than they show."""


def pasts(sightings: Sequence[Sighting]) -> dict[int, Past]:
    """Sighting that begins a run → what the history before it says, but for removals; they must be in order."""
    found: dict[int, Past] = {}
    positions: list[tuple[str, bytes]] = []
    returned: list[bool] = []
    seen: set[int] = set()
    last: int | None = None
    for sighting in sightings:
        if sighting.revision == last:
            continue
        last = sighting.revision
        positions.append((sighting.crawled_at, sighting.digest))
        returned.append(last in seen)
        if len(positions) > 1:
            found[sighting.id] = past(returned[-MOST_RUNS:], positions[-MOST_RUNS:])
        seen.add(last)
    return found


def past(returned: Sequence[bool], starts: Sequence[tuple[str, bytes]]) -> Past:
    """What the history says before the last of these runs, the latest of their page (`MOST_RUNS` of them, or all): `returned` is
    whether each shows a state that was shown before, `starts` the crawl time and state digest that each begins with."""
    if not returned[-1]:
        return Past()
    returns = next((n for n, again in enumerate(reversed(returned)) if not again), len(returned))
    returns = min(returns, MOST_RUNS - 2)
    shown = starts[-(returns + 2) :]
    return Past(returned=True, returns=returns, stood=tuple((a[1][:4].hex(), _seconds(a[0], b[0])) for a, b in pairwise(shown)))


def _seconds(begin: str, end: str) -> int:
    return int((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
