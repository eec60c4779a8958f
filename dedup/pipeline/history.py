"""Changes and histories of a page, computed from its sightings. Pure: the result does not depend on the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from dedup.changes.classify import PageHistory
from dedup.model import Change, Sighting

TRACKED_METADATA = ("author", "category", "published_at", "publisher")
"""Metadata fields whose difference makes a change of the page."""


def find_changes(sightings: Sequence[Sighting]) -> list[Change]:
    """Return the changes between successive sightings, which must be ordered by crawl time, then state digest.

    A change of state is `returned` if the page showed the new state before.
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
"""Latest runs that a page history covers, if a page alternates between states: their durations, and the number of returns among them."""


def build_page_histories(sightings: Sequence[Sighting]) -> dict[int, PageHistory]:
    """Return sighting that begins a run → the page history before it, without removals. The sightings must be in order."""
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
    """Return the page history before the last of these runs, which are the latest MAX_RUNS runs of a page, or all of them.

    `return_flags`: for each run, whether its state was shown before. `run_starts`: the crawl time and state digest of its first sighting.
    """
    if not return_flags[-1]:
        return PageHistory()
    return_count = next((n for n, is_return in enumerate(reversed(return_flags)) if not is_return), len(return_flags))
    return_count = min(return_count, MAX_RUNS - 2)
    recent_starts = run_starts[-(return_count + 2) :]
    return PageHistory(
        returned=True,
        return_count=return_count,
        state_durations=tuple((a[1][:4].hex(), _seconds_between(a[0], b[0])) for a, b in pairwise(recent_starts)),
    )


def _seconds_between(begin: str, end: str) -> int:
    return int((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
