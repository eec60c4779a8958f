"""Fingerprints of a text, chosen by winnowing, by which shared passages are looked up (Schleimer, Wilkerson, Aiken: *Winnowing: Local
Algorithms for Document Fingerprinting*, SIGMOD 2003).

A run begins at every character of the normalised text. It has 20 to 32 characters: the fewest whose weights add up to `RUN_WEIGHT`. A
Hangul syllable or an ideograph weighs more than a letter, because it is rarer. A run depends on its own characters only, so a passage
has the same runs in every text.

Every run is hashed, and the smallest of every `window` successive hashes is chosen. Two texts that share a passage choose a common hash
in it if the passage has as many whole runs as the wider of their windows. Such a passage has at most window + NARROW - 1 characters, or
window + WIDE - 1 if its last characters are wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.similarity import jit
from dedup.similarity.winnowing import recipe
from dedup.similarity.winnowing.recipe import (
    FINGERPRINT_BITS,
    FINGERPRINT_BYTES,
    NARROW_RUN_CHARACTERS,
    RECIPE,
    WIDE_RUN_CHARACTERS,
    max_fingerprints,
)
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FINGERPRINT_BITS",
    "FINGERPRINT_BYTES",
    "NARROW_RUN_CHARACTERS",
    "RECIPE",
    "WIDE_RUN_CHARACTERS",
    "fingerprint_texts",
    "fingerprint_texts_packed",
    "pack",
    "unpack",
]


def fingerprint_texts(folded: normalise.FoldedTexts, min_characters: int) -> list[NDArray[np.int64] | None]:
    """Return the distinct fingerprints of each text in ascending order; None for a text under `min_characters` normalised characters.

    A fingerprint has `FINGERPRINT_BITS` bits. The hash of a run p of k characters is fmix64(Σ p[j]·BASE^(k-1-j) + k·LENGTH_FACTOR)
    mod 2^64. Its fingerprint is the highest bits of fmix64(hash ^ FINGERPRINT_SALT). fmix64 is MurmurHash3's 64-bit finaliser
    (Appleby).
    """
    rows, counts = _winnow(folded, min_characters)
    return [None if n < 0 else rows[t][:n] for t, n in enumerate(counts)]


def fingerprint_texts_packed(folded: normalise.FoldedTexts, min_characters: int) -> list[bytes | None]:
    """Return the fingerprints of each text in their stored form: `FINGERPRINT_BYTES` bytes each, little-endian."""
    rows, counts = _winnow(folded, min_characters)
    row_bytes = rows.astype("<i8", copy=False).view("u1").reshape(*rows.shape, 8)[:, :, :FINGERPRINT_BYTES]
    return [None if n < 0 else row_bytes[t, :n].tobytes() for t, n in enumerate(counts)]


def _winnow(folded: normalise.FoldedTexts, min_characters: int) -> tuple[NDArray[np.int64], list[int]]:
    """(a row of fingerprints for each text, their number in each row; -1 for a text that is too short)."""
    import numpy as np

    text_count = len(folded.starts) - 1
    rows = np.zeros((text_count, _max_row_length(folded)), np.int64)
    counts = np.full(text_count, -1, np.int64)
    if jit.count_work(0):
        from dedup.similarity.winnowing.numba_kernel import winnow

        winnow(folded.points, folded.starts, recipe.code_point_weights(), min_characters, rows, counts)
    else:
        from dedup.similarity.winnowing.numpy_kernel import winnow as winnow_with_numpy

        alphanumeric = normalise.alphanumeric_mask()
        for t in range(text_count):
            points = folded.points[folded.starts[t] : folded.starts[t + 1]]
            fingerprints = winnow_with_numpy(points[alphanumeric[points]], min_characters)
            if fingerprints is not None:
                rows[t, : len(fingerprints)] = fingerprints
                counts[t] = len(fingerprints)
    return rows, counts.tolist()


def _max_row_length(folded: normalise.FoldedTexts) -> int:
    """The most fingerprints that the longest of the texts may have."""
    lengths = folded.starts[1:] - folded.starts[:-1]
    return max_fingerprints(int(lengths.max())) if len(lengths) else 0


def pack(fingerprints: NDArray[np.int64]) -> bytes:
    """Return fingerprints in their stored form: `FINGERPRINT_BYTES` bytes each, little-endian."""
    import numpy as np

    return fingerprints.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :FINGERPRINT_BYTES].tobytes()


def unpack(packed_rows: bytes) -> NDArray[np.int64]:
    """Return the fingerprints that `pack` packed."""
    import numpy as np

    padded = np.zeros((len(packed_rows) // FINGERPRINT_BYTES, 8), np.uint8)
    padded[:, :FINGERPRINT_BYTES] = np.frombuffer(packed_rows, np.uint8).reshape(-1, FINGERPRINT_BYTES)
    return padded.view("<i8").ravel().astype(np.int64)
