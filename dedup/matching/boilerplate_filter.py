"""Which fingerprints lie in boilerplate: learns it from the texts that share them, and hides it from the search for candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dedup.index.passages import MAX_BUCKET
from dedup.matching.match_caches import MatchCaches
from dedup.matching.passage_lookup import BoolArray, FingerprintQuery, Int64Array
from dedup.store import Transaction


class BoilerplateFilter:
    """Applies the boilerplate of publishers to fingerprints.

    A passage is boilerplate if enough articles of one publisher share it: a text and `min_articles` - 1 others."""

    def __init__(self, caches: MatchCaches) -> None:
        self._boilerplate, self._texts, self._publishers = caches.boilerplate, caches.texts, caches.publishers
        self._min_others = caches.boilerplate.min_articles - 1

    @property
    def masked_fingerprints(self) -> set[int]:
        """The fingerprints in the boilerplate of any publisher that is loaded."""
        return self._boilerplate.masked_fingerprints

    def is_masked_for(self, publisher_id: int, fingerprint: int) -> bool:
        """Return whether a fingerprint lies in a publisher's boilerplate."""
        return fingerprint in self._boilerplate.fingerprints_masked_for(publisher_id)

    def may_be_evidence(self, bucket_sizes: Int64Array) -> BoolArray:
        """Return a mask of the buckets with enough texts to show that a fingerprint lies in boilerplate."""
        if self._min_others < 1:
            return np.zeros(len(bucket_sizes), np.bool_)
        return (bucket_sizes >= self._min_others) & (bucket_sizes <= MAX_BUCKET)

    def find_evidence(self, query: FingerprintQuery, fingerprint: int, bucket: Sequence[int]) -> list[int]:
        """Return the texts of a bucket that show that its fingerprint lies in boilerplate of the query's publisher.

        Returns an empty list if there are too few, or if the fingerprint was examined before."""
        min_others = self._min_others
        if not 1 <= min_others <= len(bucket) <= MAX_BUCKET or not self._boilerplate.needs_examination(query.publisher_id, fingerprint):
            return []
        same_publisher = [text_id for text_id in bucket if self._publishers.get(text_id) == query.publisher_id][:min_others]
        return same_publisher if len(same_publisher) == min_others else []

    def find_unmasked(self, query: FingerprintQuery) -> BoolArray:
        """Return a mask of the query's fingerprints outside boilerplate; of all of them if boilerplate would be over half of the text."""
        masked_fingerprints = self._boilerplate.fingerprints_masked_for(query.publisher_id)
        is_unmasked = np.array([fingerprint not in masked_fingerprints for fingerprint in query.fingerprints.tolist()], np.bool_)
        if 2 * np.count_nonzero(is_unmasked) < len(is_unmasked):
            if query.body is not None:
                self._texts.put(query.text_id, query.body)
            if self._boilerplate.mask(query.publisher_id, self._texts.get(query.text_id).points) is None:
                is_unmasked[:] = True
        return is_unmasked

    def remove_masked(self, fingerprint: int, bucket: list[int]) -> list[int]:
        """Return the texts of a bucket without those that were entered before the fingerprint was learned as their boilerplate."""
        if fingerprint not in self._boilerplate.masked_fingerprints:
            return bucket
        return [text_id for text_id in bucket if not self._is_masked(text_id, fingerprint)]

    def _is_masked(self, text_id: int, fingerprint: int) -> bool:
        publisher_id = self._publishers.get(text_id)
        if publisher_id is None or not self.is_masked_for(publisher_id, fingerprint):
            return False
        return self._boilerplate.cached_mask(publisher_id, text_id, self._texts.get(text_id).points) is not None

    def learn_boilerplate(
        self, transaction: Transaction, query: FingerprintQuery, unmasked_fingerprints: list[int], buckets: dict[int, list[int]]
    ) -> set[int]:
        """Learn and store the passages of a new text that enough other articles of its publisher share. `buckets` maps the text's
        fingerprints to the texts that have them. Returns the fingerprints that lie in what was learned."""
        assert query.body is not None
        learned_fingerprints: set[int] = set()
        min_others = self._min_others
        frequent_fingerprints = {fingerprint for fingerprint, bucket in buckets.items() if 1 <= min_others <= len(bucket) <= MAX_BUCKET}
        for fingerprint in sorted(frequent_fingerprints.intersection(unmasked_fingerprints)):
            same_publisher = self.find_evidence(query, fingerprint, buckets[fingerprint])
            if not same_publisher:
                continue
            self._texts.put(query.text_id, query.body)
            self._texts.load(same_publisher)
            points = self._texts.get(query.text_id).points
            other_points = [self._texts.get(text_id).points for text_id in same_publisher]
            learned_fingerprints |= self._boilerplate.learn_passage(
                transaction, query.publisher_id, fingerprint, query.body, points, other_points
            )
        return learned_fingerprints
