"""A page's history worked out from its sightings: pure, so that any order of arrival gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
