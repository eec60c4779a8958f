"""Recompute derived values after readings changed: the status of sightings, and the changes and current sightings of pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from more_itertools import chunked

from dedup import store
from dedup.changes.classify import ClassificationRules, PageHistory
from dedup.model import Change
from dedup.pipeline import history
from dedup.pipeline.classifications import ChangeIdentity, KnownComparisons, PageChange, classify_page_change, is_as_stored, to_sighting
from dedup.pipeline.mismatch_causes import recompute_causes, recompute_causes_near
from dedup.pipeline.partial_history import PartialHistory
from dedup.pipeline.sighting_status import merge_readings
from dedup.store import Database, Transaction
from dedup.store.changes import ChangeRecord
from dedup.store.rows import MergedReadings, SightingRow, StateBody, StoredChange
from dedup.store.timeline import SightingPosition

CHUNK = 256
"""Pages recomputed at once: their histories and some of their bodies are in memory."""
FULL_RECOMPUTE_LIMIT = 100
"""Sightings per changed sighting up to which a page's whole history is recomputed, which takes fewer statements."""

_ReplacedChange = tuple[PageChange, StoredChange | None]
"""(a change that was classified, the change that was stored in its place)."""

TouchedSightings = dict[int, dict[int, SightingPosition]]
"""Page → sightings that were added, deleted or have other merged readings now, each with its position."""


def recompute_sightings(
    transaction: Transaction, sightings: Collection[int], superseded_changes: list[ChangeIdentity] | None = None
) -> TouchedSightings:
    """Merge the readings of stored sightings again, and delete sightings without readings. Returns the sightings that changed.

    Changes that lead to or from a deleted sighting are added to `superseded_changes`.
    """
    positions, merged_readings = remerge_readings(transaction, sightings)
    updates = find_merge_differences(positions, merged_readings)
    deleted_sightings = [s for s in positions if s not in merged_readings]
    store.sightings.update(transaction, updates)
    if deleted_sightings:
        if superseded_changes is not None:
            superseded_changes += store.changes.states_around(transaction, deleted_sightings)
        store.sightings.delete(transaction, deleted_sightings)
    store.revisions.clear_uncounted_texts(
        transaction,
        {positions[s].revision_id for s in deleted_sightings}
        | {positions[s].revision_id for s, merged in merged_readings.items() if merged.status != "counted"},
    )
    touched_sightings: TouchedSightings = {}
    for s in [*deleted_sightings, *(s for s, _ in updates)]:
        touched_sightings.setdefault(positions[s].page_id, {})[s] = positions[s]
    return touched_sightings


def remerge_readings(database: Database, sightings: Collection[int]) -> tuple[dict[int, SightingPosition], dict[int, MergedReadings]]:
    """Return (sighting → its position with the merged readings stored, sighting → its readings merged now), for stored sightings.

    Sightings without readings are missing from the second. Nothing is written.
    """
    positions = store.timeline.positions(database, sightings)
    return positions, {s: merge_readings(rows) for s, rows in store.readings.of_sightings(database, positions).items()}


def find_merge_differences(
    positions: Mapping[int, SightingPosition], merged_readings: Mapping[int, MergedReadings]
) -> list[tuple[int, MergedReadings]]:
    """Return (sighting, its merged readings) for sightings that have other merged readings stored."""
    return [(s, merged) for s, merged in merged_readings.items() if merged != positions[s].readings]


def recompute_pages(
    transaction: Transaction,
    pages: Iterable[int],
    rules: ClassificationRules,
    *,
    touched_sightings: Mapping[int, dict[int, SightingPosition]] | None = None,
    read_sightings: Collection[int] = (),
    reclassify: bool = False,
    superseded_changes: list[ChangeIdentity] | None = None,
) -> list[PageChange]:
    """Recompute the current sightings, causes of mismatches and changes of pages whose sightings changed. Returns the new changes.

    `touched_sightings`: the changed sightings of pages for which they are known. `read_sightings`: sightings that files were read for.
    In a long history only the surroundings of these are recomputed, with the same result. `reclassify`: classify every change again.
    Changes that no longer exist are added to `superseded_changes`.
    """
    new_changes: list[PageChange] = []
    replaced_changes: list[ChangeIdentity] = []
    current_changes: set[ChangeIdentity] = set()
    for chunk in chunked(pages, CHUNK):
        touched_in_chunk = {
            page: touched_sightings[page] for page in chunk if touched_sightings and page in touched_sightings and not reclassify
        }
        long_pages = store.timeline.pages_longer_than(
            transaction, {page: FULL_RECOMPUTE_LIMIT * (1 + len(of_page)) for page, of_page in touched_in_chunk.items()}
        )
        touched_in_long_pages = {page: touched_in_chunk[page] for page in long_pages}
        classified = _recompute_long_pages(transaction, touched_in_long_pages, read_sightings, rules, replaced_changes)
        short_pages = [page for page in chunk if page not in long_pages]
        classified += _recompute_short_pages(transaction, short_pages, rules, replaced_changes, reclassify=reclassify)
        current_changes.update(_change_identity(page_change) for page_change, _ in classified)
        new_changes += (new for page_change, stored in classified if (new := _to_new_change(page_change, stored)) is not None)
    if superseded_changes is not None:
        superseded_changes += replaced_changes
        superseded_changes[:] = [change for change in superseded_changes if change not in current_changes]
    return new_changes


def _recompute_long_pages(
    transaction: Transaction,
    touched_sightings: TouchedSightings,
    read_sightings: Collection[int],
    rules: ClassificationRules,
    superseded_changes: list[ChangeIdentity],
) -> list[_ReplacedChange]:
    """Recompute pages around their touched sightings; returns the classified changes."""
    classified: list[_ReplacedChange] = []
    for page, of_page in touched_sightings.items():
        recompute_causes_near(transaction, page, of_page, read_sightings)
        partial_history = PartialHistory(transaction, page, rules)
        partial_history.recompute(of_page)
        superseded_changes += partial_history.superseded_changes
        classified += ((page_change, stored.change if stored else None) for page_change, stored in partial_history.page_changes)
    store.pages.set_current(transaction, ((page, store.timeline.last_counted(transaction, page)) for page in touched_sightings))
    return classified


def _recompute_short_pages(
    transaction: Transaction,
    pages: Sequence[int],
    rules: ClassificationRules,
    superseded_changes: list[ChangeIdentity],
    *,
    reclassify: bool,
) -> list[_ReplacedChange]:
    """Recompute pages from their whole histories; returns the classified changes."""
    recompute_causes(transaction, pages)
    sightings_by_page = store.sightings.of_pages(transaction, pages)
    counted_by_page = {page: [s for s in sightings_by_page.get(page, ()) if s.status == "counted"] for page in pages}
    store.pages.set_current(transaction, ((page, counted[-1].id if counted else None) for page, counted in counted_by_page.items()))
    repeated_by_page = {page: counted_by_page[page] for page in pages if len(sightings_by_page.get(page, ())) > 1}
    return _recompute_changes(transaction, repeated_by_page, rules, superseded_changes, reclassify=reclassify)


def _change_identity(page_change: PageChange) -> ChangeIdentity:
    change = page_change.change
    return page_change.page_id, change.previous.digest, change.sighting.digest, change.sighting.crawled_at


def _to_new_change(page_change: PageChange, stored_change: StoredChange | None) -> PageChange | None:
    """Return the change if it is new or leads from another sighting than the stored one, else None."""
    if stored_change is None:
        return page_change
    return replace(page_change, is_known=True) if stored_change.previous_sighting_id != page_change.change.previous.id else None


# Changes of whole pages


@dataclass(slots=True)
class _PageTimeline:
    """A page's changes in order. `is_removed`: whether the page shows no article at the point reached by `advance_past`."""

    page_id: int
    changes: list[Change]
    histories: dict[int, PageHistory]
    stored_changes: dict[int, StoredChange]
    is_removed: bool = False

    def history_before(self, change: Change) -> PageHistory:
        page_history = self.histories.get(change.sighting.id, PageHistory()) if change.state_changed else PageHistory()
        return replace(page_history, was_removed=self.is_removed)

    def advance_past(self, kind: str | None) -> None:
        """Note the kind of a change before going on to the next one."""
        self.is_removed = kind == "removed" or (self.is_removed and kind != "restored")


class _ClassifiedChange(NamedTuple):
    """A classified change, the row to store, and the change that is stored in its place."""

    page_change: PageChange
    row: ChangeRecord
    stored_change: StoredChange | None


def _recompute_changes(
    transaction: Transaction,
    sightings_by_page: dict[int, list[SightingRow]],
    rules: ClassificationRules,
    superseded_changes: list[ChangeIdentity],
    *,
    reclassify: bool,
) -> list[_ReplacedChange]:
    """Classify and store the changes of these pages that differ from the stored ones; returns them with the changes they replace."""
    timelines = _load_timelines(transaction, sightings_by_page)
    obsolete_sightings = [s for t in timelines for s in t.stored_changes.keys() - {c.sighting.id for c in t.changes}]
    classified_changes = list(_classify_changes(transaction, timelines, rules, reclassify=reclassify))
    obsolete_sightings += (j.page_change.change.sighting.id for j in classified_changes if j.stored_change is not None)
    superseded_changes += store.changes.states(transaction, obsolete_sightings)
    store.changes.delete(transaction, obsolete_sightings)
    store.changes.insert(transaction, (j.row for j in classified_changes))
    return [(j.page_change, j.stored_change) for j in classified_changes]


def find_misclassified_pages(database: Database, pages: Collection[int], rules: ClassificationRules) -> list[int]:
    """Return the pages that have a change stored with another classification than the rules give. Nothing is written.

    For a change with a pruned body, only whether title and body differ is compared. Missing changes are not looked for.
    """
    sightings_by_page = store.sightings.of_pages(database, pages)
    counted_by_page = {
        page: [s for s in sightings if s.status == "counted"] for page, sightings in sightings_by_page.items() if len(sightings) > 1
    }
    misclassified_pages: set[int] = set()
    classified_changes = (
        j
        for j in _classify_changes(database, _load_timelines(database, counted_by_page), rules, reclassify=True)
        if j.stored_change is not None
    )
    for batch in chunked(classified_changes, CHUNK):
        stored_by_sighting = store.changes.classifications(database, (j.page_change.change.sighting.id for j in batch))
        for page_change, (page, change, title_differs, body_differs, *values), _ in batch:
            stored_title_differs, stored_body_differs, *stored_values = stored_by_sighting[change.sighting.id]
            is_pruned = page_change.classification is None
            if (title_differs, body_differs) != (stored_title_differs, stored_body_differs) or (not is_pruned and values != stored_values):
                misclassified_pages.add(page)
    return sorted(misclassified_pages)


def _classify_changes(
    database: Database, timelines: Sequence[_PageTimeline], rules: ClassificationRules, *, reclassify: bool
) -> Iterator[_ClassifiedChange]:
    """Classify, in order, the changes that differ from the stored ones; with `reclassify` all of them.

    A change with a pruned body keeps what is stored.
    """
    incomplete = store.changes.without_similarity(database, (timeline.page_id for timeline in timelines))
    steps = ((timeline, change) for timeline in timelines for change in timeline.changes)
    for batch in chunked(steps, CHUNK):
        bodies = _StateCache(database)
        bodies.load(
            c
            for timeline, c in batch
            if reclassify or c.sighting.id in incomplete or not _is_same_change(c, timeline.stored_changes.get(c.sighting.id))
        )
        for timeline, change in batch:
            stored_change, page_history = timeline.stored_changes.get(change.sighting.id), timeline.history_before(change)
            if (
                stored_change is not None
                and not reclassify
                and change.sighting.id not in incomplete
                and is_as_stored(change, page_history, stored_change)
            ):
                timeline.advance_past(stored_change.kind)
                continue
            bodies.load([change])
            keeps_stored = reclassify and change.sighting.id not in incomplete and _is_same_change(change, stored_change)
            comparisons = bodies.stored_comparison(change) if keeps_stored else bodies.comparisons_of_page(timeline.page_id, change)
            page_change, row = classify_page_change(timeline.page_id, change, page_history, bodies.states, comparisons, rules)
            timeline.advance_past(row[-1].kind)
            yield _ClassifiedChange(page_change, row, stored_change)


def _load_timelines(database: Database, sightings_by_page: Mapping[int, Sequence[SightingRow]]) -> list[_PageTimeline]:
    stored_changes = store.changes.of_pages(database, sightings_by_page)
    return [_build_timeline(page, sightings, stored_changes.get(page, {})) for page, sightings in sightings_by_page.items()]


def _build_timeline(page: int, rows: Sequence[SightingRow], stored_changes: dict[int, StoredChange]) -> _PageTimeline:
    sightings = [to_sighting(s) for s in rows]
    return _PageTimeline(page, history.find_changes(sightings), history.build_page_histories(sightings), stored_changes)


def _is_same_change(change: Change, stored_change: StoredChange | None) -> bool:
    """Return whether a stored change equals this one, ignoring the page history it was classified with."""
    return stored_change is not None and is_as_stored(change, PageHistory(), replace(stored_change, page_history=None))


class _StateCache:
    """States before and after changes, loaded on demand."""

    def __init__(self, database: Database) -> None:
        self.states: dict[int, StateBody] = {}
        self._database = database
        self._comparisons: dict[int, KnownComparisons] = {}

    def load(self, changes: Iterable[Change]) -> None:
        """Load the states of these changes that are not loaded yet."""
        missing_revisions = {revision for c in changes for revision in (c.previous.revision, c.sighting.revision)} - self.states.keys()
        if missing_revisions:
            self.states |= store.revisions.bodies(self._database, missing_revisions)

    def stored_comparison(self, change: Change) -> KnownComparisons:
        """Return the stored comparison of this change if one of its bodies was pruned, else nothing."""
        if not self._is_pruned(change):
            return {}
        _, body_changed, similarity, row = store.changes.classifications(self._database, [change.sighting.id])[change.sighting.id]
        assert similarity is not None
        return {(change.previous.revision, change.sighting.revision): (body_changed, similarity, row)}

    def comparisons_of_page(self, page: int, change: Change) -> KnownComparisons:
        """Return all stored comparisons of the page if a body of this change was pruned, else nothing."""
        if not self._is_pruned(change):
            return {}
        if page not in self._comparisons:
            self._comparisons[page] = store.changes.known_comparisons(self._database, [page])
        return self._comparisons[page]

    def _is_pruned(self, change: Change) -> bool:
        return None in (self.states[change.previous.revision].body, self.states[change.sighting.revision].body)
