"""Candidates by passages: which texts share fingerprints with a text, and under which fingerprints the text becomes a leader itself.

The texts of a batch are taken one by one, in the order of their ids: `propose` returns a text's candidates, and `enter` takes that
proposal and the candidates that were confirmed. Whether a text is entered in a bucket depends on the matches of the texts before it and
on nothing else. The result is stored with the text, so that the index can be rebuilt exactly.

The texts in a bucket are leaders. Their followers are copies of theirs, and other states of their pages, which share the passage and were
not entered. Followers are candidates too: a text that is no copy of a leader may be a copy of a follower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dedup import store
from dedup.index.passages import MAX_BUCKET
from dedup.matching.boilerplate_filter import BoilerplateFilter
from dedup.matching.match_caches import MatchCaches
from dedup.matching.passage_lookup import BoolArray, FingerprintQuery, Int64Array, PassageLookup
from dedup.matching.top_candidates import choose_candidates
from dedup.store import Database, Transaction

MAX_FOLLOWERS = 32
"""Followers of a candidate that are confirmed too. A copy of a leader with more is marked crowded: it has a match already."""


class PassageEntry(NamedTuple):
    """The fingerprints under which a text is entered as a leader, and the leaders that it follows under its other ones."""

    text_id: int
    publisher_id: int
    fingerprints: Int64Array
    leader_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class CandidateProposal:
    """The candidates of a text, those that share most fingerprints first. `unmasked` is a mask over the query's fingerprints: those that do
    not lie in boilerplate."""

    query: FingerprintQuery
    unmasked: BoolArray
    candidates: list[int]


@dataclass(frozen=True, slots=True)
class _Followers:
    """The followers of texts, by the text that leads them: of `leaders` in a batch's buckets the earliest MAX_FOLLOWERS + 1, and all of
    each text that is `requeried`."""

    leaders: dict[int, list[int]]
    requeried: dict[int, list[int]]


@dataclass(frozen=True, slots=True)
class _Preview:
    """The candidates of a batch as far as the index alone shows them, computed with array operations before its texts are taken one by one.

    It decides most texts. The exceptions are texts that share fingerprints with other texts of the transaction (`repeated_positions`:
    text → positions of those fingerprints), and `undecided_ids`: texts with passages that may be boilerplate, or are boilerplate of
    other publishers."""

    unmasked: BoolArray
    repeated_positions: dict[int, list[int]]
    undecided_ids: set[int]
    candidates: dict[int, list[int]]


class PassageMatcher:
    """Proposes candidates for the texts of one batch, and enters the texts.

    `lookup` holds the buckets of the index; `pending` are the entries of earlier batches of the same transaction, which the index does not
    hold yet. Entries of this batch are added to the buckets as its texts are entered."""

    def __init__(self, database: Database, caches: MatchCaches, lookup: PassageLookup, pending: Sequence[PassageEntry]) -> None:
        self._lookup, self._filter = lookup, BoilerplateFilter(caches)
        leader_ids = lookup.proposing_texts() | {entry.text_id for entry in pending}
        self._followers = _load_followers(database, lookup.queries, leader_ids)
        _load_publishers(caches, lookup.queries, leader_ids, self._followers)
        self._local_buckets = _bucket_entries(pending)
        self._preview = self._preview_batch()

    def expected_candidates(self, query: FingerprintQuery) -> list[int]:
        """Return the candidates that the index alone shows. `propose` may return others."""
        return self._preview.candidates[query.text_id]

    def followers_of(self, text_id: int) -> list[int]:
        """Return the followers of a leader. If it has more than MAX_FOLLOWERS, some may be missing, but more than MAX_FOLLOWERS are
        returned."""
        return self._followers.leaders.get(text_id, [])

    def own_followers_of(self, query: FingerprintQuery) -> list[int]:
        """Return all followers of a requeried text: its fingerprints do not lead to them."""
        return self._followers.requeried.get(query.text_id, [])

    def propose(self, transaction: Transaction, query: FingerprintQuery) -> CandidateProposal:
        """Return the candidates of a text. Passages that enough articles of its publisher share are learned as boilerplate and stored; they
        propose nothing."""
        lookup, preview = self._lookup, self._preview
        positions = lookup.positions_by_text[query.text_id]
        repeated = preview.repeated_positions.get(query.text_id, ())
        has_local = bool(self._local_buckets) and any(lookup.fingerprints[position] in self._local_buckets for position in repeated)
        if has_local or query.text_id in preview.undecided_ids:
            unmasked, candidates = self._choose_candidates(transaction, query, repeated, positions)
        else:
            unmasked, candidates = preview.unmasked[positions.start : positions.stop], preview.candidates[query.text_id]
        return CandidateProposal(query, unmasked, [other for other in candidates if other != query.text_id])

    def _choose_candidates(
        self, transaction: Transaction, query: FingerprintQuery, repeated: Sequence[int], positions: range
    ) -> tuple[BoolArray, list[int]]:
        """Return the mask of fingerprints outside boilerplate, and the candidates, from the buckets as they are now."""
        lookup = self._lookup
        shared_positions = sorted({*repeated, *(position for position in positions if lookup.bucket_sizes[position])})
        buckets = {
            fingerprint: bucket
            for position in shared_positions
            if (bucket := self._bucket(position, fingerprint := lookup.fingerprints[position]))
        }
        unmasked = self._filter.find_unmasked(query)
        if query.body is not None:
            learned = self._filter.learn_boilerplate(transaction, query, query.fingerprints[unmasked].tolist(), buckets)
            if learned:
                unmasked = self._filter.find_unmasked(query)
                affected = lookup.with_queries(np.isin(lookup.fingerprint_array, list(learned)))
                self._preview.undecided_ids.update(other.text_id for _, other in affected)
        unmasked_fingerprints = set(query.fingerprints[unmasked].tolist())
        proposing = [
            self._filter.remove_masked(fingerprint, bucket)
            for fingerprint, bucket in buckets.items()
            if fingerprint in unmasked_fingerprints
        ]
        bucket_sizes = _to_array([len(bucket) for bucket in proposing])
        text_ids = _to_array([text_id for bucket in proposing for text_id in bucket])
        (candidates,) = choose_candidates(_to_array([len(proposing)]), bucket_sizes, text_ids)
        return unmasked, candidates

    def enter(self, proposal: CandidateProposal, leader_ids: Iterable[int]) -> PassageEntry:
        """Enter a text under its fingerprints outside boilerplate, except where the bucket has one of `leader_ids`, which the text follows,
        or is full."""
        query, unmasked = proposal.query, proposal.unmasked
        leaders, lookup = set(leader_ids), self._lookup
        positions = lookup.positions_by_text[query.text_id]
        repeated = self._preview.repeated_positions.get(query.text_id, ())
        if (
            not leaders
            and not repeated
            and unmasked.all()
            and max(lookup.bucket_sizes[positions.start : positions.stop], default=0) <= MAX_BUCKET
        ):
            return PassageEntry(query.text_id, query.publisher_id, query.fingerprints)
        is_entered = unmasked & (lookup.bucket_size_array[positions.start : positions.stop] <= MAX_BUCKET)
        repeated_positions = set(repeated)
        followed: set[int] = set()
        for position in (
            {*repeated_positions, *(position for position in positions if lookup.bucket_sizes[position])} if leaders else repeated_positions
        ):
            if not unmasked[position - positions.start]:
                continue
            fingerprint = lookup.fingerprints[position]
            bucket = self._bucket(position, fingerprint)
            leaders_here = leaders.intersection(bucket)
            if leaders_here or len(bucket) > MAX_BUCKET:
                followed |= leaders_here
                is_entered[position - positions.start] = False
            elif position in repeated_positions:
                self._local_buckets[fingerprint] = (*self._local_buckets.get(fingerprint, ()), query.text_id)
        for leader_id in followed:
            self._followers.leaders.setdefault(leader_id, []).append(query.text_id)
        return PassageEntry(query.text_id, query.publisher_id, query.fingerprints[is_entered], sorted(followed))

    def _bucket(self, position: int, fingerprint: int) -> list[int]:
        """Return the texts under a fingerprint: those of the index, then those that this transaction entered."""
        text_ids = self._lookup.bucket(position)
        return [*text_ids, *self._local_buckets[fingerprint]] if fingerprint in self._local_buckets else text_ids

    # Preview

    def _preview_batch(self) -> _Preview:
        lookup = self._lookup
        unmasked, undecided_ids = self._find_boilerplate()
        bucket_sizes = np.where(unmasked, lookup.bucket_size_array, 0)
        text_ids = lookup.bucket_text_array[np.repeat(unmasked, lookup.bucket_size_array)]
        candidates = choose_candidates(lookup.ends, bucket_sizes, text_ids)
        candidates_by_text = {query.text_id: others for query, others in zip(lookup.queries, candidates, strict=True)}
        return _Preview(unmasked, self._find_repeated_positions(), undecided_ids, candidates_by_text)

    def _find_repeated_positions(self) -> dict[int, list[int]]:
        """Return text → positions of its fingerprints that other texts of this transaction have."""
        lookup = self._lookup
        is_repeated = lookup.find_repeated()
        if self._local_buckets:
            is_repeated |= np.isin(lookup.fingerprint_array, list(self._local_buckets))
        repeated_positions: dict[int, list[int]] = {}
        for position, query in lookup.with_queries(is_repeated):
            repeated_positions.setdefault(query.text_id, []).append(position)
        return repeated_positions

    def _find_boilerplate(self) -> tuple[BoolArray, set[int]]:
        """Return a mask of the positions that do not lie in known boilerplate, and the ids of the texts that need a closer look."""
        lookup = self._lookup
        undecided_ids: set[int] = set()
        unmasked = np.ones(len(lookup.fingerprints), np.bool_)
        masked_somewhere = self._filter.masked_fingerprints.intersection(lookup.fingerprints)
        needs_check = self._filter.may_be_evidence(lookup.bucket_size_array)
        if masked_somewhere:
            needs_check |= np.isin(lookup.fingerprint_array, list(masked_somewhere))
        for position, query in lookup.with_queries(needs_check):
            fingerprint = lookup.fingerprints[position]
            if self._filter.is_masked_for(query.publisher_id, fingerprint):
                unmasked[position] = False
            elif fingerprint in masked_somewhere or self._filter.find_evidence(query, fingerprint, lookup.bucket(position)):
                undecided_ids.add(query.text_id)
        for _, query in lookup.with_queries(~unmasked):
            positions = lookup.positions_by_text[query.text_id]
            if 2 * np.count_nonzero(unmasked[positions.start : positions.stop]) < len(positions):
                undecided_ids.add(query.text_id)
        return unmasked, undecided_ids


def _load_followers(database: Database, queries: Sequence[FingerprintQuery], leader_ids: Iterable[int]) -> _Followers:
    followers = store.passages.first_followers(database, leader_ids, MAX_FOLLOWERS + 1)
    requeried_ids = [query.text_id for query in queries if query.body is None]
    return _Followers(followers, store.passages.first_followers(database, requeried_ids, None))


def _load_publishers(caches: MatchCaches, queries: Sequence[FingerprintQuery], leader_ids: Iterable[int], followers: _Followers) -> None:
    """Load the publishers of all texts that the batch may be compared with, and their boilerplate."""
    follower_lists = (*followers.leaders.values(), *followers.requeried.values())
    caches.publishers.load({*leader_ids, *(text_id for text_ids in follower_lists for text_id in text_ids)})
    caches.publishers.put({query.text_id: query.publisher_id for query in queries})


def _bucket_entries(entries: Iterable[PassageEntry]) -> dict[int, tuple[int, ...]]:
    """Return fingerprint → the texts that are entered under it."""
    buckets: dict[int, tuple[int, ...]] = {}
    for entry in entries:
        for fingerprint in entry.fingerprints.tolist():
            buckets[fingerprint] = (*buckets.get(fingerprint, ()), entry.text_id)
    return buckets


def _to_array(values: Sequence[int]) -> Int64Array:
    return np.array(values, np.int64)
