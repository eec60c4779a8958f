"""Winnowing one text with numpy: for few texts, and for platforms that numba does not serve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.similarity.winnowing import recipe

_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_TURN = np.uint64(33)
_INVERSE = pow(recipe.BASE, -1, 1 << 64)


def lengths(points: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The number of characters of the run that begins at each place of a normalised text, as far as whole runs begin: rising places."""
    before = np.concatenate(([0], np.cumsum(recipe.weights()[points], dtype=np.int64)))
    number = int(np.searchsorted(before, before[-1] - recipe.FULL, side="right"))
    ends: NDArray[np.int64] = np.searchsorted(before, before[:number] + recipe.FULL)
    return ends - np.arange(number)


def hashes(points: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """The hash of every run of a normalised text, in the order of the places where they begin; see `winnowing.keys`."""
    own = lengths(points)
    begins = np.arange(len(own))
    ends = begins + own
    powers = _powers(recipe.BASE, len(points))
    # Σ p[j]·BASE^-j up to each place: the difference of two, times a power, is the polynomial of what lies between
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(points * _powers(_INVERSE, len(points)), dtype=np.uint64)))
    return mixed((sums[ends] - sums[begins]) * powers[ends - 1] + own.astype(np.uint64) * np.uint64(recipe.SPREAD))


def _powers(base: int, number: int) -> NDArray[np.uint64]:
    """base^0 to base^(number - 1), modulo 2^64."""
    factors = np.full(number, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def mixed(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """MurmurHash3's 64-bit finaliser."""
    h = (h ^ h >> _TURN) * _M1
    h = (h ^ h >> _TURN) * _M2
    return h ^ h >> _TURN


def keys_of(chosen: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The keys that hashes stand for, one for each."""
    return (mixed(chosen ^ np.uint64(recipe.AGAIN)) >> np.uint64(64 - recipe.KEY_BITS)).astype(np.int64)


def winnow(points: NDArray[np.uint32], least: int) -> NDArray[np.int64] | None:
    """The keys of a normalised text; see `winnowing.keys`."""
    if len(points) < least or not len(points):
        return None
    every, window = hashes(points), recipe.window(len(points))
    if len(every) > window:
        every = np.lib.stride_tricks.sliding_window_view(every, window).min(axis=1)
    elif len(every):
        every = every.min(keepdims=True)
    return np.unique(keys_of(np.unique(every)[: recipe.most(len(points))]))
