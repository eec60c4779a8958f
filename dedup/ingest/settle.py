"""Putting sightings and pages right after their readings changed: what a crawl is worth, and what a page's history says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from dedup import digests, overlap
from dedup.ingest import history
from dedup.model import Cause, Change, CheckStatus, Sighting, Standing
from dedup.store import KeptSighting, Writer
from dedup.store.rows import ReadingRow, StateBody
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


def settle_pages(store: Writer, pages: Iterable[int]) -> dict[int, int]:
    """Put the pages' current sightings, their mismatches' causes and their changes right after their sightings changed.

    Returns page → how many changes of state or metadata are new, for those where any is.
    """
    rest = iter(pages)
    added: dict[int, int] = {}
    while chunk := list(islice(rest, CHUNK)):
        kept = store.kept_sightings(chunk)
        counted = {page: [s for s in kept.get(page, ()) if s.standing == "counted"] for page in chunk}
        _settle_causes(store, counted)
        store.set_current((page, of_page[-1].id if of_page else None) for page, of_page in counted.items())
        added |= _settle_changes(store, {page: counted[page] for page in chunk if len(kept.get(page, ())) > 1})
    return added


def _settle_changes(store: Writer, counted: dict[int, list[KeptSighting]]) -> dict[int, int]:
    stored, incomplete = store.changes_of(counted), store.incomplete_changes(counted)
    over: list[int] = []
    wanted: list[tuple[int, Change]] = []
    added: dict[int, int] = {}
    for page, sightings in counted.items():
        found = history.changes([Sighting(s.id, s.crawled_at, s.revision_id, s.digest, s.metadata) for s in sightings])
        now = {c.sighting.id: c for c in found}
        before = stored.get(page, {})
        for sighting, told in before.items():
            change = now.get(sighting)
            if change and (change.previous.id, change.returned, fields_json(change)) == told and sighting not in incomplete:
                del now[sighting]
            else:
                over.append(sighting)
        wanted += [(page, change) for change in now.values()]
        new = sum(sighting not in before for sighting in now)
        if new:
            added[page] = new
    compared: list[tuple[int, Change, bool, bool, float | None]] = []
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        bodies = store.bodies({revision for _, c in some for revision in (c.previous.revision, c.sighting.revision)})
        pruned = [page for page, c in some if None in (bodies[c.previous.revision].body, bodies[c.sighting.revision].body)]
        known = store.compared(pruned)
        compared += (_compared(page, c, bodies, known) for page, c in some)
    store.delete_changes(over)
    store.add_changes(compared)
    return added


def _compared(
    page: int, change: Change, bodies: dict[int, StateBody], known: dict[tuple[int, int], tuple[bool, float]]
) -> tuple[int, Change, bool, bool, float | None]:
    """A change with what differs. Of a body that was pruned its digest is known; how alike the two were, where that was found out
    before (`known`)."""
    pair = change.previous.revision, change.sighting.revision
    before, now = bodies[pair[0]], bodies[pair[1]]
    similarity: float | None
    if before.body is not None and now.body is not None:
        changed = now.body != before.body
        similarity = overlap.body_similarity(before.body, now.body) if changed else 1.0
    else:
        changed = _digest(before) != _digest(now)
        similarity = known[pair][1] if pair in known else None if changed else 1.0
    return page, change, now.title != before.title, changed, similarity


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
    return frozenset(digests.digest(r, title, body, digests.escape(body)) for r in recipes)
