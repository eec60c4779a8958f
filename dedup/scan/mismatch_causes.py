"""Why claims do not hold: whether a claim is the digest of an earlier state of its page.

Each reading is judged by its own claim against the states that the page showed before, whatever other readings there are of its crawl:
the cause depends on what is in the history, and not on the order in which it came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dedup import store
from dedup.matching.cache import Cache
from dedup.model import Cause
from dedup.scan.sighting_status import worth
from dedup.store import Database, Transaction
from dedup.store.rows import DoubtfulReading, FirstCrawl
from dedup.store.timeline import Place
from dedup.text import digests

CHUNK = 256
"""States whose bodies are in memory at a time."""
MOST_DIGESTS = 50_000
"""Digests of states that are kept in memory, 200 bytes each at most."""

_cache: Cache[tuple[bytes, str], str] = Cache(MOST_DIGESTS)
"""(digest of a state, recipe) → digest by that recipe."""


def settle_causes(transaction: Transaction, pages: Iterable[int]) -> None:
    """`stale` where the claim of a mismatched reading of these pages is the digest of an earlier revision, `altered` where it is not."""
    _settle(transaction, store.readings.doubtful_of_pages(transaction, pages))


def cause_differences(database: Database, pages: Iterable[int]) -> list[tuple[DoubtfulReading, Cause]]:
    """(reading, its cause) for each mismatched reading of these pages that is stored with another cause. Nothing is written."""
    return _differences(database, store.readings.doubtful_of_pages(database, pages))


def settle_causes_near(transaction: Transaction, page: int, touched: Mapping[int, Place], read: Collection[int]) -> None:
    """The same of one page, for readings that can have another cause since the sightings `touched` changed and the sightings `read` were
    read from a file."""
    readings = {r.id: r for r in store.readings.doubtful_of_sightings(transaction, {*touched, *read}) if r.page == page}
    since = _first_to_move(transaction, touched.values())
    if since is not None:
        readings |= {r.id: r for r in store.readings.doubtful_of_pages(transaction, [page]) if r.crawled_at > since}
    _settle(transaction, list(readings.values()))


def _first_to_move(database: Database, touched: Iterable[Place]) -> str | None:
    """The earliest time since which it can be different whether a state was shown; None: there is none."""
    earliest: dict[int, str] = {}
    for place in touched:
        earliest[place.revision] = min(place.at[0], earliest.get(place.revision, place.at[0]))
    moved = [at for revision, at in earliest.items() if next(store.timeline.crawls_of_revision(database, revision), at) >= at]
    return min(moved, default=None)


def _settle(transaction: Transaction, readings: Sequence[DoubtfulReading]) -> None:
    causes = _differences(transaction, readings)
    if not causes:
        return
    store.readings.set_causes(transaction, ((reading.id, cause) for reading, cause in causes))
    of_sightings = store.readings.of_sightings(transaction, {reading.sighting for reading, _ in causes})
    store.sightings.update(transaction, ((sighting, worth(rows)) for sighting, rows in of_sightings.items()))


def _differences(database: Database, readings: Sequence[DoubtfulReading]) -> list[tuple[DoubtfulReading, Cause]]:
    doubtful = [(reading, claim) for reading in readings if (claim := digests.claim_hex(reading.claimed))]
    if not doubtful:
        return []
    of_pages = store.sightings.first_crawls(database, {reading.page for reading, _ in doubtful})
    states = [state for of_page in of_pages.values() for state in of_page]
    there = _digests(database, {claim for _, claim in doubtful}, [state for state in states if not state.pruned])
    verified = store.readings.verified_claims(database, (state.revision for state in states if state.pruned))
    earliest = {page: _earliest(of_page, there, verified) for page, of_page in of_pages.items()}
    return [(reading, cause) for reading, claim in doubtful if (cause := earliest[reading.page].cause(reading, claim)) != reading.cause]


@dataclass(frozen=True, slots=True)
class _Earliest:
    """Of one page: digest that may be claimed → (first crawl, revision) of the revisions that have it; and the first crawl of a revision
    whose digests are not all known any more, since its body was pruned."""

    by_digest: dict[str, list[tuple[str, int]]]
    pruned: str | None

    def cause(self, reading: DoubtfulReading, claim: str) -> Cause:
        first = self.by_digest.get(claim, ())
        if any(crawled_at < reading.crawled_at and revision != reading.revision for crawled_at, revision in first):
            return "stale"
        if reading.cause == "stale" and self.pruned is not None and self.pruned < reading.crawled_at:
            return "stale"  # found out while that body was there
        return "altered"


def _earliest(states: Sequence[FirstCrawl], there: Mapping[int, list[str]], verified: Mapping[int, list[str]]) -> _Earliest:
    found: dict[str, list[tuple[str, int]]] = {}
    for state in states:
        claimed = filter(None, map(digests.claim_hex, verified.get(state.revision, ())))
        for digest in claimed if state.pruned else there[state.revision]:
            found.setdefault(digest, []).append((state.crawled_at, state.revision))
    return _Earliest(found, min((state.crawled_at for state in states if state.pruned), default=None))


def _digests(database: Database, claims: Collection[str], states: Sequence[FirstCrawl]) -> dict[int, list[str]]:
    """Revision → its digests by every recipe that makes such claims."""
    lengths = {len(claim): claim for claim in claims}
    recipes = [r for claim in lengths.values() for r in digests.fitting(tuple(digests.RECIPES.values()), claim)]
    names = [(recipe, str(recipe)) for recipe in recipes]
    found = {state.revision: [_cache.get((state.digest, name)) or "" for _, name in names] for state in states}
    lacking = {state.revision: state.digest for state in states if "" in found[state.revision]}
    for some in _parts(list(lacking)):
        for revision, body in store.revisions.bodies(database, some).items():
            assert body.body is not None
            escaped = digests.escape(body.body) if any(recipe.text == "escaped" for recipe, _ in names) else ""
            found[revision] = [digests.digest(recipe, body.title, body.body, escaped) for recipe, _ in names]
            _cache.update({(lacking[revision], name): digest for (_, name), digest in zip(names, found[revision], strict=True)})
    _cache.end_batch()
    return found


def _parts(revisions: Sequence[int]) -> Iterator[Sequence[int]]:
    return (revisions[start : start + CHUNK] for start in range(0, len(revisions), CHUNK))
