"""A page's history worked out from its sightings: pure, so that any order of arrival gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from dedup.changes import PageHistory
from dedup.model import Change, Sighting

TRACKED_METADATA = ("author", "category", "published_at", "publisher")
"""Metadata whose change is a change of the page."""


def find_changes(sightings: Sequence[Sighting]) -> list[Change]:
    """The differences between successive sightings, which must be in order (crawl time, then state digest).

    A change of state is `returned` where the page showed the new state before.
    """
    changes = []
    seen_revisions = {sightings[0].revision} if sightings else set()
    for previous, sighting in pairwise(sightings):
        field_differences = tuple(
            (name, getattr(previous.metadata, name) or "", getattr(sighting.metadata, name) or "")
            for name in TRACKED_METADATA
            if (getattr(previous.metadata, name) or "") != (getattr(sighting.metadata, name) or "")
        )
        state_changed = previous.revision != sighting.revision
        if state_changed or field_differences:
            changes.append(Change(previous, sighting, state_changed and sighting.revision in seen_revisions, field_differences))
        seen_revisions.add(sighting.revision)
    return changes


MAX_RUNS = 8
"""Runs of a going to and fro of which it is recorded how long they lasted; how often the page has gone back is not counted further
than they show."""


def build_page_histories(sightings: Sequence[Sighting]) -> dict[int, PageHistory]:
    """Sighting that begins a run → what the history before it says, but for removals; they must be in order."""
    histories: dict[int, PageHistory] = {}
    run_starts: list[tuple[str, bytes]] = []
    return_flags: list[bool] = []
    seen_revisions: set[int] = set()
    last_revision: int | None = None
    for sighting in sightings:
        if sighting.revision == last_revision:
            continue
        last_revision = sighting.revision
        run_starts.append((sighting.crawled_at, sighting.digest))
        return_flags.append(last_revision in seen_revisions)
        if len(run_starts) > 1:
            histories[sighting.id] = build_page_history(return_flags[-MAX_RUNS:], run_starts[-MAX_RUNS:])
        seen_revisions.add(last_revision)
    return histories


def build_page_history(return_flags: Sequence[bool], run_starts: Sequence[tuple[str, bytes]]) -> PageHistory:
    """What the history says before the last of these runs, the latest of their page (`MAX_RUNS` of them, or all): `return_flags` is
    whether each shows a state that was shown before, `run_starts` the crawl time and state digest that each begins with."""
    if not return_flags[-1]:
        return PageHistory()
    return_count = next((n for n, again in enumerate(reversed(return_flags)) if not again), len(return_flags))
    return_count = min(return_count, MAX_RUNS - 2)
    recent_starts = run_starts[-(return_count + 2) :]
    return PageHistory(
        returned=True,
        return_count=return_count,
        state_durations=tuple((a[1][:4].hex(), _seconds_between(a[0], b[0])) for a, b in pairwise(recent_starts)),
    )


def _seconds_between(begin: str, end: str) -> int:
    return int((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
