"""The passage index: which texts contain a passage. Derived from the fingerprints stored with the texts.

A bucket holds the leaders of a fingerprint. A text that copies one of them is not entered: a wire story run by a hundred papers is one
entry. A fingerprint with more than `MAX_BUCKET` leaders is a common phrase and proposes no candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from dedup.index import probing
from dedup.index.hashtable import HASH_BITS, HashTable, open_table, to_kernel_array, to_text_id_array
from dedup.similarity import jit, winnowing

assert winnowing.FINGERPRINT_BITS == HASH_BITS

MAX_BUCKET = 16
"""Leaders of a fingerprint that still proposes candidates, at most. One more is stored, to detect the excess."""

Int64Array = NDArray[np.int64]


class PassageIndex:
    """Fingerprint → text ids. `query` looks texts up, `add` enters texts that were committed."""

    def __init__(self, table: HashTable) -> None:
        self._table = table

    def is_intact(self) -> bool:
        """Return whether the file was neither truncated nor overwritten by another program."""
        return self._table.is_intact()

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self._table.size_bytes

    @property
    def last_text(self) -> int:
        """The index holds all texts up to this id."""
        return self._table.state.last_text

    def add(self, text_ids: Sequence[int], fingerprints: Sequence[Int64Array], token: bytes, last_text: int) -> None:
        """Enter texts (ids ascending) under these fingerprints of theirs. The commit `token` has texts up to `last_text`."""
        insert_texts(self._table, text_ids, fingerprints)
        self._table.commit(token, last_text)

    def query(self, fingerprints: Int64Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (number of texts for each fingerprint, at most MAX_BUCKET + 1; their ids). The ids of one fingerprint follow those of
        the other, the earliest first."""
        bucket_sizes = np.zeros(len(fingerprints), np.int64)
        fingerprints = self._table.permute_hashes(fingerprints)
        gather = jit.compiled(probing.gather)
        capacity = 2 * len(fingerprints) + 256
        while True:
            bucket_texts = np.zeros(capacity, np.int64)
            count = gather(
                self._table.kernel_slots(),
                self._table.state.homes,
                to_kernel_array(fingerprints),
                MAX_BUCKET + 1,
                to_kernel_array(bucket_sizes),
                to_kernel_array(bucket_texts),
            )
            if count >= 0:
                return bucket_sizes, bucket_texts[:count]
            capacity *= 4

    def count_missing(self, text_ids: Sequence[int], fingerprints: Sequence[Int64Array]) -> tuple[int, int]:
        """Return (entries of these texts under their fingerprints, entries that they lack)."""
        if not sum(lengths := [len(f) for f in fingerprints]):
            return 0, 0
        return self._table.count_missing(
            self._table.permute_hashes(np.concatenate(fingerprints)), np.repeat(to_text_id_array(text_ids), lengths), 1, MAX_BUCKET + 1
        )


def insert_texts(table: HashTable, text_ids: Sequence[int], fingerprints: Sequence[Int64Array]) -> None:
    """Enter texts under their fingerprints, in this order."""
    if len(text_ids) != len(fingerprints):
        raise ValueError(f"{len(text_ids)} texts and {len(fingerprints)} lists of fingerprints")
    lengths = [len(f) for f in fingerprints]
    if sum(lengths):
        table.insert(table.permute_hashes(np.concatenate(fingerprints)), np.repeat(to_text_id_array(text_ids), lengths), 1, MAX_BUCKET + 1)


def new_index(path: str, uuid: bytes) -> PassageIndex:
    """Create an empty index that replaces whatever is at `path`."""
    return PassageIndex(HashTable.create(path, uuid, _RECIPE_DIGEST))


def recipe_digest() -> bytes:
    """Return the recipe that the header of an index holds."""
    return _RECIPE_DIGEST


_RECIPE_DIGEST = xxhash.xxh3_128_digest(f"{winnowing.RECIPE}/{MAX_BUCKET}".encode())


def open_index(
    path: str, uuid: bytes, token: bytes, last_text_of: Callable[[bytes], int | None],
    fingerprints_after: Callable[[int], Iterable[tuple[int, bytes]]], progress: Callable[[int], None] = lambda _: None,
) -> PassageIndex:  # fmt: skip
    """Return the index of a database as of its commit `token`, see `hashtable.open_table`. `fingerprints_after`: text id → (text id,
    packed fingerprints that it leads) of the texts after it, in order of id."""

    def add(table: HashTable, rows: Sequence[tuple[int, bytes]]) -> None:
        insert_texts(table, [t for t, _ in rows], [winnowing.unpack(packed) for _, packed in rows])

    return PassageIndex(open_table(path, "the passage index", uuid, _RECIPE_DIGEST, token, last_text_of, fingerprints_after, add, progress))
