"""Classify one change of a page, and convert it to the row that is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from dedup.changes.classify import MAX_CACHED_CHARACTERS, Classification, ClassificationRules, PageHistory, PageState, classify_change
from dedup.model import Change, Sighting
from dedup.pipeline import history
from dedup.runtime.heartbeat import beat
from dedup.similarity import overlap
from dedup.store.changes import ChangeRecord, fields_json
from dedup.store.revisions import body_digest
from dedup.store.rows import ClassificationRow, SightingRow, StateBody, StoredChange


@dataclass(frozen=True, slots=True)
class PageChange:
    """A change with its two states. `classification` is None if a body was pruned. `is_known`: the change was stored before, but led from
    another sighting."""

    page_id: int
    change: Change
    before: StateBody
    after: StateBody
    classification: Classification | None
    is_known: bool = False


ChangeIdentity = tuple[int, bytes, bytes, str]
"""(page, digest of the earlier state, digest of the later state, later crawl time) of a change."""

KnownComparisons = Mapping[tuple[int, int], tuple[bool, float, ClassificationRow]]
"""(earlier revision, later revision) → (whether the body changed, similarity, classification), stored while both bodies existed."""


def to_sighting(row: SightingRow) -> Sighting:
    """Convert a stored sighting to the model that histories are computed from."""
    return Sighting(row.id, row.crawled_at, row.revision_id, row.digest, row.metadata)


def is_as_stored(change: Change, page_history: PageHistory, stored_change: StoredChange) -> bool:
    """Return whether a stored change equals this one and was classified with the same page history, or never classified."""
    return (change.previous.id, change.returned, fields_json(change)) == (
        stored_change.previous_sighting_id,
        stored_change.returned,
        stored_change.fields,
    ) and (stored_change.page_history is None or stored_change.page_history == format_page_history(page_history))


def format_page_history(page_history: PageHistory) -> str:
    """Return a page history as stored: JSON, or empty for a history without returns and removals."""
    if page_history == PageHistory():
        return ""
    values = {
        "returned": page_history.returned,
        "return_count": page_history.return_count,
        "was_removed": page_history.was_removed,
        "state_durations": page_history.state_durations,
    }
    return json.dumps(values, separators=(",", ":"))


def is_after_removal(stored_change: StoredChange) -> bool:
    """Return whether a stored change was classified as following a removal of the article."""
    return bool(stored_change.page_history) and bool(json.loads(stored_change.page_history or "{}").get("was_removed"))


def classify_page_change(
    page: int,
    change: Change,
    page_history: PageHistory,
    bodies: Mapping[int, StateBody],
    comparisons: KnownComparisons,
    rules: ClassificationRules,
) -> tuple[PageChange, ChangeRecord]:
    """Classify a change; returns it with the row to store.

    `bodies` maps revisions to states. If a body was pruned, only its digest is left; the row then keeps what `comparisons` has.
    """
    revisions = change.previous.revision, change.sighting.revision
    before, after = bodies[revisions[0]], bodies[revisions[1]]
    differences = before.title != after.title, _has_body_change(before, after)
    if before.body is None or after.body is None:
        similarity, row = None if differences[1] else 1.0, ClassificationRow()
        if revisions in comparisons:
            _, similarity, row = comparisons[revisions]
        return PageChange(page, change, before, after, None), ChangeRecord(page, change, *differences, similarity, row)
    similarity = _compute_similarity(before.body, after.body)
    beat()
    classification = classify_change(
        _to_state(before.title, before.body, change.previous), _to_state(after.title, after.body, change.sighting), page_history, rules
    )
    beat()
    row = ClassificationRow(
        classification.kind,
        classification.severity,
        json.dumps(classification.parts),
        json.dumps([[e.kind, e.before, e.after] for e in classification.evidence], ensure_ascii=False),
        int(classification.silent),
        int(classification.corrected),
        classification.edit_digest,
        format_page_history(page_history),
        rules.recipe,
    )
    return PageChange(page, change, before, after, classification), ChangeRecord(page, change, *differences, similarity, row)


def _compute_similarity(a: str, b: str) -> float:
    if a == b:
        return 1.0
    return _compute_similarity_cached(a, b) if len(a) + len(b) <= MAX_CACHED_CHARACTERS else overlap.body_similarity(a, b)


_compute_similarity_cached = lru_cache(maxsize=32)(overlap.body_similarity)


def _to_state(title: str, body: str, sighting: Sighting) -> PageState:
    return PageState(title, body, tuple((name, getattr(sighting.metadata, name) or "") for name in history.TRACKED_METADATA))


def _has_body_change(before: StateBody, after: StateBody) -> bool:
    return before.body != after.body if None not in (before.body, after.body) else _get_body_digest(before) != _get_body_digest(after)


def _get_body_digest(state: StateBody) -> bytes | None:
    return state.body_digest if state.body is None else body_digest(state.body)
