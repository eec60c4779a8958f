"""Putting sightings and pages right after their readings changed: what a crawl is worth, and what a page's history says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from dedup import store
from dedup.changes import ClassificationRules, PageHistory
from dedup.model import Change
from dedup.scan import history
from dedup.scan.classifications import ChangeIdentity, KnownComparisons, PageChange, classify_page_change, is_as_stored, to_sighting
from dedup.scan.mismatch_causes import recompute_causes, recompute_causes_near
from dedup.scan.partial_history import PartialHistory
from dedup.scan.sighting_status import merge_readings
from dedup.store import Database, Transaction
from dedup.store.changes import ChangeRecord
from dedup.store.rows import MergedReadings, SightingRow, StateBody, StoredChange
from dedup.store.timeline import SightingPosition

CHUNK = 256
"""Pages settled at once: their histories and some of their bodies are in memory."""
FULL_RECOMPUTE_LIMIT = 100
"""Sightings for each that changed, up to which a page's history is worked out as a whole: that takes fewer statements."""

TouchedSightings = dict[int, dict[int, SightingPosition]]
"""Page → sightings whose worth is another now, or that came or went, each with where it is or was."""


def recompute_sightings(
    transaction: Transaction, sightings: Collection[int], superseded_changes: list[ChangeIdentity] | None = None
) -> TouchedSightings:
    """Give stored sightings what their readings make of them; those without readings are forgotten. Returns those that are different
    now. To `superseded_changes` are added changes that went with a sighting."""
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
        | {positions[s].revision_id for s, w in merged_readings.items() if w.status != "counted"},
    )
    touched_sightings: TouchedSightings = {}
    for s in [*deleted_sightings, *(s for s, _ in updates)]:
        touched_sightings.setdefault(positions[s].page_id, {})[s] = positions[s]
    return touched_sightings


def remerge_readings(database: Database, sightings: Collection[int]) -> tuple[dict[int, SightingPosition], dict[int, MergedReadings]]:
    """(sighting → where it is and its stored worth, sighting → its worth by its readings), of those of the sightings that are stored.
    Sightings without readings are not in the second. Nothing is written."""
    positions = store.timeline.positions(database, sightings)
    return positions, {s: merge_readings(rows) for s, rows in store.readings.of_sightings(database, positions).items()}


def find_merge_differences(
    positions: Mapping[int, SightingPosition], merged_readings: Mapping[int, MergedReadings]
) -> list[tuple[int, MergedReadings]]:
    """(sighting, its worth by its readings) where another worth is stored."""
    return [(s, w) for s, w in merged_readings.items() if w != positions[s].readings]


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
    """Put the pages' current sightings, their mismatches' causes and their changes right after their sightings changed; with `reclassify`
    every change is judged once more. To `superseded_changes` is added which changes are none any more.

    `touched_sightings` are the sightings that changed, of those pages of which they are known, and `read_sightings` are those of which a
    file was read: only what is around them is looked at where the history is long. The result does not depend on that.

    Returns the changes of state or metadata that are new.
    """
    remaining_pages = iter(pages)
    new_changes: list[PageChange] = []
    replaced_changes: list[ChangeIdentity] = []
    current_changes: set[ChangeIdentity] = set()
    while chunk := list(islice(remaining_pages, CHUNK)):
        touched_in_chunk = {
            page: touched_sightings[page] for page in chunk if touched_sightings and page in touched_sightings and not reclassify
        }
        long_pages = store.timeline.pages_longer_than(
            transaction, {page: FULL_RECOMPUTE_LIMIT * (1 + len(of_page)) for page, of_page in touched_in_chunk.items()}
        )
        for page in long_pages:
            recompute_causes_near(transaction, page, touched_in_chunk[page], read_sightings)
            partial_history = PartialHistory(transaction, page, rules)
            partial_history.recompute(touched_in_chunk[page])
            replaced_changes += partial_history.superseded_changes
            current_changes |= {_change_identity(s) for s, _ in partial_history.page_changes}
            new_changes += (
                new
                for s, stored_change in partial_history.page_changes
                if (new := _to_new_change(s, stored_change.change if stored_change else None)) is not None
            )
        store.pages.set_current(transaction, ((page, store.timeline.last_counted(transaction, page)) for page in long_pages))
        short_pages = [page for page in chunk if page not in long_pages]
        recompute_causes(transaction, short_pages)
        sightings_by_page = store.sightings.of_pages(transaction, short_pages)
        counted_by_page = {page: [s for s in sightings_by_page.get(page, ()) if s.status == "counted"] for page in short_pages}
        store.pages.set_current(transaction, ((page, of_page[-1].id if of_page else None) for page, of_page in counted_by_page.items()))
        repeated_by_page = {page: counted_by_page[page] for page in short_pages if len(sightings_by_page.get(page, ())) > 1}
        for page_change, stored_change in _recompute_changes(transaction, repeated_by_page, rules, replaced_changes, reclassify=reclassify):
            current_changes.add(_change_identity(page_change))
            if (new := _to_new_change(page_change, stored_change)) is not None:
                new_changes.append(new)
    if superseded_changes is not None:
        superseded_changes += replaced_changes
        superseded_changes[:] = [change for change in superseded_changes if change not in current_changes]
    return new_changes


def _change_identity(page_change: PageChange) -> ChangeIdentity:
    change = page_change.change
    return page_change.page_id, change.previous.digest, change.sighting.digest, change.sighting.crawled_at


def _to_new_change(page_change: PageChange, stored_change: StoredChange | None) -> PageChange | None:
    if stored_change is None:
        return page_change
    return replace(page_change, is_known=True) if stored_change.previous_sighting_id != page_change.change.previous.id else None


# Changes of whole pages


@dataclass(slots=True)
class _PageTimeline:
    """A page's changes in order; `is_removed`: whether the page showed no article by now."""

    page_id: int
    changes: list[Change]
    histories: dict[int, PageHistory]
    stored_changes: dict[int, StoredChange]
    is_removed: bool = False

    def history_before(self, change: Change) -> PageHistory:
        page_history = self.histories.get(change.sighting.id, PageHistory()) if change.state_changed else PageHistory()
        return replace(page_history, was_removed=self.is_removed)

    def advance_past(self, kind: str | None) -> None:
        """Go on to what follows a change of this kind."""
        self.is_removed = kind == "removed" or (self.is_removed and kind != "restored")


class _ClassifiedChange(NamedTuple):
    """A change as it is judged now, with the row to store and the change that is stored in its place."""

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
) -> list[tuple[PageChange, StoredChange | None]]:
    """Judge the changes of these pages that are not stored as they are, with what was stored in their place."""
    timelines = _load_timelines(transaction, sightings_by_page)
    obsolete_sightings = [s for course in timelines for s in course.stored_changes.keys() - {c.sighting.id for c in course.changes}]
    classified_changes = list(_classify_changes(transaction, timelines, rules, reclassify=reclassify))
    obsolete_sightings += (j.page_change.change.sighting.id for j in classified_changes if j.stored_change is not None)
    superseded_changes += store.changes.states(transaction, obsolete_sightings)
    store.changes.delete(transaction, obsolete_sightings)
    store.changes.insert(transaction, (j.row for j in classified_changes))
    return [(j.page_change, j.stored_change) for j in classified_changes]


def find_misclassified_pages(database: Database, pages: Collection[int], rules: ClassificationRules) -> list[int]:
    """Those of the pages that have a change which is stored with another judgement than the rules give it. Of a change whose bodies were
    pruned, only whether title and body differ is compared. Changes that are not stored are not looked for. Nothing is written."""
    sightings_by_page = store.sightings.of_pages(database, pages)
    counted_by_page = {
        page: [s for s in of_page if s.status == "counted"] for page, of_page in sightings_by_page.items() if len(of_page) > 1
    }
    misclassified_pages: set[int] = set()
    classified_changes = (
        j
        for j in _classify_changes(database, _load_timelines(database, counted_by_page), rules, reclassify=True)
        if j.stored_change is not None
    )
    while batch := list(islice(classified_changes, CHUNK)):
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
    """Judge the changes of these courses that are not stored as they are, or all of them with `reclassify`, in their order. What is stored
    of a pruned change is kept."""
    incomplete = store.changes.without_similarity(database, (course.page_id for course in timelines))
    steps = ((course, change) for course in timelines for change in course.changes)
    while batch := list(islice(steps, CHUNK)):
        bodies = _StateCache(database)
        bodies.load(
            c
            for course, c in batch
            if reclassify or c.sighting.id in incomplete or not _is_same_change(c, course.stored_changes.get(c.sighting.id))
        )
        for course, change in batch:
            stored_change, page_history = course.stored_changes.get(change.sighting.id), course.history_before(change)
            if (
                stored_change is not None
                and not reclassify
                and change.sighting.id not in incomplete
                and is_as_stored(change, page_history, stored_change)
            ):
                course.advance_past(stored_change.kind)
                continue
            bodies.load([change])
            keeps_stored = reclassify and change.sighting.id not in incomplete and _is_same_change(change, stored_change)
            comparisons = bodies.stored_comparison(change) if keeps_stored else bodies.comparisons_of_page(course.page_id, change)
            page_change, row = classify_page_change(course.page_id, change, page_history, bodies.states, comparisons, rules)
            course.advance_past(row[-1].kind)
            yield _ClassifiedChange(page_change, row, stored_change)


def _load_timelines(database: Database, sightings_by_page: Mapping[int, Sequence[SightingRow]]) -> list[_PageTimeline]:
    stored_changes = store.changes.of_pages(database, sightings_by_page)
    return [_build_timeline(page, sightings, stored_changes.get(page, {})) for page, sightings in sightings_by_page.items()]


def _build_timeline(page: int, rows: Sequence[SightingRow], stored_changes: dict[int, StoredChange]) -> _PageTimeline:
    sightings = [to_sighting(s) for s in rows]
    return _PageTimeline(page, history.find_changes(sightings), history.build_page_histories(sightings), stored_changes)


def _is_same_change(change: Change, stored_change: StoredChange | None) -> bool:
    """Whether a stored change is this one, whatever it was judged with."""
    return stored_change is not None and is_as_stored(change, PageHistory(), replace(stored_change, page_history=None))


class _StateCache:
    """The states that changes lie between, as far as they are needed."""

    def __init__(self, database: Database) -> None:
        self.states: dict[int, StateBody] = {}
        self._database = database
        self._comparisons: dict[int, KnownComparisons] = {}

    def load(self, changes: Iterable[Change]) -> None:
        """Have the states of these at hand."""
        missing_revisions = {revision for c in changes for revision in (c.previous.revision, c.sighting.revision)} - self.states.keys()
        if missing_revisions:
            self.states |= store.revisions.bodies(self._database, missing_revisions)

    def stored_comparison(self, change: Change) -> KnownComparisons:
        """What is stored of this change itself, if a body of it was pruned."""
        if not self._is_pruned(change):
            return {}
        _, body_changed, similarity, row = store.changes.classifications(self._database, [change.sighting.id])[change.sighting.id]
        assert similarity is not None
        return {(change.previous.revision, change.sighting.revision): (body_changed, similarity, row)}

    def comparisons_of_page(self, page: int, change: Change) -> KnownComparisons:
        """What was found out of the states of a page before a body of this change was pruned."""
        if not self._is_pruned(change):
            return {}
        if page not in self._comparisons:
            self._comparisons[page] = store.changes.known_comparisons(self._database, [page])
        return self._comparisons[page]

    def _is_pruned(self, change: Change) -> bool:
        return None in (self.states[change.previous.revision].body, self.states[change.sighting.revision].body)
