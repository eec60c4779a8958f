"""Putting sightings and pages right after their readings changed: what a crawl is worth, and what a page's history says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from dedup.ingest import history
from dedup.ingest.causes import settle_causes, settle_causes_near
from dedup.ingest.judged import Settled, Superseded, is_as_stored, judged, sighting_of
from dedup.ingest.vicinity import Vicinity
from dedup.ingest.worth import worth
from dedup.judging import Past, Rules
from dedup.model import Change
from dedup.store import KeptSighting, Writer
from dedup.store.rows import JudgedRow, StateBody, StoredChange
from dedup.store.timeline import Place
from dedup.store.writing import ChangeRecord

CHUNK = 256
"""Pages settled at once: their histories and some of their bodies are in memory."""
SHORT = 100
"""Sightings for each that changed, up to which a page's history is worked out as a whole: that takes fewer statements."""

Touched = dict[int, dict[int, Place]]
"""Page → sightings whose worth is another now, or that came or went, each with where it is or was."""


def settle_sightings(store: Writer, sightings: Collection[int], superseded: list[Superseded] | None = None) -> Touched:
    """Give stored sightings what their readings make of them; those without readings are forgotten. Returns those that are different
    now. To `superseded` are added changes that went with a sighting."""
    places, readings = store.places(sightings), store.readings_of_sightings(sightings)
    changed = [(s, w) for s, place in places.items() if s in readings and (w := worth(readings[s])) != place.worth]
    forgotten = [s for s in places if s not in readings]
    store.update_sightings(changed)
    if forgotten:
        if superseded is not None:
            superseded += store.states_of_changes_around(forgotten)
        store.delete_sightings(forgotten)
    store.clear_uncounted_texts(
        {places[s].revision for s in forgotten} | {places[s].revision for s in readings if worth(readings[s]).standing != "counted"}
    )
    touched: Touched = {}
    for s in [*forgotten, *(s for s, _ in changed)]:
        touched.setdefault(places[s].page, {})[s] = places[s]
    return touched


def settle_pages(
    store: Writer,
    pages: Iterable[int],
    rules: Rules,
    *,
    touched: Mapping[int, dict[int, Place]] | None = None,
    read: Collection[int] = (),
    again: bool = False,
    superseded: list[Superseded] | None = None,
) -> list[Settled]:
    """Put the pages' current sightings, their mismatches' causes and their changes right after their sightings changed; with `again`
    every change is judged once more. To `superseded` is added which changes are none any more.

    `touched` are the sightings that changed, of those pages of which they are known, and `read` are those of which a file was read: only
    what is around them is looked at where the history is long. The result does not depend on that.

    Returns the changes of state or metadata that are new.
    """
    rest = iter(pages)
    added: list[Settled] = []
    over: list[Superseded] = []
    every: set[Superseded] = set()
    while chunk := list(islice(rest, CHUNK)):
        known = {page: touched[page] for page in chunk if touched and page in touched and not again}
        long = store.longer_than({page: SHORT * (1 + len(of_page)) for page, of_page in known.items()})
        for page in long:
            settle_causes_near(store, page, known[page], read)
            vicinity = Vicinity(store, page, rules)
            vicinity.settle(known[page])
            over += vicinity.superseded
            every |= {_key(s) for s, _ in vicinity.settled}
            added += (new for s, before in vicinity.settled if (new := _news(s, before.stored if before else None)) is not None)
        store.set_current((page, store.last_counted(page)) for page in long)
        short = [page for page in chunk if page not in long]
        settle_causes(store, short)
        kept = store.kept_sightings(short)
        counted = {page: [s for s in kept.get(page, ()) if s.standing == "counted"] for page in short}
        store.set_current((page, of_page[-1].id if of_page else None) for page, of_page in counted.items())
        several = {page: counted[page] for page in short if len(kept.get(page, ())) > 1}
        for settled, before in _settle_changes(store, several, rules, over, again=again):
            every.add(_key(settled))
            if (new := _news(settled, before)) is not None:
                added.append(new)
    if superseded is not None:
        superseded += over
        superseded[:] = [change for change in superseded if change not in every]
    return added


def _key(settled: Settled) -> Superseded:
    c = settled.change
    return settled.page, c.previous.digest, c.sighting.digest, c.sighting.crawled_at


def _news(settled: Settled, stored: StoredChange | None) -> Settled | None:
    if stored is None:
        return settled
    return replace(settled, known=True) if stored.previous != settled.change.previous.id else None


# Changes of whole pages


@dataclass(slots=True)
class _Course:
    """A page's changes in order; `removed`: whether the page showed no article by now."""

    page: int
    changes: list[Change]
    pasts: dict[int, Past]
    stored: dict[int, StoredChange]
    removed: bool = False

    def past(self, change: Change) -> Past:
        past = self.pasts.get(change.sighting.id, Past()) if change.state_changed else Past()
        return replace(past, was_removed=self.removed)

    def pass_by(self, kind: str | None) -> None:
        """Go on to what follows a change of this kind."""
        self.removed = kind == "removed" or (self.removed and kind != "restored")


def _settle_changes(
    store: Writer, counted: dict[int, list[KeptSighting]], rules: Rules, superseded: list[Superseded], *, again: bool
) -> list[tuple[Settled, StoredChange | None]]:
    """Judge the changes of these pages that are not stored as they are, with what was stored in their place."""
    stored, incomplete = store.changes_of(counted), store.incomplete_changes(counted)
    courses = [_course(page, sightings, stored.get(page, {})) for page, sightings in counted.items()]
    over = [s for course in courses for s in course.stored.keys() - {c.sighting.id for c in course.changes}]
    steps = ((course, change) for course in courses for change in course.changes)
    settled: list[tuple[Settled, StoredChange | None]] = []
    rows: list[ChangeRecord] = []
    while some := list(islice(steps, CHUNK)):
        bodies = _Bodies(store)
        bodies.load(c for course, c in some if again or c.sighting.id in incomplete or not _may_stay(c, course.stored.get(c.sighting.id)))
        for course, change in some:
            before, past = course.stored.get(change.sighting.id), course.past(change)
            if before is not None and not again and change.sighting.id not in incomplete and is_as_stored(change, past, before):
                course.pass_by(before.kind)
                continue
            bodies.load([change])
            found, row = judged(course.page, change, past, bodies.states, bodies.compared(course.page, change), rules)
            course.pass_by(row[-1].kind)
            settled.append((found, before))
            rows.append(row)
            if before is not None:
                over.append(change.sighting.id)
    superseded += store.states_of_changes(over)
    store.delete_changes(over)
    store.add_changes(rows)
    return settled


def _course(page: int, kept: Sequence[KeptSighting], stored: dict[int, StoredChange]) -> _Course:
    sightings = [sighting_of(s) for s in kept]
    return _Course(page, history.changes(sightings), history.pasts(sightings), stored)


def _may_stay(change: Change, stored: StoredChange | None) -> bool:
    """Whether a stored change is this one, whatever it was judged with."""
    return stored is not None and is_as_stored(change, Past(), replace(stored, past=None))


class _Bodies:
    """The states that changes lie between, as far as they are needed."""

    def __init__(self, store: Writer) -> None:
        self.states: dict[int, StateBody] = {}
        self._store = store
        self._compared: dict[int, dict[tuple[int, int], tuple[bool, float, JudgedRow]]] = {}

    def load(self, changes: Iterable[Change]) -> None:
        """Have the states of these at hand."""
        wanted = {revision for c in changes for revision in (c.previous.revision, c.sighting.revision)} - self.states.keys()
        if wanted:
            self.states |= self._store.bodies(wanted)

    def compared(self, page: int, change: Change) -> dict[tuple[int, int], tuple[bool, float, JudgedRow]]:
        """What was found out of the states of a page before a body of this change was pruned."""
        if None not in (self.states[change.previous.revision].body, self.states[change.sighting.revision].body):
            return {}
        if page not in self._compared:
            self._compared[page] = self._store.compared([page])
        return self._compared[page]
