"""Winnowing of one text with numpy: for few texts, and for platforms without numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.similarity.winnowing import recipe

_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT_33 = np.uint64(33)
_INVERSE = pow(recipe.BASE, -1, 1 << 64)


def measure_runs(points: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the length in characters of the run that begins at each position of a normalised text; positions without a whole run are
    left out."""
    weight_before = np.concatenate(([0], np.cumsum(recipe.code_point_weights()[points], dtype=np.int64)))
    run_count = int(np.searchsorted(weight_before, weight_before[-1] - recipe.RUN_WEIGHT, side="right"))
    ends: NDArray[np.int64] = np.searchsorted(weight_before, weight_before[:run_count] + recipe.RUN_WEIGHT)
    return ends - np.arange(run_count)


def hash_runs(points: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the hash of every run of a normalised text, in order of position. See `winnowing.fingerprint_texts`."""
    run_lengths = measure_runs(points)
    begins = np.arange(len(run_lengths))
    ends = begins + run_lengths
    powers = _powers(recipe.BASE, len(points))
    # Σ p[j]·BASE^-j up to each position: the difference of two, times a power, is the polynomial of the characters between them
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(points * _powers(_INVERSE, len(points)), dtype=np.uint64)))
    return fmix64((sums[ends] - sums[begins]) * powers[ends - 1] + run_lengths.astype(np.uint64) * np.uint64(recipe.LENGTH_FACTOR))


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """base^0 to base^(count - 1), modulo 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def fmix64(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """MurmurHash3's 64-bit finaliser."""
    h = (h ^ h >> _SHIFT_33) * _M1
    h = (h ^ h >> _SHIFT_33) * _M2
    return h ^ h >> _SHIFT_33


def to_fingerprints(run_hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the fingerprint of each run hash."""
    return (fmix64(run_hashes ^ np.uint64(recipe.FINGERPRINT_SALT)) >> np.uint64(64 - recipe.FINGERPRINT_BITS)).astype(np.int64)


def winnow(points: NDArray[np.uint32], min_characters: int) -> NDArray[np.int64] | None:
    """Return the fingerprints of a normalised text; None if it is too short. See `winnowing.fingerprint_texts`."""
    if len(points) < min_characters or not len(points):
        return None
    run_hashes, window = hash_runs(points), recipe.window_size(len(points))
    if len(run_hashes) > window:
        run_hashes = np.lib.stride_tricks.sliding_window_view(run_hashes, window).min(axis=1)
    elif len(run_hashes):
        run_hashes = run_hashes.min(keepdims=True)
    return np.unique(to_fingerprints(np.unique(run_hashes)[: recipe.max_fingerprints(len(points))]))
