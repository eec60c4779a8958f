"""Winnowing a batch of texts in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from dedup.compiled import machine_code
from dedup.winnowing import recipe

_BASE, _SPREAD, _AGAIN = np.uint64(recipe.BASE), np.uint64(recipe.SPREAD), np.uint64(recipe.AGAIN)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(64 - recipe.KEY_BITS)
_WIDE, _NARROW, _WINDOW = recipe.WIDE, recipe.NARROW, recipe.WINDOW
_MOST, _PER_KEY, _MOST_EVER = recipe.MOST, recipe.PER_KEY, recipe.MOST_EVER


@njit(inline="always")
def _mixed(h: Any) -> Any:
    h = uint64((h ^ uint64(h >> uint64(33))) * _M1)
    h = uint64((h ^ uint64(h >> uint64(33))) * _M2)
    return uint64(h ^ uint64(h >> uint64(33)))


@machine_code
def winnow(points: Any, starts: Any, kept: Any, wide: Any, least: int, keys: Any, found: Any) -> None:
    """The keys of each text into its row of `keys`, rising, and their number (-1: it is too short) into `found`; see
    `dedup.winnowing.keys`."""
    longest = 0
    for text in range(len(starts) - 1):
        longest = max(longest, starts[text + 1] - starts[text])
    own = np.empty(longest, np.uint32)
    hashes = np.empty(longest, np.uint64)
    chosen = np.empty(longest, np.uint64)
    for text in range(len(starts) - 1):
        n = 0
        broad = 0
        for i in range(starts[text], starts[text + 1]):
            code = points[i]
            if kept[code]:
                own[n] = code
                n += 1
                broad += wide[code]
        if n < least or n == 0:
            found[text] = -1
            continue
        k = _WIDE if 2 * broad >= n else _NARROW
        number = n - k + 1
        if number <= 0:
            found[text] = 0
            continue
        top = uint64(1)
        for _ in range(k - 1):
            top = uint64(top * _BASE)
        spread = uint64(uint64(k) * _SPREAD)
        rolled = uint64(0)
        for j in range(k):
            rolled = uint64(uint64(rolled * _BASE) + uint64(own[j]))
        hashes[0] = _mixed(uint64(rolled + spread))
        for i in range(1, number):
            rolled = uint64(uint64(uint64(rolled - uint64(uint64(own[i - 1]) * top)) * _BASE) + uint64(own[i + k - 1]))
            hashes[i] = _mixed(uint64(rolled + spread))
        least_at = 0
        for i in range(1, min(_WINDOW, number)):
            if hashes[i] <= hashes[least_at]:
                least_at = i
        picked = 1
        chosen[0] = hashes[least_at]
        for end in range(_WINDOW, number):
            if hashes[end] <= hashes[least_at]:
                least_at = end
            elif least_at <= end - _WINDOW:
                least_at = end - _WINDOW + 1
                for i in range(least_at + 1, end + 1):
                    if hashes[i] <= hashes[least_at]:
                        least_at = i
            else:
                continue
            chosen[picked] = hashes[least_at]
            picked += 1
        some = np.sort(chosen[:picked])
        most = min(max(_MOST, n // _PER_KEY), _MOST_EVER)
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
