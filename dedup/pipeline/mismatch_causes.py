"""Causes of mismatches: `stale` if the claim is the digest of an earlier state of the page, else `altered`.

Each reading is checked by its own claim against the earlier states of its page. So the cause depends on the history alone, and not on the
order in which it arrived.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from more_itertools import chunked

from dedup import store
from dedup.matching.cache import Cache
from dedup.model import MismatchCause
from dedup.pipeline.sighting_status import merge_readings
from dedup.store import Database, Transaction
from dedup.store.rows import FirstCrawl, StaleCandidate
from dedup.store.timeline import SightingPosition
from dedup.text import digests

CHUNK = 256
"""States whose bodies are in memory at once."""
MAX_DIGESTS = 50_000
"""Cached digests of states, at most 200 bytes each."""

_digest_cache: Cache[tuple[bytes, str], str] = Cache(MAX_DIGESTS)
"""(state digest, recipe) → digest by that recipe."""


def recompute_causes(transaction: Transaction, pages: Iterable[int]) -> None:
    """Recompute the causes of all mismatched readings of these pages."""
    _recompute(transaction, store.readings.stale_candidates_of_pages(transaction, pages))


def find_cause_differences(database: Database, pages: Iterable[int]) -> list[tuple[StaleCandidate, MismatchCause]]:
    """Return (reading, right cause) for each mismatched reading of these pages that has another cause stored. Nothing is written."""
    return _find_differences(database, store.readings.stale_candidates_of_pages(database, pages))


def recompute_causes_near(
    transaction: Transaction, page: int, touched_sightings: Mapping[int, SightingPosition], read_sightings: Collection[int]
) -> None:
    """Recompute the causes of those readings of a page that may have another cause now: `touched_sightings` changed, and files were read
    that show `read_sightings`."""
    readings = {
        r.id: r
        for r in store.readings.stale_candidates_of_sightings(transaction, {*touched_sightings, *read_sightings})
        if r.page_id == page
    }
    since = _earliest_affected_time(transaction, touched_sightings.values())
    if since is not None:
        readings |= {r.id: r for r in store.readings.stale_candidates_of_pages(transaction, [page]) if r.crawled_at > since}
    _recompute(transaction, list(readings.values()))


def _earliest_affected_time(database: Database, positions: Iterable[SightingPosition]) -> str | None:
    """Return the earliest crawl time after which a state may newly count as shown before, or no longer; None if there is none."""
    earliest: dict[int, str] = {}
    for position in positions:
        earliest[position.revision_id] = min(position.position[0], earliest.get(position.revision_id, position.position[0]))
    affected_times = [at for revision, at in earliest.items() if next(store.timeline.crawls_of_revision(database, revision), at) >= at]
    return min(affected_times, default=None)


def _recompute(transaction: Transaction, readings: Sequence[StaleCandidate]) -> None:
    causes = _find_differences(transaction, readings)
    if not causes:
        return
    store.readings.set_causes(transaction, ((reading.id, cause) for reading, cause in causes))
    rows_by_sighting = store.readings.of_sightings(transaction, {reading.sighting_id for reading, _ in causes})
    store.sightings.update(transaction, ((sighting, merge_readings(rows)) for sighting, rows in rows_by_sighting.items()))


def _find_differences(database: Database, readings: Sequence[StaleCandidate]) -> list[tuple[StaleCandidate, MismatchCause]]:
    claimed_readings = [(reading, claim) for reading in readings if (claim := digests.parse_claim(reading.claimed_digest))]
    if not claimed_readings:
        return []
    crawls_by_page = store.sightings.first_crawls(database, {reading.page_id for reading, _ in claimed_readings})
    states = [state for page_states in crawls_by_page.values() for state in page_states]
    digests_by_revision = _compute_digests(
        database, {claim for _, claim in claimed_readings}, [state for state in states if not state.is_pruned]
    )
    verified_claims = store.readings.verified_claims(database, (state.revision_id for state in states if state.is_pruned))
    earliest_by_page = {
        page: _find_earliest_crawls(page_states, digests_by_revision, verified_claims) for page, page_states in crawls_by_page.items()
    }
    return [
        (reading, cause)
        for reading, claim in claimed_readings
        if (cause := earliest_by_page[reading.page_id].cause(reading, claim)) != reading.cause
    ]


@dataclass(frozen=True, slots=True)
class _EarliestCrawls:
    """First crawls of one page: `by_digest` maps a claimable digest to (first crawl time, revision) of the revisions that have it.

    `first_pruned_crawl` is the first crawl of a revision whose body was pruned, so that not all of its digests are known.
    """

    by_digest: dict[str, list[tuple[str, int]]]
    first_pruned_crawl: str | None

    def cause(self, reading: StaleCandidate, claim: str) -> MismatchCause:
        crawls = self.by_digest.get(claim, ())
        if any(crawled_at < reading.crawled_at and revision != reading.revision_id for crawled_at, revision in crawls):
            return "stale"
        if reading.cause == "stale" and self.first_pruned_crawl is not None and self.first_pruned_crawl < reading.crawled_at:
            return "stale"  # found while that body was stored
        return "altered"


def _find_earliest_crawls(
    states: Sequence[FirstCrawl], digests_by_revision: Mapping[int, list[str]], verified_claims: Mapping[int, list[str]]
) -> _EarliestCrawls:
    crawls_by_digest: dict[str, list[tuple[str, int]]] = {}
    for state in states:
        known_digests = filter(None, map(digests.parse_claim, verified_claims.get(state.revision_id, ())))
        for digest in known_digests if state.is_pruned else digests_by_revision[state.revision_id]:
            crawls_by_digest.setdefault(digest, []).append((state.crawled_at, state.revision_id))
    return _EarliestCrawls(crawls_by_digest, min((state.crawled_at for state in states if state.is_pruned), default=None))


def _compute_digests(database: Database, claims: Collection[str], states: Sequence[FirstCrawl]) -> dict[int, list[str]]:
    """Return revision → its digests by every recipe whose digests have the length of a claim."""
    claim_by_length = {len(claim): claim for claim in claims}
    recipes = [r for claim in claim_by_length.values() for r in digests.recipes_of_length(tuple(digests.RECIPES.values()), claim)]
    recipe_names = [(recipe, str(recipe)) for recipe in recipes]
    digests_by_revision = {
        state.revision_id: [_digest_cache.get((state.digest, name)) or "" for _, name in recipe_names] for state in states
    }
    uncached_states = {state.revision_id: state.digest for state in states if "" in digests_by_revision[state.revision_id]}
    for batch in chunked(uncached_states, CHUNK):
        for revision, body in store.revisions.bodies(database, batch).items():
            assert body.body is not None
            escaped = digests.escape_handlebars(body.body) if any(recipe.text == "escaped" for recipe, _ in recipe_names) else ""
            digests_by_revision[revision] = [digests.compute_digest(recipe, body.title, body.body, escaped) for recipe, _ in recipe_names]
            _digest_cache.update(
                {
                    (uncached_states[revision], name): digest
                    for (_, name), digest in zip(recipe_names, digests_by_revision[revision], strict=True)
                }
            )
    _digest_cache.end_batch()
    return digests_by_revision
