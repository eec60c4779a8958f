"""Putting sightings and pages right after their readings changed: what a crawl is worth, and what a page's history says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from dedup import store
from dedup.changes import Past, Rules
from dedup.model import Change
from dedup.scan import history
from dedup.scan.judgements import Compared, Settled, Superseded, is_as_stored, judged, sighting_of
from dedup.scan.mismatch_causes import settle_causes, settle_causes_near
from dedup.scan.partial_history import Vicinity
from dedup.scan.sighting_status import worth
from dedup.store import Database, Transaction
from dedup.store.changes import ChangeRecord
from dedup.store.rows import KeptSighting, StateBody, StoredChange, Worth
from dedup.store.timeline import Place

CHUNK = 256
"""Pages settled at once: their histories and some of their bodies are in memory."""
SHORT = 100
"""Sightings for each that changed, up to which a page's history is worked out as a whole: that takes fewer statements."""

Touched = dict[int, dict[int, Place]]
"""Page → sightings whose worth is another now, or that came or went, each with where it is or was."""


def settle_sightings(transaction: Transaction, sightings: Collection[int], superseded: list[Superseded] | None = None) -> Touched:
    """Give stored sightings what their readings make of them; those without readings are forgotten. Returns those that are different
    now. To `superseded` are added changes that went with a sighting."""
    places, worths = assessed(transaction, sightings)
    changed = worth_differences(places, worths)
    forgotten = [s for s in places if s not in worths]
    store.sightings.update(transaction, changed)
    if forgotten:
        if superseded is not None:
            superseded += store.changes.states_around(transaction, forgotten)
        store.sightings.delete(transaction, forgotten)
    store.revisions.clear_uncounted_texts(
        transaction, {places[s].revision for s in forgotten} | {places[s].revision for s, w in worths.items() if w.standing != "counted"}
    )
    touched: Touched = {}
    for s in [*forgotten, *(s for s, _ in changed)]:
        touched.setdefault(places[s].page, {})[s] = places[s]
    return touched


def assessed(database: Database, sightings: Collection[int]) -> tuple[dict[int, Place], dict[int, Worth]]:
    """(sighting → where it is and its stored worth, sighting → its worth by its readings), of those of the sightings that are stored.
    Sightings without readings are not in the second. Nothing is written."""
    places = store.timeline.positions(database, sightings)
    return places, {s: worth(rows) for s, rows in store.readings.of_sightings(database, places).items()}


def worth_differences(places: Mapping[int, Place], worths: Mapping[int, Worth]) -> list[tuple[int, Worth]]:
    """(sighting, its worth by its readings) where another worth is stored."""
    return [(s, w) for s, w in worths.items() if w != places[s].worth]


def settle_pages(
    transaction: Transaction,
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
        long = store.timeline.longer_than(transaction, {page: SHORT * (1 + len(of_page)) for page, of_page in known.items()})
        for page in long:
            settle_causes_near(transaction, page, known[page], read)
            vicinity = Vicinity(transaction, page, rules)
            vicinity.settle(known[page])
            over += vicinity.superseded
            every |= {_key(s) for s, _ in vicinity.settled}
            added += (new for s, before in vicinity.settled if (new := _news(s, before.stored if before else None)) is not None)
        store.pages.set_current(transaction, ((page, store.timeline.last_counted(transaction, page)) for page in long))
        short = [page for page in chunk if page not in long]
        settle_causes(transaction, short)
        kept = store.sightings.of_pages(transaction, short)
        counted = {page: [s for s in kept.get(page, ()) if s.standing == "counted"] for page in short}
        store.pages.set_current(transaction, ((page, of_page[-1].id if of_page else None) for page, of_page in counted.items()))
        several = {page: counted[page] for page in short if len(kept.get(page, ())) > 1}
        for settled, before in _settle_changes(transaction, several, rules, over, again=again):
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


class _Judged(NamedTuple):
    """A change as it is judged now, with the row to store and the change that is stored in its place."""

    settled: Settled
    row: ChangeRecord
    before: StoredChange | None


def _settle_changes(
    transaction: Transaction, counted: dict[int, list[KeptSighting]], rules: Rules, superseded: list[Superseded], *, again: bool
) -> list[tuple[Settled, StoredChange | None]]:
    """Judge the changes of these pages that are not stored as they are, with what was stored in their place."""
    courses = _courses(transaction, counted)
    over = [s for course in courses for s in course.stored.keys() - {c.sighting.id for c in course.changes}]
    judged_now = list(_judge(transaction, courses, rules, again=again))
    over += (j.settled.change.sighting.id for j in judged_now if j.before is not None)
    superseded += store.changes.states(transaction, over)
    store.changes.delete(transaction, over)
    store.changes.insert(transaction, (j.row for j in judged_now))
    return [(j.settled, j.before) for j in judged_now]


def misjudged(database: Database, pages: Collection[int], rules: Rules) -> list[int]:
    """Those of the pages that have a change which is stored with another judgement than the rules give it. Of a change whose bodies were
    pruned, only whether title and body differ is compared. Changes that are not stored are not looked for. Nothing is written."""
    kept = store.sightings.of_pages(database, pages)
    counted = {page: [s for s in of_page if s.standing == "counted"] for page, of_page in kept.items() if len(of_page) > 1}
    wrong: set[int] = set()
    judgements = (j for j in _judge(database, _courses(database, counted), rules, again=True) if j.before is not None)
    while some := list(islice(judgements, CHUNK)):
        stored = store.changes.classifications(database, (j.settled.change.sighting.id for j in some))
        for settled, (page, change, title, body, *rest), _ in some:
            title_stored, body_stored, *rest_stored = stored[change.sighting.id]
            pruned = settled.judgement is None
            if (title, body) != (title_stored, body_stored) or (not pruned and rest != rest_stored):
                wrong.add(page)
    return sorted(wrong)


def _judge(database: Database, courses: Sequence[_Course], rules: Rules, *, again: bool) -> Iterator[_Judged]:
    """Judge the changes of these courses that are not stored as they are, or all of them with `again`, in their order. What is stored of a
    pruned change is kept."""
    incomplete = store.changes.incomplete(database, (course.page for course in courses))
    steps = ((course, change) for course in courses for change in course.changes)
    while some := list(islice(steps, CHUNK)):
        bodies = _Bodies(database)
        bodies.load(c for course, c in some if again or c.sighting.id in incomplete or not _may_stay(c, course.stored.get(c.sighting.id)))
        for course, change in some:
            before, past = course.stored.get(change.sighting.id), course.past(change)
            if before is not None and not again and change.sighting.id not in incomplete and is_as_stored(change, past, before):
                course.pass_by(before.kind)
                continue
            bodies.load([change])
            kept = again and change.sighting.id not in incomplete and _may_stay(change, before)
            known = bodies.known(change) if kept else bodies.compared(course.page, change)
            found, row = judged(course.page, change, past, bodies.states, known, rules)
            course.pass_by(row[-1].kind)
            yield _Judged(found, row, before)


def _courses(database: Database, counted: Mapping[int, Sequence[KeptSighting]]) -> list[_Course]:
    stored = store.changes.of_pages(database, counted)
    return [_course(page, sightings, stored.get(page, {})) for page, sightings in counted.items()]


def _course(page: int, kept: Sequence[KeptSighting], stored: dict[int, StoredChange]) -> _Course:
    sightings = [sighting_of(s) for s in kept]
    return _Course(page, history.changes(sightings), history.pasts(sightings), stored)


def _may_stay(change: Change, stored: StoredChange | None) -> bool:
    """Whether a stored change is this one, whatever it was judged with."""
    return stored is not None and is_as_stored(change, Past(), replace(stored, past=None))


class _Bodies:
    """The states that changes lie between, as far as they are needed."""

    def __init__(self, database: Database) -> None:
        self.states: dict[int, StateBody] = {}
        self._database = database
        self._compared: dict[int, Compared] = {}

    def load(self, changes: Iterable[Change]) -> None:
        """Have the states of these at hand."""
        wanted = {revision for c in changes for revision in (c.previous.revision, c.sighting.revision)} - self.states.keys()
        if wanted:
            self.states |= store.revisions.bodies(self._database, wanted)

    def known(self, change: Change) -> Compared:
        """What is stored of this change itself, if a body of it was pruned."""
        if not self._is_pruned(change):
            return {}
        _, body_changed, similarity, row = store.changes.classifications(self._database, [change.sighting.id])[change.sighting.id]
        assert similarity is not None
        return {(change.previous.revision, change.sighting.revision): (body_changed, similarity, row)}

    def compared(self, page: int, change: Change) -> Compared:
        """What was found out of the states of a page before a body of this change was pruned."""
        if not self._is_pruned(change):
            return {}
        if page not in self._compared:
            self._compared[page] = store.changes.known_comparisons(self._database, [page])
        return self._compared[page]

    def _is_pruned(self, change: Change) -> bool:
        return None in (self.states[change.previous.revision].body, self.states[change.sighting.revision].body)
