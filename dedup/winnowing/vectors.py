"""Winnowing one text with numpy: for few texts, and for platforms that numba does not serve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup import text
from dedup.winnowing import recipe

_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_TURN = np.uint64(33)


def width(points: NDArray[np.uint32]) -> int:
    """k for a normalised text."""
    return recipe.WIDE if 2 * int(np.count_nonzero(text.wide_array()[points])) >= len(points) else recipe.NARROW


def hashes(points: NDArray[np.uint32], k: int) -> NDArray[np.uint64]:
    """The hash of every run of k characters of a normalised text; see `winnowing.keys`."""
    number = max(len(points) - k + 1, 0)
    sums = np.zeros(number, np.uint64)
    for j in range(k if number else 0):
        sums = sums * np.uint64(recipe.BASE) + points[j : j + number]
    return mixed(sums + np.uint64(k * recipe.SPREAD & 0xFFFFFFFFFFFFFFFF))


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
    every = hashes(points, width(points))
    if len(every) > recipe.WINDOW:
        every = np.lib.stride_tricks.sliding_window_view(every, recipe.WINDOW).min(axis=1)
    elif len(every):
        every = every.min(keepdims=True)
    return np.unique(keys_of(np.unique(every)[: recipe.most(len(points))]))
