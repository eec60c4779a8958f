"""The passage side of matching: which stories a text shares keys with, and under which keys it stands for one itself.

Texts are taken one after the other, in the order of their keys: whether a text is entered in a bucket depends on what was
matched before it, and on nothing else. What was decided is stored with the text, so that the index can be made again exactly.

A bucket's texts stand for all that hold its passage: for the copies of theirs that were not entered, and for other states of
their pages. Those are candidates too (`followers`), so that a text that is no copy of the one may still be one of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.index.hashtable import to_kernel_array
from dedup.index.passages import MAX_BUCKET, PassageIndex
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.cache import Cache
from dedup.matching.text_cache import PreparedTextCache
from dedup.matching.top_candidates import choose_top_candidates
from dedup.similarity import jit
from dedup.store import Database, Transaction

MAX_PROPOSED = 4
"""Texts of a bucket that are proposed: the earliest."""
MAX_CANDIDATES = 16
"""Texts that stand in the buckets of a text and are confirmed, those first that share most keys."""
MIN_EVIDENCE = 0.49
"""What the keys that a candidate shares must say for it, each one part of as many as there are stories under it: one key of two
stories is enough, or three of six."""
MAX_FOLLOWERS = 32
"""Texts that stand behind a candidate and are confirmed too; one with more has a match, and the copies of that are many."""
MAX_CACHED_PUBLISHERS = 200_000
"""Texts of which the publisher stays in memory between batches."""

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FingerprintQuery:
    """A text that is looked up by its keys. `body` None: it is not entered (it stands in the index already)."""

    text_id: int
    publisher_id: int
    fingerprints: Int64Array
    body: str | None


@dataclass(frozen=True, slots=True)
class CandidateProposal:
    """What a text's buckets propose: candidates, those first that share most keys. `unmasked`: which of its keys do not lie in
    boilerplate."""

    query: FingerprintQuery
    unmasked: NDArray[np.bool_]
    candidates: list[int]


class _IndexSnapshot:
    """What the index holds under the keys of a batch's texts, looked up all at once. A place is that of a key among all of them."""

    def __init__(self, index: PassageIndex, queries: Sequence[FingerprintQuery]) -> None:
        self.queries = queries
        self.fingerprint_array = np.concatenate([one.fingerprints for one in queries])
        self.ends = np.cumsum([len(one.fingerprints) for one in queries])
        self.bucket_size_array, self.bucket_text_array = index.query(self.fingerprint_array)
        self.fingerprints: list[int] = self.fingerprint_array.tolist()
        self.bucket_sizes: list[int] = self.bucket_size_array.tolist()
        self._bucket_texts: list[int] = self.bucket_text_array.tolist()
        self._bucket_ends: list[int] = np.cumsum(self.bucket_size_array).tolist()
        begins = [0, *self.ends.tolist()]
        self.positions_of = {one.text_id: range(begin, end) for one, begin, end in zip(queries, begins, begins[1:], strict=False)}

    def bucket(self, position: int) -> list[int]:
        """The texts that the index holds under a key."""
        end = self._bucket_ends[position]
        return self._bucket_texts[end - self.bucket_sizes[position] : end]

    def proposing_texts(self) -> set[int]:
        """The texts of all buckets that may propose any."""
        return set(self.bucket_text_array[np.repeat(self.bucket_size_array <= MAX_BUCKET, self.bucket_size_array)].tolist())

    def with_queries(self, mask: NDArray[np.bool_]) -> Iterator[tuple[int, FingerprintQuery]]:
        """(place, whose key it is) of these keys."""
        positions = np.flatnonzero(mask)
        owners = np.searchsorted(self.ends, positions, side="right")
        return ((place, self.queries[owner]) for place, owner in zip(positions.tolist(), owners.tolist(), strict=True))

    def find_repeated(self) -> NDArray[np.bool_]:
        """Which keys are there more than once."""
        order = np.argsort(self.fingerprint_array)
        is_equal = self.fingerprint_array[order[1:]] == self.fingerprint_array[order[:-1]]
        is_repeated = np.zeros(len(order), np.bool_)
        is_repeated[order[1:][is_equal]] = True
        is_repeated[order[:-1][is_equal]] = True
        return is_repeated


@dataclass(frozen=True, slots=True)
class _BatchLookahead:
    """What can be told of a batch before its texts are taken one by one.

    Most texts have candidates that the index alone tells. More counts for those whose keys others of the batch have had
    (`repeated_positions`: text → places of keys that others have), and for `intricate_ids` ones: with passages that may be boilerplate, or
    are that of other publishers."""

    unmasked: NDArray[np.bool_]
    repeated_positions: dict[int, list[int]]
    intricate_ids: set[int]
    candidates: dict[int, list[int]]


class PassageMatcher:
    """Proposes candidates and enters texts, on top of an index of what is committed."""

    def __init__(self, database: Database, boilerplate: Boilerplate, text_cache: PreparedTextCache) -> None:
        self._database, self._boilerplate, self._text_cache = database, boilerplate, text_cache
        self._snapshot: _IndexSnapshot
        self._lookahead: _BatchLookahead
        self._publishers: Cache[int, int] = Cache(MAX_CACHED_PUBLISHERS)
        self._followers: dict[int, list[int]] = {}
        self._own_followers: dict[int, list[int]] = {}
        self._local_buckets: dict[int, tuple[int, ...]] = {}
        self._new_entries: list[tuple[int, Int64Array]] = []
        self._new_followers: list[tuple[int, int]] = []

    def rollback(self) -> None:
        """A batch was rolled back: what it brought was never there."""
        self._publishers.clear()
        for container in (self._followers, self._own_followers, self._local_buckets, self._new_entries, self._new_followers):
            container.clear()

    def take_entered(self) -> list[tuple[int, Int64Array]]:
        """What was entered since the last time, for the index."""
        entries, self._new_entries = self._new_entries, []
        return entries

    def begin_batch(self, index: PassageIndex, queries: Sequence[FingerprintQuery]) -> None:
        """Look up the texts of a batch, and all that will be asked of those that stand under their keys."""
        self._snapshot = snapshot = _IndexSnapshot(index, queries)
        bucket_text_ids = snapshot.proposing_texts() | {text_id for text_id, _ in self._new_entries}
        self._followers = store.passages.first_followers(self._database, bucket_text_ids, MAX_FOLLOWERS + 1)
        self._own_followers = store.passages.first_followers(self._database, [one.text_id for one in queries if one.body is None], None)
        follower_lists = (*self._followers.values(), *self._own_followers.values())
        self.load_publishers({*bucket_text_ids, *(text for family in follower_lists for text in family)})
        self._publishers.update({one.text_id: one.publisher_id for one in queries})
        self._boilerplate.load(self._database, {one.publisher_id for one in queries})
        self._local_buckets = {}
        for text_id, fingerprints in self._new_entries:  # by an earlier part of the same commit
            for fingerprint in fingerprints.tolist():
                self._local_buckets[fingerprint] = (*self._local_buckets.get(fingerprint, ()), text_id)
        self._lookahead = self._look_ahead(snapshot)

    def _look_ahead(self, snapshot: _IndexSnapshot) -> _BatchLookahead:
        is_repeated = snapshot.find_repeated()
        if self._local_buckets:
            is_repeated |= np.isin(snapshot.fingerprint_array, list(self._local_buckets))
        repeated_positions: dict[int, list[int]] = {}
        for position, query in snapshot.with_queries(is_repeated):
            repeated_positions.setdefault(query.text_id, []).append(position)
        intricate_ids: set[int] = set()
        unmasked = np.ones(len(snapshot.fingerprints), np.bool_)
        known_fingerprints = self._boilerplate.masked_fingerprints.intersection(snapshot.fingerprints)
        min_others = self._boilerplate.min_articles - 1
        needs_check = (
            (snapshot.bucket_size_array >= min_others) & (snapshot.bucket_size_array <= MAX_BUCKET)
            if min_others > 0
            else np.zeros(len(snapshot.fingerprints), np.bool_)
        )
        if known_fingerprints:
            needs_check |= np.isin(snapshot.fingerprint_array, list(known_fingerprints))
        for position, query in snapshot.with_queries(needs_check):
            if snapshot.fingerprints[position] in self._boilerplate.fingerprints_masked_for(self._database, query.publisher_id):
                unmasked[position] = False
            elif snapshot.fingerprints[position] in known_fingerprints or self._boilerplate_evidence(
                query, snapshot.fingerprints[position], snapshot.bucket(position)
            ):
                intricate_ids.add(query.text_id)
        for _, query in snapshot.with_queries(~unmasked):
            positions = snapshot.positions_of[query.text_id]
            if 2 * np.count_nonzero(unmasked[positions.start : positions.stop]) < len(positions):
                intricate_ids.add(query.text_id)
        bucket_sizes = np.where(unmasked, snapshot.bucket_size_array, 0)
        candidates = _choose_candidates(
            snapshot.ends, bucket_sizes, snapshot.bucket_text_array[np.repeat(unmasked, snapshot.bucket_size_array)]
        )
        candidates_of_text = {query.text_id: others for query, others in zip(snapshot.queries, candidates, strict=True)}
        return _BatchLookahead(unmasked, repeated_positions, intricate_ids, candidates_of_text)

    def store_followers(self, transaction: Transaction) -> None:
        """Store which texts stand for which."""
        store.passages.insert_followers(transaction, self._new_followers)
        self._new_followers.clear()

    def end_batch(self) -> None:
        """The texts of the batch are asked for no more."""
        self._publishers.end_batch()

    def expected_candidates(self, query: FingerprintQuery) -> list[int]:
        """What will be proposed, as far as the index alone tells."""
        return self._lookahead.candidates[query.text_id]

    def propose(self, transaction: Transaction, query: FingerprintQuery) -> CandidateProposal:
        """The candidates of a text. Passages that so many articles of its publisher share are learned on the way, and are no
        reason to propose anything."""
        snapshot, lookahead = self._snapshot, self._lookahead
        positions = snapshot.positions_of[query.text_id]
        repeated = lookahead.repeated_positions.get(query.text_id, ())
        has_local = bool(self._local_buckets) and any(snapshot.fingerprints[place] in self._local_buckets for place in repeated)
        if not has_local and query.text_id not in lookahead.intricate_ids:
            unmasked, candidates = lookahead.unmasked[positions.start : positions.stop], lookahead.candidates[query.text_id]
        else:
            shared_positions = sorted({*repeated, *(place for place in positions if snapshot.bucket_sizes[place])})
            buckets = {
                fingerprint: bucket
                for place in shared_positions
                if (bucket := self._bucket(place, fingerprint := snapshot.fingerprints[place]))
            }
            unmasked = self._find_unmasked(query)
            learned = (
                self._learn_boilerplate(transaction, query, query.fingerprints[unmasked].tolist(), buckets)
                if query.body is not None
                else set()
            )
            if learned:
                unmasked = self._find_unmasked(query)
                lookahead.intricate_ids.update(
                    other.text_id for _, other in snapshot.with_queries(np.isin(snapshot.fingerprint_array, list(learned)))
                )
            remaining = set(query.fingerprints[unmasked].tolist())
            proposing_buckets = [
                [text for text in bucket if not self._is_masked(text, fingerprint)]
                if fingerprint in self._boilerplate.masked_fingerprints
                else bucket
                for fingerprint, bucket in buckets.items()
                if fingerprint in remaining
            ]
            text_ids = [text for bucket in proposing_buckets for text in bucket]
            (candidates,) = _choose_candidates(
                _to_array([len(proposing_buckets)]), _to_array([len(bucket) for bucket in proposing_buckets]), _to_array(text_ids)
            )
        return CandidateProposal(query, unmasked, [other for other in candidates if other != query.text_id])

    def _bucket(self, position: int, fingerprint: int) -> list[int]:
        """What stands under a key, in the index and by this commit."""
        text_ids = self._snapshot.bucket(position)
        return [*text_ids, *self._local_buckets[fingerprint]] if fingerprint in self._local_buckets else text_ids

    def enter(self, proposal: CandidateProposal, leader_ids: Iterable[int]) -> Int64Array:
        """Enter a text under those of its keys where none of those stands that it goes behind, and remember which they are.
        Gives the keys."""
        text_id, leaders, snapshot = proposal.query.text_id, set(leader_ids), self._snapshot
        positions = snapshot.positions_of[text_id]
        repeated_positions = set(self._lookahead.repeated_positions.get(text_id, ()))
        if (
            not leaders
            and not repeated_positions
            and proposal.unmasked.all()
            and max(snapshot.bucket_sizes[positions.start : positions.stop], default=0) <= MAX_BUCKET
        ):
            self._new_entries.append((text_id, proposal.query.fingerprints))
            return proposal.query.fingerprints
        is_entered = proposal.unmasked & (snapshot.bucket_size_array[positions.start : positions.stop] <= MAX_BUCKET)
        representing: set[int] = set()
        for position in (
            {*repeated_positions, *(position for position in positions if snapshot.bucket_sizes[position])}
            if leaders
            else repeated_positions
        ):
            if not proposal.unmasked[position - positions.start]:
                continue
            fingerprint = snapshot.fingerprints[position]
            bucket = self._bucket(position, fingerprint)
            leaders_here = leaders.intersection(bucket)
            if leaders_here or len(bucket) > MAX_BUCKET:
                representing |= leaders_here
                is_entered[position - positions.start] = False
            elif position in repeated_positions:
                self._local_buckets[fingerprint] = (*self._local_buckets.get(fingerprint, ()), text_id)
        for leader_id in sorted(representing):
            self._new_followers.append((leader_id, text_id))
            self._followers.setdefault(leader_id, []).append(text_id)
        entry_fingerprints = proposal.query.fingerprints[is_entered]
        self._new_entries.append((text_id, entry_fingerprints))
        return entry_fingerprints

    def followers_of(self, text_id: int) -> list[int]:
        """The texts that stand behind one; of more than `MAX_FOLLOWERS` the earliest so many and some."""
        return self._followers.get(text_id, [])

    def own_followers_of(self, query: FingerprintQuery) -> list[int]:
        """All texts that are represented by one that is in the index already: none of its keys leads to them."""
        return self._own_followers.get(query.text_id, [])

    def publisher_of(self, text_id: int) -> int | None:
        """The publisher of a text; None for one that is too short to be looked up."""
        if text_id not in self._publishers:
            self.load_publishers([text_id])
        return self._publishers.get(text_id)

    def load_publishers(self, text_ids: Iterable[int]) -> None:
        """Have the publishers of these texts at hand."""
        if missing := self._publishers.missing(text_ids):
            publishers = store.passages.publishers(self._database, missing)
            self._boilerplate.load(self._database, set(publishers.values()))
            self._publishers.update(publishers)

    def _is_masked(self, text_id: int, fingerprint: int) -> bool:
        """Whether a key under which a text was entered lies in what has been learned since."""
        publisher_id = self.publisher_of(text_id)
        if publisher_id is None or fingerprint not in self._boilerplate.fingerprints_masked_for(self._database, publisher_id):
            return False
        return self._boilerplate.cached_mask(self._database, publisher_id, text_id, self._text_cache.get(text_id).points) is not None

    def _find_unmasked(self, query: FingerprintQuery) -> NDArray[np.bool_]:
        """Which keys do not lie in boilerplate; all of them where that is over half of the text."""
        masked_fingerprints = self._boilerplate.fingerprints_masked_for(self._database, query.publisher_id)
        is_unmasked = np.array([key not in masked_fingerprints for key in query.fingerprints.tolist()], np.bool_)
        if 2 * np.count_nonzero(is_unmasked) < len(is_unmasked):
            if query.body is not None:
                self._text_cache.put(query.text_id, query.body)
            if self._boilerplate.mask(self._database, query.publisher_id, self._text_cache.get(query.text_id).points) is None:
                is_unmasked[:] = True
        return is_unmasked

    def _boilerplate_evidence(self, query: FingerprintQuery, fingerprint: int, bucket: Sequence[int]) -> list[int]:
        """The texts that show that a key lies in boilerplate, if there are as many as that takes."""
        min_others = self._boilerplate.min_articles - 1
        if not 1 <= min_others <= len(bucket) <= MAX_BUCKET or not self._boilerplate.needs_examination(
            self._database, query.publisher_id, fingerprint
        ):
            return []
        same_publisher = [text for text in bucket if self.publisher_of(text) == query.publisher_id][:min_others]
        return same_publisher if len(same_publisher) == min_others else []

    def _learn_boilerplate(
        self, transaction: Transaction, query: FingerprintQuery, unmasked_fingerprints: list[int], buckets: dict[int, list[int]]
    ) -> set[int]:
        """Learn what this text and so many others of its publisher share. Gives the keys that lie in it."""
        assert query.body is not None
        learned_fingerprints: set[int] = set()
        min_others = self._boilerplate.min_articles - 1
        frequent_fingerprints = {fingerprint for fingerprint, there in buckets.items() if 1 <= min_others <= len(there) <= MAX_BUCKET}
        for fingerprint in sorted(frequent_fingerprints.intersection(unmasked_fingerprints)) if frequent_fingerprints else ():
            same_publisher = self._boilerplate_evidence(query, fingerprint, buckets[fingerprint])
            if not same_publisher:
                continue
            self._text_cache.put(query.text_id, query.body)
            self._text_cache.load(same_publisher)
            points, other_points = (
                self._text_cache.get(query.text_id).points,
                [self._text_cache.get(text).points for text in same_publisher],
            )
            learned_fingerprints |= self._boilerplate.learn_passage(
                transaction, query.publisher_id, fingerprint, query.body, points, other_points
            )
        return learned_fingerprints


def _choose_candidates(ends: Int64Array, bucket_sizes: Int64Array, text_ids: Int64Array) -> list[list[int]]:
    """See `choose_top_candidates`."""
    candidates = np.zeros(len(ends) * MAX_CANDIDATES, np.int64)
    candidate_counts = np.zeros(len(ends), np.int64)
    limits = _to_array([MAX_BUCKET, MAX_PROPOSED, MAX_CANDIDATES])
    jit.compiled(choose_top_candidates)(
        to_kernel_array(ends),
        to_kernel_array(bucket_sizes),
        to_kernel_array(text_ids),
        to_kernel_array(limits),
        MIN_EVIDENCE,
        to_kernel_array(candidates),
        to_kernel_array(candidate_counts),
    )
    flat: list[int] = candidates.tolist()
    return [flat[i * MAX_CANDIDATES : i * MAX_CANDIDATES + number] for i, number in enumerate(candidate_counts.tolist())]


def _to_array(values: Sequence[int]) -> Int64Array:
    return np.array(values, np.int64)
