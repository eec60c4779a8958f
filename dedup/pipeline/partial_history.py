"""Recompute a long history around the sightings that changed. The work does not grow with the number of sightings.

A change depends on the two sightings it lies between, on whether the page showed its state before, on the last `history.MAX_RUNS` runs,
and on whether the article was removed. So a sighting that is added, deleted or changed can alter

* the change that leads to it, and the one that leads from it,
* the next LOOK_BACK_RUNS changes of state,
* the change that leads to the next sighting of the same state, which may become or cease to be a return, and the changes of state after it,
* the changes up to the next removal or restoration, if whether the article was removed differs.

These changes are classified again in order, and only if something that their classification depends on differs.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from dedup import store
from dedup.changes.classify import ClassificationRules, PageHistory
from dedup.model import Change
from dedup.pipeline import history
from dedup.pipeline.classifications import ChangeIdentity, PageChange, classify_page_change, is_after_removal, is_as_stored, to_sighting
from dedup.store import Transaction
from dedup.store.rows import SightingRow
from dedup.store.timeline import BEGINNING, Position, PositionedChange, SightingPosition

LOOK_BACK_RUNS = history.MAX_RUNS - 1
"""Earlier runs that the classification of a change depends on."""


@dataclass(slots=True)
class PartialHistory:
    """The changes of one page around its changed sightings.

    `page_changes`: the changes that were classified, each with the stored change that it replaces. `superseded_changes`: the changes that
    were replaced or no longer exist.
    """

    transaction: Transaction
    page_id: int
    rules: ClassificationRules
    page_changes: list[tuple[PageChange, PositionedChange | None]] = field(default_factory=list)
    superseded_changes: list[ChangeIdentity] = field(default_factory=list)
    _pending_positions: list[Position] = field(default_factory=list)

    def recompute(self, touched_sightings: Mapping[int, SightingPosition]) -> None:
        """Recompute the changes that depend on these sightings, which were added or deleted, or have another status or other metadata."""
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
            next_position = heapq.heappop(self._pending_positions)
            if next_position != last_position:
                self._recompute_at(next_position)
            last_position = next_position

    def _positions_after(self, position: Position) -> list[Position]:
        """Return the positions after a sighting whose changes depend on it, besides the change that leads to it."""
        next_sighting = store.timeline.counted_after(self.transaction, self.page_id, position)
        next_change = store.timeline.change_after(self.transaction, self.page_id, position)
        next_positions = [(next_sighting.crawled_at, next_sighting.digest)] if next_sighting else []
        return [
            *next_positions,
            *([next_change.position] if next_change else []),
            *store.timeline.state_changes_after(self.transaction, self.page_id, position, LOOK_BACK_RUNS),
        ]

    def _positions_of_returns(self, touched_positions: Collection[SightingPosition]) -> list[Position]:
        """Return the positions of sightings that became or ceased to be the first of their state, and of the changes depending on them."""
        earliest: dict[int, SightingPosition] = {}
        for position in touched_positions:
            earliest[position.revision_id] = min(position, earliest.get(position.revision_id, position), key=lambda p: p.position)
        positions: list[Position] = []
        touched_crawls = {(p.revision_id, p.position[0]) for p in touched_positions}
        for revision, position in earliest.items():
            for crawled_at in store.timeline.crawls_of_revision(self.transaction, revision):
                if crawled_at < position.position[0]:
                    break  # the first sighting of the state is the same
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
        """Recompute the change that leads to the sighting at a position."""
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
        """Queue the next classified change if it depends on whether the article was removed before, and that differs now."""
        next_change = store.timeline.change_after(self.transaction, self.page_id, position)
        while next_change is not None and next_change.change.page_history is None:  # never classified
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
