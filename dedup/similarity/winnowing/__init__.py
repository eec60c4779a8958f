"""Which passages of a text are looked up: its keys, chosen by winnowing (Schleimer, Wilkerson, Aiken: *Winnowing: Local
Algorithms for Document Fingerprinting*, SIGMOD 2003).

A run begins at every character of the normalised text and has 20 to 32 characters: the fewest whose weights add up to `FULL`. A
syllable or an ideograph weighs more than a letter, because it is rarer. So a run depends on its own characters alone, and a passage has
the same runs in every text.

Every run is hashed, and of every `window` successive hashes the smallest is chosen. Two texts that share a passage with as many whole
runs as the wider of their two windows choose a common hash in it. Such a passage has at most window + NARROW - 1 characters, and
window + WIDE - 1 where its last characters are wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.similarity import jit
from dedup.similarity.winnowing import recipe
from dedup.similarity.winnowing.recipe import KEY_BITS, KEY_BYTES, NARROW, RECIPE, WIDE, most
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KEY_BITS", "KEY_BYTES", "NARROW", "RECIPE", "WIDE", "keys", "pack", "packed", "unpack"]


def keys(folded: normalise.Folded, least: int) -> list[NDArray[np.int64] | None]:
    """The distinct keys of each text, rising; None for one that has fewer than `least` characters (normalised).

    A key is a number of `KEY_BITS` bits. The hash of a run p of k characters is fmix64(Σ p[j]·BASE^(k-1-j) + k·SPREAD) mod 2^64,
    its key the highest bits of fmix64(hash ^ AGAIN), fmix64 being MurmurHash3's 64-bit finaliser (Appleby).
    """
    rows, found = _winnowed(folded, least)
    return [None if n < 0 else rows[t][:n] for t, n in enumerate(found)]


def packed(folded: normalise.Folded, least: int) -> list[bytes | None]:
    """The keys of each text as stored: `KEY_BITS` fit into `KEY_BYTES` bytes, little-endian."""
    rows, found = _winnowed(folded, least)
    bytes_ = rows.astype("<i8", copy=False).view("u1").reshape(*rows.shape, 8)[:, :, :KEY_BYTES]
    return [None if n < 0 else bytes_[t, :n].tobytes() for t, n in enumerate(found)]


def _winnowed(folded: normalise.Folded, least: int) -> tuple[NDArray[np.int64], list[int]]:
    """A row of keys for each text, and how many of the row are its own; -1: it is too short."""
    import numpy as np

    number = len(folded.starts) - 1
    rows = np.zeros((number, _room(folded)), np.int64)
    found = np.full(number, -1, np.int64)
    if jit.worth(0):
        from dedup.similarity.winnowing.numba_kernel import winnow

        winnow(folded.points, folded.starts, recipe.weights(), least, rows, found)
    else:
        from dedup.similarity.winnowing.numpy_kernel import winnow as plain

        kept = normalise.kept_array()
        for t in range(number):
            points = folded.points[folded.starts[t] : folded.starts[t + 1]]
            own = plain(points[kept[points]], least)
            if own is not None:
                rows[t, : len(own)] = own
                found[t] = len(own)
    return rows, found.tolist()


def _room(folded: normalise.Folded) -> int:
    """Keys that the longest of the texts may have."""
    lengths = folded.starts[1:] - folded.starts[:-1]
    return most(int(lengths.max())) if len(lengths) else 0


def pack(found: NDArray[np.int64]) -> bytes:
    """Keys as stored: `KEY_BYTES` bytes each, little-endian."""
    import numpy as np

    return found.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :KEY_BYTES].tobytes()


def unpack(stored: bytes) -> NDArray[np.int64]:
    """Keys as they were before `pack`."""
    import numpy as np

    wide = np.zeros((len(stored) // KEY_BYTES, 8), np.uint8)
    wide[:, :KEY_BYTES] = np.frombuffer(stored, np.uint8).reshape(-1, KEY_BYTES)
    return wide.view("<i8").ravel().astype(np.int64)
