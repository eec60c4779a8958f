"""Putting sightings and pages right after their readings changed: what a crawl is worth, and what a page's history says."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice

from dedup import digests, overlap
from dedup.heartbeat import beat
from dedup.ingest import history
from dedup.judging import Judgement, Past, Rules, State, judge
from dedup.model import Cause, Change, CheckStatus, Sighting, Standing
from dedup.store import KeptSighting, Writer
from dedup.store.rows import JudgedRow, ReadingRow, StateBody, StoredChange
from dedup.store.writing import body_digest, fields_json

CHUNK = 256
"""Pages settled at once: their histories and some of their bodies are in memory."""

_RANK: dict[Standing, int] = {"counted": 0, "superseded": 1, "truncated": 2, "overruled": 3}
_CHECK_RANK: dict[CheckStatus, int] = {"verified": 0, "unclaimed": 1, "mismatched": 2}

Worth = tuple[Standing, CheckStatus, Cause | None, int]
"""(standing, check, cause, metadata) of a sighting."""


def worth(readings: Sequence[ReadingRow]) -> Worth:
    """A sighting is worth what the best of its readings is; its metadata are those with the lowest digest."""
    best = min(readings, key=lambda r: (_RANK[r.standing], _CHECK_RANK[r.check_status], r.check_cause or ""))
    return best.standing, best.check_status, best.check_cause, min(readings, key=lambda r: r.metadata_digest).metadata_id


def settle_sightings(store: Writer, sightings: Collection[int]) -> None:
    """Give stored sightings what their readings make of them; those without readings are forgotten."""
    readings = store.readings_of_sightings(sightings)
    store.update_sightings((s, *worth(readings[s])) for s in sightings if s in readings)
    store.delete_sightings([s for s in sightings if s not in readings])


@dataclass(frozen=True, slots=True)
class Settled:
    """A change that is new, or was and leads from another sighting now (`known`), with its two states; the judgement is None where a
    body was pruned."""

    page: int
    change: Change
    before: StateBody
    after: StateBody
    judgement: Judgement | None
    known: bool = False


Superseded = tuple[int, bytes, bytes, str]
"""(page, digest of the state before, of that after, later crawl) of a change that is none any more."""


def settle_pages(
    store: Writer, pages: Iterable[int], rules: Rules, *, again: bool = False, superseded: list[Superseded] | None = None
) -> list[Settled]:
    """Put the pages' current sightings, their mismatches' causes and their changes right after their sightings changed; with `again`
    every change is judged once more. To `superseded` is added which changes are none any more.

    Returns the changes of state or metadata that are new.
    """
    rest = iter(pages)
    added: list[Settled] = []
    while chunk := list(islice(rest, CHUNK)):
        kept = store.kept_sightings(chunk)
        counted = {page: [s for s in kept.get(page, ()) if s.standing == "counted"] for page in chunk}
        _settle_causes(store, counted)
        store.set_current((page, of_page[-1].id if of_page else None) for page, of_page in counted.items())
        several = {page: counted[page] for page in chunk if len(kept.get(page, ())) > 1}
        added += _settle_changes(store, several, rules, superseded, again=again)
    return added


@dataclass(slots=True)
class _Course:
    """A page's changes from the first that has to be made again, in order; `removed`: whether the page showed no article then."""

    page: int
    changes: list[Change]
    pasts: dict[int, Past]
    removed: bool

    def past(self, change: Change) -> Past:
        past = self.pasts.get(change.sighting.id, Past()) if change.state_changed else Past()
        return replace(past, was_removed=self.removed)

    def pass_by(self, kind: str | None) -> None:
        """Go on to what follows a change of this kind."""
        self.removed = kind == "removed" or (self.removed and kind != "restored")


def _settle_changes(
    store: Writer, counted: dict[int, list[KeptSighting]], rules: Rules, superseded: list[Superseded] | None, *, again: bool
) -> list[Settled]:
    stored, incomplete = store.changes_of(counted), store.incomplete_changes(counted)
    over: list[int] = []
    wanted: list[tuple[_Course, Change]] = []
    for page, sightings in counted.items():
        course = _course(page, sightings)
        before = stored.get(page, {})
        stay = 0
        for change in () if again else course.changes:
            told = before.get(change.sighting.id)
            if told is None or change.sighting.id in incomplete or not _is_as_told(change, course.past(change), told):
                break
            course.pass_by(told.kind)
            stay += 1
        over += before.keys() - {c.sighting.id for c in course.changes[:stay]}
        wanted += [(course, change) for change in course.changes[stay:]]
    settled: list[tuple[Settled, float | None, JudgedRow]] = []
    recipe = rules.recipe
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        bodies = store.bodies({revision for _, c in some for revision in (c.previous.revision, c.sighting.revision)})
        pruned = [course.page for course, c in some if None in (bodies[c.previous.revision].body, bodies[c.sighting.revision].body)]
        known = store.compared(pruned)
        settled += (_compared(course, c, bodies, known, rules, recipe) for course, c in some)
    if superseded is not None and over:
        same = {(s.page, s.change.previous.digest, s.change.sighting.digest, s.change.sighting.crawled_at) for s, _, _ in settled}
        superseded += [change for change in store.states_of_changes(over) if change not in same]
    store.delete_changes(over)
    store.add_changes(
        (s.page, s.change, s.after.title != s.before.title, _differ(s.before, s.after), similarity, row) for s, similarity, row in settled
    )
    return [new for s, _, _ in settled if (new := _news(s, stored.get(s.page, {}).get(s.change.sighting.id))) is not None]


def _news(settled: Settled, told: StoredChange | None) -> Settled | None:
    if told is None:
        return settled
    return replace(settled, known=True) if told.previous != settled.change.previous.id else None


def _course(page: int, kept: Sequence[KeptSighting]) -> _Course:
    sightings = [Sighting(s.id, s.crawled_at, s.revision_id, s.digest, s.metadata) for s in kept]
    return _Course(page, history.changes(sightings), history.pasts(sightings), removed=False)


def _is_as_told(change: Change, past: Past, told: StoredChange) -> bool:
    return (change.previous.id, change.returned, fields_json(change)) == (told.previous, told.returned, told.fields) and (
        told.past is None or told.past == past_json(past)
    )


def past_json(past: Past) -> str:
    """What a change was judged with, as stored: empty where there was nothing to say."""
    return "" if past == Past() else json.dumps(asdict(past), separators=(",", ":"))


_Known = dict[tuple[int, int], tuple[bool, float, JudgedRow]]


def _compared(
    course: _Course, change: Change, bodies: dict[int, StateBody], known: _Known, rules: Rules, recipe: str
) -> tuple[Settled, float | None, JudgedRow]:
    """A change judged, with how alike the bodies are. Of a body that was pruned its digest is known; what was found out before it was
    is `known`."""
    pair = change.previous.revision, change.sighting.revision
    before, after = bodies[pair[0]], bodies[pair[1]]
    past = course.past(change)
    if before.body is None or after.body is None:
        similarity, row = None if _differ(before, after) else 1.0, JudgedRow()
        if pair in known:
            _, similarity, row = known[pair]
        course.pass_by(row.kind)
        return Settled(course.page, change, before, after, None), similarity, row
    similarity = overlap.body_similarity(before.body, after.body) if before.body != after.body else 1.0
    beat()
    judged = judge(_state(before.title, before.body, change.previous), _state(after.title, after.body, change.sighting), past, rules)
    beat()
    course.pass_by(judged.kind)
    row = JudgedRow(
        judged.kind,
        judged.severity,
        json.dumps(judged.channels),
        json.dumps([[e.what, e.before, e.after] for e in judged.evidence], ensure_ascii=False),
        int(judged.stealth),
        int(judged.corrected),
        judged.edit,
        past_json(past),
        recipe,
    )
    return Settled(course.page, change, before, after, judged), similarity, row


def _state(title: str, body: str, sighting: Sighting) -> State:
    return State(title, body, tuple((name, getattr(sighting.metadata, name) or "") for name in history.TRACKED))


def _differ(before: StateBody, after: StateBody) -> bool:
    return before.body != after.body if None not in (before.body, after.body) else _digest(before) != _digest(after)


def _digest(state: StateBody) -> bytes | None:
    return state.digest if state.body is None else body_digest(state.body)


def _settle_causes(store: Writer, pages: dict[int, list[KeptSighting]]) -> None:
    """`stale` where a mismatched claim is the digest of an earlier revision, `altered` where it is not."""
    doubtful: list[tuple[KeptSighting, list[int]]] = []
    for counted in pages.values():
        for i, s in enumerate(counted):
            if s.check_status == "mismatched" and s.check_cause in ("altered", "stale"):
                earlier = {o.revision_id for o in counted[:i] if o.crawled_at < s.crawled_at and o.revision_id != s.revision_id}
                doubtful.append((s, sorted(earlier)))
    claims = store.claims_of(s.id for s, _ in doubtful)
    bodies = store.bodies({revision for _, earlier in doubtful for revision in earlier})
    verified = store.verified_claims(revision for revision, state in bodies.items() if state.body is None)
    causes: list[tuple[int, Cause]] = []
    for s, earlier_ in doubtful:
        claimed = frozenset(c for c in (digests.claim_hex(c) for c in claims.get(s.id, ())) if c)
        cause: Cause = "altered"
        if any(claimed & _claimable(bodies[r], claimed, verified.get(r, ())) for r in earlier_):
            cause = "stale"
        elif s.check_cause == "stale" and any(bodies[r].body is None for r in earlier_):
            continue  # found out while that body was there
        if cause != s.check_cause:
            causes.append((s.id, cause))
    store.set_causes(causes)


def _claimable(state: StateBody, claims: frozenset[str], verified: Collection[str]) -> frozenset[str]:
    """The digests of a revision that could be claimed in the form these claims have; of one whose body was pruned those that were
    `verified` before."""
    if state.body is None:
        return frozenset(c for c in map(digests.claim_hex, verified) if c)
    title, body = state.title, state.body
    recipes = {r for claim in claims for r in digests.fitting(tuple(digests.RECIPES.values()), claim)}
    escaped = digests.escape(body) if any(r.text == "escaped" for r in recipes) else ""
    return frozenset(digests.digest(r, title, body, escaped) for r in recipes)
