"""The candidate index: which texts share a band of their signatures. Derived from stored signatures, never a truth of its own.

A bucket, (band, its rows' values), keeps the first `BUCKET` texts that came. The index is a file beside the database and
says which of its commits it holds: what it lacks is added from the stored signatures, what does not fit is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

from dedup.index import probing
from dedup.index.hashtable import HASH_BITS, Slots, Table, numbered, open_table, plain
from dedup.similarity import jit, minhash

BUCKET = 64
"""Most texts a bucket keeps; beyond, an article still meets those that are there."""
FEW = 8
"""Texts that a full bucket gives at first: the earliest."""


@dataclass(frozen=True, slots=True)
class Met:
    """A text's candidates and in how many bands each was met; `crowded`: a bucket was full, so there may be more."""

    candidates: dict[int, int] = field(default_factory=dict)
    crowded: bool = False


class CandidateIndex:
    """(band, key) → texts. `meet` asks, `add` takes in what was committed."""

    def __init__(self, table: Table, threshold: float, num_perm: int) -> None:
        self._table = table
        self._bands, self._rows = minhash.bands(threshold, num_perm)

    def is_intact(self) -> bool:
        """Whether its file was not cut short or overwritten by something else."""
        return self._table.is_intact()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._table.size

    @property
    def token(self) -> bytes:
        """The commit that is held."""
        return self._table.state.token

    @property
    def last_text(self) -> int:
        """All texts up to this key are held."""
        return self._table.state.last_text

    def add(self, texts: Sequence[int], signatures: Sequence[bytes], token: bytes) -> None:
        """Take in texts (keys rising, all beyond `last_text`) that the commit `token` brought."""
        if texts:
            self.enter(texts, signatures)
        self._table.settle(token, texts[-1] if texts else self.last_text)

    def enter(self, texts: Sequence[int], signatures: Sequence[bytes]) -> None:
        """Take in texts, without saying yet what is held."""
        hashes, numbers = self._hashes(texts, signatures)
        self._table.add(hashes, numbers, self._bands, BUCKET)

    def meet(self, texts: Sequence[int], signatures: Sequence[bytes], few: int | None = None) -> list[Met]:
        """The candidates of each text: among those of the index, and those before it in the batch. A full bucket gives the first
        `few` (FEW) of its own."""
        if not texts:
            return []
        hashes, numbers = self._hashes(texts, signatures)
        local_homes = 2 * len(hashes)
        limits = np.array([BUCKET, FEW if few is None else few], np.int64)
        room = 64 * len(texts) + 4096
        meet = jit.of(probing.meet)
        while True:
            local = np.zeros(local_homes + len(hashes) + 1, np.int64)
            owners, candidates, shared = (np.zeros(room, np.int64) for _ in range(3))
            crowded = np.zeros(len(texts), np.int64)
            number = meet(
                self._table.slots(), self._table.state.homes, plain(local), local_homes, plain(hashes), plain(numbers), self._bands,
                plain(limits), plain(owners), plain(candidates), plain(shared), plain(crowded),
            )  # fmt: skip
            if number >= 0:
                break
            room *= 4
        met = [Met(crowded=bool(c)) for c in crowded.tolist()]
        for owner, candidate, bands in zip(owners[:number].tolist(), candidates[:number].tolist(), shared[:number].tolist(), strict=True):
            met[owner].candidates[candidate] = bands
        return met

    def lacking(self, texts: Sequence[int], signatures: Sequence[bytes]) -> tuple[int, int]:
        """(entries that these texts have, entries that they lack: those that are not there though their bucket has room)."""
        if not texts:
            return 0, 0
        return self._table.lacking(*self._hashes(texts, signatures), self._bands, BUCKET)

    def _hashes(self, texts: Sequence[int], signatures: Sequence[bytes]) -> tuple[Slots, Slots]:
        """(35 bits for every band of every signature, flat; the texts' keys): compiled loops take their lengths on trust."""
        if len(texts) != len(signatures):
            raise ValueError(f"{len(texts)} texts and {len(signatures)} signatures")
        keys = numbered(texts)
        rows = np.frombuffer(b"".join(signatures), np.dtype("<u4")).reshape(len(signatures), -1)
        cut = rows[:, : self._bands * self._rows].reshape(len(signatures), self._bands, self._rows)
        h = np.arange(1, self._bands + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h = np.broadcast_to(h, cut.shape[:2])
        for row in range(self._rows):
            h = (h ^ cut[:, :, row]) * np.uint64(0xD6E8FEB86659FD93)
            h ^= h >> np.uint64(32)
        h = h * np.uint64(0x9E3779B97F4A7C15)
        hashes: Slots = (h >> np.uint64(64 - HASH_BITS)).astype(np.int64).ravel()
        return self._table.scattered(hashes), keys


def new_index(path: str, uuid: bytes, threshold: float, num_perm: int) -> CandidateIndex:
    """An empty index in place of whatever is at `path`."""
    return CandidateIndex(Table.empty(path, uuid, recipe(threshold, num_perm)), threshold, num_perm)


def recipe(threshold: float, num_perm: int) -> bytes:
    """What the header of an index by these settings holds."""
    return xxhash.xxh3_128_digest(minhash.banded_recipe(threshold, num_perm).encode())


def open_index(
    path: str, uuid: bytes, threshold: float, num_perm: int,
    token: bytes, last_text_of: Callable[[bytes], int | None],
    signatures: Callable[[int], Iterable[tuple[int, bytes]]], progress: Callable[[int], None] = lambda _: None,
) -> CandidateIndex:  # fmt: skip
    """The index of a database as of its commit `token`; see `table.open_table`. `signatures` gives the (text, signature) pairs
    beyond a text, in order of their keys."""

    def add(table: Table, rows: Sequence[tuple[int, bytes]]) -> None:
        CandidateIndex(table, threshold, num_perm).enter([t for t, _ in rows], [s for _, s in rows])

    made_by = recipe(threshold, num_perm)
    table = open_table(path, "the candidate index", uuid, made_by, token, last_text_of, signatures, add, progress)
    return CandidateIndex(table, threshold, num_perm)
