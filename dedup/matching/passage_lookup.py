"""Look up the fingerprints of a batch of texts in the passage index, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dedup.index.passages import MAX_BUCKET, PassageIndex

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FingerprintQuery:
    """A text that is looked up by its fingerprints. `body` is None if the text is in the index already: it is not entered again."""

    text_id: int
    publisher_id: int
    fingerprints: Int64Array
    body: str | None


@dataclass(frozen=True, slots=True)
class PassageLookup:
    """The buckets of all fingerprints of a batch, as the index holds them.

    A position is the index of a fingerprint among the fingerprints of all `queries`, one text's after the other's; those of query i end
    before ends[i]. `bucket_texts` holds the buckets in the same order; the bucket at position p ends before bucket_ends[p]. The lists
    hold the same values as the arrays: indexing a list is faster than indexing an array."""

    queries: Sequence[FingerprintQuery]
    ends: Int64Array
    fingerprint_array: Int64Array
    bucket_size_array: Int64Array
    bucket_text_array: Int64Array
    fingerprints: list[int]
    bucket_sizes: list[int]
    bucket_texts: list[int]
    bucket_ends: list[int]
    positions_by_text: dict[int, range]

    def bucket(self, position: int) -> list[int]:
        """Return the texts that the index holds under the fingerprint at a position."""
        end = self.bucket_ends[position]
        return self.bucket_texts[end - self.bucket_sizes[position] : end]

    def proposing_texts(self) -> set[int]:
        """Return the ids of the texts in buckets of at most MAX_BUCKET entries."""
        return set(self.bucket_text_array[np.repeat(self.bucket_size_array <= MAX_BUCKET, self.bucket_size_array)].tolist())

    def with_queries(self, mask: BoolArray) -> Iterator[tuple[int, FingerprintQuery]]:
        """Yield each position that `mask` selects, with the query that it belongs to."""
        positions = np.flatnonzero(mask)
        owners = np.searchsorted(self.ends, positions, side="right")
        return ((position, self.queries[owner]) for position, owner in zip(positions.tolist(), owners.tolist(), strict=True))

    def find_repeated(self) -> BoolArray:
        """Return a mask of the fingerprints that occur more than once in the batch."""
        order = np.argsort(self.fingerprint_array)
        is_equal = self.fingerprint_array[order[1:]] == self.fingerprint_array[order[:-1]]
        is_repeated = np.zeros(len(order), np.bool_)
        is_repeated[order[1:][is_equal]] = True
        is_repeated[order[:-1][is_equal]] = True
        return is_repeated


def look_up_passages(index: PassageIndex, queries: Sequence[FingerprintQuery]) -> PassageLookup:
    """Query the index for all fingerprints of these texts, of which there must be at least one."""
    ends = np.cumsum([len(query.fingerprints) for query in queries])
    fingerprint_array = np.concatenate([query.fingerprints for query in queries])
    bucket_size_array, bucket_text_array = index.query(fingerprint_array)
    begins = [0, *ends.tolist()]
    return PassageLookup(
        queries,
        ends,
        fingerprint_array,
        bucket_size_array,
        bucket_text_array,
        fingerprint_array.tolist(),
        bucket_size_array.tolist(),
        bucket_text_array.tolist(),
        np.cumsum(bucket_size_array).tolist(),
        {query.text_id: range(begin, end) for query, begin, end in zip(queries, begins, begins[1:], strict=False)},
    )
