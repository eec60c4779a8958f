"""The candidate index: which texts share a band of their signatures. Derived from stored signatures, never a truth of its own.

A bucket, (band, its rows' values), keeps the first `MAX_BUCKET` texts that came. The index is a file beside the database and
says which of its commits it holds: what it lacks is added from the stored signatures, what does not fit is made anew.
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
"""Most texts a bucket keeps; beyond, an article still meets those that are there."""
INITIAL_CANDIDATES = 8
"""Texts that a full bucket gives at first: the earliest."""


@dataclass(frozen=True, slots=True)
class LshCandidates:
    """A text's candidates and in how many bands each was met; `crowded`: a bucket was full, so there may be more."""

    candidates: dict[int, int] = field(default_factory=dict)
    crowded: bool = False


class CandidateIndex:
    """(band, key) → texts. `query` asks, `add` takes in what was committed."""

    def __init__(self, table: HashTable, threshold: float, num_perm: int) -> None:
        self._table = table
        self._bands, self._rows = minhash.choose_bands(threshold, num_perm)

    def is_intact(self) -> bool:
        """Whether its file was not cut short or overwritten by something else."""
        return self._table.is_intact()

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self._table.size_bytes

    @property
    def commit_token(self) -> bytes:
        """The commit that is held."""
        return self._table.state.token

    @property
    def last_text(self) -> int:
        """All texts up to this key are held."""
        return self._table.state.last_text

    def add(self, text_ids: Sequence[int], signatures: Sequence[bytes], token: bytes) -> None:
        """Take in texts (keys rising, all beyond `last_text`) that the commit `token` brought."""
        if text_ids:
            self.insert(text_ids, signatures)
        self._table.commit(token, text_ids[-1] if text_ids else self.last_text)

    def insert(self, text_ids: Sequence[int], signatures: Sequence[bytes]) -> None:
        """Take in texts, without saying yet what is held."""
        hashes, text_id_array = self._hash_bands(text_ids, signatures)
        self._table.insert(hashes, text_id_array, self._bands, MAX_BUCKET)

    def query(self, text_ids: Sequence[int], signatures: Sequence[bytes], initial_limit: int | None = None) -> list[LshCandidates]:
        """The candidates of each text: among those of the index, and those before it in the batch. A full bucket gives the first
        `initial_limit` (INITIAL_CANDIDATES) of its own."""
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
        """(entries that these texts have, entries that they lack: those that are not there though their bucket has room)."""
        if not text_ids:
            return 0, 0
        return self._table.count_missing(*self._hash_bands(text_ids, signatures), self._bands, MAX_BUCKET)

    def _hash_bands(self, text_ids: Sequence[int], signatures: Sequence[bytes]) -> tuple[Int64Array, Int64Array]:
        """(35 bits for every band of every signature, flat; the texts' keys): compiled loops take their lengths on trust."""
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
    """An empty index in place of whatever is at `path`."""
    return CandidateIndex(HashTable.create(path, uuid, recipe_digest(threshold, num_perm)), threshold, num_perm)


def recipe_digest(threshold: float, num_perm: int) -> bytes:
    """What the header of an index by these settings holds."""
    return xxhash.xxh3_128_digest(minhash.banded_recipe(threshold, num_perm).encode())


def open_index(
    path: str, uuid: bytes, threshold: float, num_perm: int,
    token: bytes, last_text_of: Callable[[bytes], int | None],
    signatures: Callable[[int], Iterable[tuple[int, bytes]]], progress: Callable[[int], None] = lambda _: None,
) -> CandidateIndex:  # fmt: skip
    """The index of a database as of its commit `token`; see `hashtable.open_table`. `signatures` gives the (text, signature) pairs
    beyond a text, in order of their keys."""

    def add(table: HashTable, rows: Sequence[tuple[int, bytes]]) -> None:
        CandidateIndex(table, threshold, num_perm).insert([t for t, _ in rows], [s for _, s in rows])

    digest = recipe_digest(threshold, num_perm)
    table = open_table(path, "the candidate index", uuid, digest, token, last_text_of, signatures, add, progress)
    return CandidateIndex(table, threshold, num_perm)
