"""The candidate index: which texts share a band of their signatures.

A bucket, (band, values of its rows), keeps the first `MAX_BUCKET` texts. The index is a file next to the database and holds the token
of one of its commits. It is derived from the stored signatures: a stale index is brought up to date, an unusable one is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

from dedup.index import probing
from dedup.index.hashtable import HASH_BITS, HashTable, Int64Array, open_table, to_kernel_array, to_text_id_array
from dedup.similarity import jit, minhash

MAX_BUCKET = 64
"""Texts that a bucket keeps at most. Later texts still get those as candidates."""
INITIAL_CANDIDATES = 8
"""Texts that a full bucket contributes at first: the earliest."""


@dataclass(frozen=True, slots=True)
class LshCandidates:
    """The candidates of a text: text id → number of shared bands. `crowded`: a bucket was full, so there may be more."""

    candidates: dict[int, int] = field(default_factory=dict)
    crowded: bool = False


class CandidateIndex:
    """(band, values) → text ids. `query` looks texts up, `add` enters texts that were committed."""

    def __init__(self, table: HashTable, threshold: float, num_perm: int) -> None:
        self._table = table
        self._bands, self._rows = minhash.choose_bands(threshold, num_perm)

    def is_intact(self) -> bool:
        """Return whether the file was neither truncated nor overwritten by another program."""
        return self._table.is_intact()

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self._table.size_bytes

    @property
    def commit_token(self) -> bytes:
        """Token of the commit up to which the index is complete."""
        return self._table.state.token

    @property
    def last_text(self) -> int:
        """The index holds all texts up to this id."""
        return self._table.state.last_text

    def add(self, text_ids: Sequence[int], signatures: Sequence[bytes], token: bytes) -> None:
        """Enter the texts of the commit `token`. Ids are ascending and all above `last_text`."""
        if text_ids:
            self.insert(text_ids, signatures)
        self._table.commit(token, text_ids[-1] if text_ids else self.last_text)

    def insert(self, text_ids: Sequence[int], signatures: Sequence[bytes]) -> None:
        """Enter texts without recording a commit."""
        hashes, text_id_array = self._hash_bands(text_ids, signatures)
        self._table.insert(hashes, text_id_array, self._bands, MAX_BUCKET)

    def query(self, text_ids: Sequence[int], signatures: Sequence[bytes], initial_limit: int | None = None) -> list[LshCandidates]:
        """Return the candidates of each text, from the index and from earlier texts of this batch.

        A full bucket (`MAX_BUCKET`) contributes its first `initial_limit` texts (INITIAL_CANDIDATES by default). signatures:
        num_perm × 4 bytes each, little-endian.
        """
        if not text_ids:
            return []
        hashes, text_id_array = self._hash_bands(text_ids, signatures)
        local_homes = 2 * len(hashes)
        limits = np.array([MAX_BUCKET, INITIAL_CANDIDATES if initial_limit is None else initial_limit], np.int64)
        capacity = 64 * len(text_ids) + 4096
        query = jit.compiled(probing.query)
        while True:
            local = np.zeros(local_homes + len(hashes) + 1, np.int64)
            owners, candidates, shared = (np.zeros(capacity, np.int64) for _ in range(3))
            crowded = np.zeros(len(text_ids), np.int64)
            count = query(
                self._table.kernel_slots(), self._table.state.homes, to_kernel_array(local), local_homes, to_kernel_array(hashes),
                to_kernel_array(text_id_array), self._bands, to_kernel_array(limits), to_kernel_array(owners), to_kernel_array(candidates),
                to_kernel_array(shared), to_kernel_array(crowded),
            )  # fmt: skip
            if count >= 0:
                break
            capacity *= 4
        results = [LshCandidates(crowded=bool(c)) for c in crowded.tolist()]
        for owner, candidate, bands in zip(owners[:count].tolist(), candidates[:count].tolist(), shared[:count].tolist(), strict=True):
            results[owner].candidates[candidate] = bands
        return results

    def count_missing(self, text_ids: Sequence[int], signatures: Sequence[bytes]) -> tuple[int, int]:
        """Return (entries of these texts, entries that they lack). An entry is missing if it is absent although its bucket has room."""
        if not text_ids:
            return 0, 0
        return self._table.count_missing(*self._hash_bands(text_ids, signatures), self._bands, MAX_BUCKET)

    def _hash_bands(self, text_ids: Sequence[int], signatures: Sequence[bytes]) -> tuple[Int64Array, Int64Array]:
        """(`HASH_BITS` bits for each band of each signature, flat and permuted; the text ids). Compiled loops do not check the lengths."""
        if len(text_ids) != len(signatures):
            raise ValueError(f"{len(text_ids)} texts and {len(signatures)} signatures")
        text_id_array = to_text_id_array(text_ids)
        rows = np.frombuffer(b"".join(signatures), np.dtype("<u4")).reshape(len(signatures), -1)
        bands = rows[:, : self._bands * self._rows].reshape(len(signatures), self._bands, self._rows)
        h = np.arange(1, self._bands + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h = np.broadcast_to(h, bands.shape[:2])
        for row in range(self._rows):
            h = (h ^ bands[:, :, row]) * np.uint64(0xD6E8FEB86659FD93)
            h ^= h >> np.uint64(32)
        h = h * np.uint64(0x9E3779B97F4A7C15)
        hashes: Int64Array = (h >> np.uint64(64 - HASH_BITS)).astype(np.int64).ravel()
        return self._table.permute_hashes(hashes), text_id_array


def new_index(path: str, uuid: bytes, threshold: float, num_perm: int) -> CandidateIndex:
    """Create an empty index that replaces whatever is at `path`."""
    return CandidateIndex(HashTable.create(path, uuid, recipe_digest(threshold, num_perm)), threshold, num_perm)


def recipe_digest(threshold: float, num_perm: int) -> bytes:
    """Return the recipe that the header of an index with these settings holds."""
    return xxhash.xxh3_128_digest(minhash.banded_recipe(threshold, num_perm).encode())


def open_index(
    path: str, uuid: bytes, threshold: float, num_perm: int,
    token: bytes, last_text_of: Callable[[bytes], int | None],
    signatures: Callable[[int], Iterable[tuple[int, bytes]]], progress: Callable[[int], None] = lambda _: None,
) -> CandidateIndex:  # fmt: skip
    """Return the index of a database as of its commit `token`, see `hashtable.open_table`. `signatures`: text id → (text id, signature)
    of the texts after it, in order of id."""

    def add(table: HashTable, rows: Sequence[tuple[int, bytes]]) -> None:
        CandidateIndex(table, threshold, num_perm).insert([t for t, _ in rows], [s for _, s in rows])

    digest = recipe_digest(threshold, num_perm)
    table = open_table(path, "the candidate index", uuid, digest, token, last_text_of, signatures, add, progress)
    return CandidateIndex(table, threshold, num_perm)
