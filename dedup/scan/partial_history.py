"""Putting a long history right around the crawls that changed: the work does not grow with the number of crawls.

A change depends on the two crawls it lies between; on whether the page showed its state before; on the runs of the last
`history.MAX_RUNS` states; and on whether an article was there. So a crawl that comes, goes or changes can alter

* the change that leads to it, and the one that leads from it,
* the next changes of state, as many as look back so far,
* the change that leads to the next crawl of the same state, which is a return now or is not any more, and those after that likewise,
* what follows until an article was removed or restored, where that alters whether one was there.

These are judged again in their order, and only where something that they were judged with is different.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from dedup import store
from dedup.changes import ClassificationRules, PageHistory
from dedup.model import Change
from dedup.scan import history
from dedup.scan.classifications import ChangeIdentity, PageChange, classify_page_change, is_after_removal, is_as_stored, to_sighting
from dedup.store import Transaction
from dedup.store.rows import SightingRow
from dedup.store.timeline import BEGINNING, Position, PositionedChange, SightingPosition

LOOK_BACK_RUNS = history.MAX_RUNS - 1
"""Runs before one that take part in judging the change that leads to it."""


@dataclass(slots=True)
class PartialHistory:
    """The changes of one page around the crawls that changed. `page_changes` are those that were judged, each with the change that was
    stored in its place; `superseded_changes` are those that were replaced or are none any more."""

    transaction: Transaction
    page_id: int
    rules: ClassificationRules
    page_changes: list[tuple[PageChange, PositionedChange | None]] = field(default_factory=list)
    superseded_changes: list[ChangeIdentity] = field(default_factory=list)
    _pending_positions: list[Position] = field(default_factory=list)

    def recompute(self, touched_sightings: Mapping[int, SightingPosition]) -> None:
        """Put right what depends on these sightings: they came, went, or count otherwise, or have other metadata."""
        for sighting, position in touched_sightings.items():
            counted_sighting = store.timeline.counted_at(self.transaction, self.page_id, position.position)
            stored_change = (
                None
                if counted_sighting is not None and counted_sighting.id == sighting
                else store.timeline.change_at(self.transaction, sighting)
            )
            if stored_change is not None:
                self._delete_change(stored_change)
        for position in touched_sightings.values():
            self._pending_positions += [position.position, *self._positions_after(position.position)]
        self._pending_positions += self._positions_of_returns(touched_sightings.values())
        heapq.heapify(self._pending_positions)
        last_position: Position | None = None
        while self._pending_positions:
            position_due = heapq.heappop(self._pending_positions)
            if position_due != last_position:
                self._recompute_at(position_due)
            last_position = position_due

    def _positions_after(self, position: Position) -> list[Position]:
        """What may be judged otherwise because of a crawl at a position, beside the change that leads to it."""
        next_sighting = store.timeline.counted_after(self.transaction, self.page_id, position)
        next_change = store.timeline.change_after(self.transaction, self.page_id, position)
        next_positions = [(next_sighting.crawled_at, next_sighting.digest)] if next_sighting else []
        return [
            *next_positions,
            *([next_change.position] if next_change else []),
            *store.timeline.state_changes_after(self.transaction, self.page_id, position, LOOK_BACK_RUNS),
        ]

    def _positions_of_returns(self, touched_positions: Collection[SightingPosition]) -> list[Position]:
        """The crawls that were the first of a state and are not any more, or are now; with what follows them."""
        earliest: dict[int, SightingPosition] = {}
        for position in touched_positions:
            earliest[position.revision_id] = min(position, earliest.get(position.revision_id, position), key=lambda p: p.position)
        positions: list[Position] = []
        touched_crawls = {(p.revision_id, p.position[0]) for p in touched_positions}
        for revision, position in earliest.items():
            for crawled_at in store.timeline.crawls_of_revision(self.transaction, revision):
                if crawled_at < position.position[0]:
                    break  # it was the first and is
                if (revision, crawled_at) not in touched_crawls:
                    positions += [
                        (crawled_at, position.position[1]),
                        *store.timeline.state_changes_after(
                            self.transaction, self.page_id, (crawled_at, position.position[1]), LOOK_BACK_RUNS
                        ),
                    ]
                    break
        return positions

    def _recompute_at(self, position: Position) -> None:
        """Put right the change that leads to the sighting at a position."""
        transaction = self.transaction
        sighting = store.timeline.counted_at(transaction, self.page_id, position)
        previous = store.timeline.counted_before(transaction, self.page_id, position) if sighting else None
        if sighting is None:
            return
        stored_change = store.timeline.change_at(transaction, sighting.id)
        change = self._build_change(previous, sighting) if previous else None
        page_history = self._build_page_history(change) if change else PageHistory()
        if change is None:
            if stored_change is not None:
                self._delete_change(stored_change)
                self._queue_next_if_affected(position)
            return
        if stored_change is not None and not stored_change.is_incomplete and is_as_stored(change, page_history, stored_change.change):
            return
        bodies = store.revisions.bodies(transaction, {change.previous.revision, change.sighting.revision})
        has_pruned_body = any(state.body is None for state in bodies.values())
        page_change, row = classify_page_change(
            self.page_id,
            change,
            page_history,
            bodies,
            store.changes.known_comparisons(transaction, [self.page_id]) if has_pruned_body else {},
            self.rules,
        )
        if stored_change is not None:
            self._delete_change(stored_change)
        store.changes.insert(transaction, [row])
        self.page_changes.append((page_change, stored_change))
        self._queue_next_if_affected(position)

    def _delete_change(self, stored_change: PositionedChange) -> None:
        self.superseded_changes += store.changes.states(self.transaction, [stored_change.sighting_id])
        store.changes.delete(self.transaction, [stored_change.sighting_id])

    def _queue_next_if_affected(self, position: Position) -> None:
        """Have what follows looked at if it is judged by whether an article was there, and that is different now."""
        next_change = store.timeline.change_after(self.transaction, self.page_id, position)
        while next_change is not None and next_change.change.page_history is None:  # never judged
            next_change = store.timeline.change_after(self.transaction, self.page_id, next_change.position)
        if next_change is not None and is_after_removal(next_change.change) != store.timeline.is_removed_before(
            self.transaction, self.page_id, next_change.position
        ):
            heapq.heappush(self._pending_positions, next_change.position)

    def _build_change(self, previous: SightingRow, sighting: SightingRow) -> Change | None:
        changes = history.find_changes([to_sighting(previous), to_sighting(sighting)])
        if not changes:
            return None
        first_crawl = next(store.timeline.crawls_of_revision(self.transaction, sighting.revision_id), sighting.crawled_at)
        return replace(changes[0], returned=changes[0].state_changed and first_crawl < sighting.crawled_at)

    def _build_page_history(self, change: Change) -> PageHistory:
        position = (change.sighting.crawled_at, change.sighting.digest)
        is_removed = store.timeline.is_removed_before(self.transaction, self.page_id, position)
        if not change.state_changed or not change.returned:
            return PageHistory(was_removed=is_removed)
        earlier_runs = store.timeline.run_starts_before(self.transaction, self.page_id, position, LOOK_BACK_RUNS)
        return_flags = [True] + [start.returned for start in earlier_runs]
        run_starts = [position] + [start.position for start in earlier_runs]
        if len(earlier_runs) < LOOK_BACK_RUNS:
            first_sighting = store.timeline.counted_after(self.transaction, self.page_id, BEGINNING)
            assert first_sighting is not None
            return_flags.append(False)
            run_starts.append((first_sighting.crawled_at, first_sighting.digest))
        return replace(history.build_page_history(return_flags[::-1], run_starts[::-1]), was_removed=is_removed)
