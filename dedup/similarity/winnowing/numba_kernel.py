"""Winnowing a batch of texts in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from dedup.similarity.jit import machine_code
from dedup.similarity.winnowing import recipe

_BASE, _SPREAD, _AGAIN = np.uint64(recipe.BASE), np.uint64(recipe.SPREAD), np.uint64(recipe.AGAIN)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(64 - recipe.KEY_BITS)
_FULL = recipe.FULL
_POWERS = np.array([pow(recipe.BASE, n, 1 << 64) for n in range(recipe.NARROW)], np.uint64)
_window: Any = njit(recipe.window)
_most: Any = njit(recipe.most)


@njit(inline="always")
def _mixed(h: Any) -> Any:
    h = uint64((h ^ uint64(h >> uint64(33))) * _M1)
    h = uint64((h ^ uint64(h >> uint64(33))) * _M2)
    return uint64(h ^ uint64(h >> uint64(33)))


@machine_code
def winnow(points: Any, starts: Any, weights: Any, least: int, keys: Any, found: Any) -> None:
    """Write the keys of each text into its row of `keys`, rising, and their number into `found`, -1 for a text that is too short.

    points: code points (uint32) of all texts, of which text t has [starts[t], starts[t + 1]). weights: see `recipe.weights`. least:
    the fewest normalised characters of a text that is not too short. See `dedup.similarity.winnowing.keys`."""
    longest = 0
    for text in range(len(starts) - 1):
        longest = max(longest, starts[text + 1] - starts[text])
    own = np.empty(longest, np.uint32)
    own_weights = np.empty(longest, np.uint8)
    hashes = np.empty(longest, np.uint64)
    chosen = np.empty(longest, np.uint64)
    for text in range(len(starts) - 1):
        n = number = total = 0
        rolled = uint64(0)
        for i in range(starts[text], starts[text + 1]):
            weight = weights[points[i]]
            if weight == 0:
                continue
            own[n] = points[i]
            own_weights[n] = weight
            total += weight
            rolled = uint64(uint64(rolled * _BASE) + uint64(own[n]))
            n += 1
            while total >= _FULL:  # a run ends here, or several do that begin one after the other
                length = n - number
                hashes[number] = _mixed(uint64(rolled + uint64(uint64(length) * _SPREAD)))
                rolled = uint64(rolled - uint64(uint64(own[number]) * _POWERS[length - 1]))
                total -= own_weights[number]
                number += 1
        if n < least or n == 0:
            found[text] = -1
            continue
        if number == 0:
            found[text] = 0
            continue
        window = _window(n)
        least_at = 0
        for i in range(1, min(window, number)):
            if hashes[i] <= hashes[least_at]:
                least_at = i
        picked = 1
        chosen[0] = hashes[least_at]
        for end in range(window, number):
            if hashes[end] <= hashes[least_at]:
                least_at = end
            elif least_at <= end - window:
                least_at = end - window + 1
                for i in range(least_at + 1, end + 1):
                    if hashes[i] <= hashes[least_at]:
                        least_at = i
            else:
                continue
            chosen[picked] = hashes[least_at]
            picked += 1
        some = np.sort(chosen[:picked])
        most = _most(n)
        row = keys[text]
        distinct = 0
        for i in range(picked):
            if i and some[i] == some[i - 1]:
                continue
            if distinct == most:
                break
            row[distinct] = np.int64(_mixed(uint64(some[i] ^ _AGAIN)) >> _SHIFT)
            distinct += 1
        row[:distinct] = np.sort(row[:distinct])
        last = 0
        for i in range(1, distinct):
            if row[i] != row[last]:
                last += 1
                row[last] = row[i]
        found[text] = last + 1
