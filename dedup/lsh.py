"""The candidate index: which texts share a band of their signatures. Derived from stored signatures, never a truth of its own."""

from __future__ import annotations

from collections.abc import Iterable

from datasketch import MinHashLSH

from dedup import minhash

BUCKET = 64
"""Most representatives a bucket keeps; beyond, an article still meets those that are there."""


class CandidateIndex:
    """datasketch's MinHashLSH over texts, one entry a distinct normalised text, in memory."""

    def __init__(self, threshold: float, num_perm: int) -> None:
        self._lsh = MinHashLSH(num_perm=num_perm, params=minhash.bands(threshold, num_perm))
        self._texts: set[int] = set()

    def fill(self, signatures: Iterable[tuple[int, bytes]]) -> int:
        """Add stored (text, signature) pairs; returns how many."""
        number = 0
        for text, signature in signatures:
            self.add(text, signature)
            number += 1
        return number

    def add(self, text: int, signature: bytes) -> None:
        """Make a text a candidate for those to come; nothing happens for one that is there."""
        if text in self._texts:
            return
        self._texts.add(text)
        values = minhash.load(signature).hashvalues
        for (start, end), table in zip(self._lsh.hashranges, self._lsh.hashtables, strict=True):
            key = bytes(values[start:end].byteswap().data)
            if len(table.get(key)) < BUCKET:
                table.insert(key, text)

    def candidates(self, signature: bytes) -> list[int]:
        """Texts that share at least one band, in order of their keys; nothing is known of them yet."""
        return sorted(self._lsh.query(minhash.load(signature)))
