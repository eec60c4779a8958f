"""Putting sightings and pages right after their readings changed: what a crawl is worth, and what a page's history says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from dedup import digests, overlap
from dedup.ingest import history
from dedup.model import Cause, Change, CheckStatus, Sighting, Standing
from dedup.store import KeptSighting, Writer
from dedup.store.rows import ReadingRow
from dedup.store.writing import fields_json

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
    stored = store.changes_of(counted)
    over: list[int] = []
    wanted: list[tuple[int, Change]] = []
    added: dict[int, int] = {}
    for page, sightings in counted.items():
        found = history.changes([Sighting(s.id, s.crawled_at, s.revision_id, s.digest, s.metadata) for s in sightings])
        now = {c.sighting.id: c for c in found}
        before = stored.get(page, {})
        for sighting, told in before.items():
            change = now.get(sighting)
            if change and (change.previous.id, change.returned, fields_json(change)) == told:
                del now[sighting]
            else:
                over.append(sighting)
        wanted += [(page, change) for change in now.values()]
        new = sum(sighting not in before for sighting in now)
        if new:
            added[page] = new
    store.delete_changes(over)
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        bodies = store.bodies({revision for _, c in some for revision in (c.previous.revision, c.sighting.revision)})
        store.add_changes(_compared(page, c, bodies) for page, c in some)
    return added


def _compared(page: int, change: Change, bodies: dict[int, tuple[str, str]]) -> tuple[int, Change, bool, bool, float]:
    title_before, body_before = bodies[change.previous.revision]
    title, body = bodies[change.sighting.revision]
    similarity = 1.0 if body == body_before else overlap.body_similarity(body_before, body)
    return page, change, title != title_before, body != body_before, similarity


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
    causes: list[tuple[int, Cause]] = []
    for s, earlier_ in doubtful:
        claimed = frozenset(c for c in (digests.claim_hex(c) for c in claims.get(s.id, ())) if c)
        cause: Cause = "stale" if any(claimed & _claimable(*bodies[revision], claimed) for revision in earlier_) else "altered"
        if cause != s.check_cause:
            causes.append((s.id, cause))
    store.set_causes(causes)


def _claimable(title: str, body: str, claims: frozenset[str]) -> frozenset[str]:
    """The digests of a revision that could be claimed in the form these claims have."""
    recipes = {r for claim in claims for r in digests.fitting(tuple(digests.RECIPES.values()), claim)}
    return frozenset(digests.digest(r, title, body, digests.escape(body)) for r in recipes)
