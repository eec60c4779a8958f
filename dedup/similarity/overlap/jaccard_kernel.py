"""Comparison of shingle sets in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dedup.runtime.heartbeat import beat
from dedup.similarity.jit import jit_compile
from dedup.similarity.overlap.pieces import run_piecewise
from dedup.text.normalise import SHINGLE_CHARACTERS

assert SHINGLE_CHARACTERS == 5  # `_hash_shingle` is written for it

_MIX = np.uint64(0xFF51AFD7ED558CCD)


@njit(inline="always")
def _hash_shingle(points: Any, at: Any, width: Any, base: Any) -> Any:
    """Hash of a shingle. Any unpredictable mix will do, because characters are compared."""
    h = np.uint64(points[at])
    if width == 5:
        for k in range(1, 5):
            h = np.uint64(np.uint64(h * base) + np.uint64(points[at + k]))
    h = np.uint64(h * base)
    h = np.uint64((h ^ (h >> np.uint64(31))) * _MIX)
    return np.uint64(h ^ (h >> np.uint64(32)))


@jit_compile
def _insert_first(a: Any, table: Any, factor: Any, begin: Any, end: Any) -> Any:
    """Enter the shingles of `a` from `begin` to `end`. Return how many of them are new."""
    width = min(len(a), SHINGLE_CHARACTERS)
    mask = np.uint64(len(table) - 1)
    distinct = 0
    begin, end = np.int64(np.uint32(begin)), np.int64(np.uint32(end))  # never negative, so that no index is from the end: quicker
    for i in range(begin, end):
        slot = np.int64(_hash_shingle(a, i, width, factor) & mask)
        while True:
            entry = table[slot]
            if entry == 0:
                table[slot] = i + 1
                distinct += 1
                break
            is_equal = True
            for k in range(width):
                if a[entry - 1 + k] != a[i + k]:
                    is_equal = False
                    break
            if is_equal:
                break
            slot = np.int64(np.uint64(slot + 1) & mask)
    return distinct


@jit_compile
def _insert_second(a: Any, b: Any, table: Any, is_common: Any, factor: Any, begin: Any, end: Any) -> Any:
    """Enter the shingles of `b` from `begin` to `end` and mark the shingles of `a` among them in `is_common`. Return (new shingles,
    newly marked ones)."""
    width_a, width_b, shingles_a = min(len(a), SHINGLE_CHARACTERS), min(len(b), SHINGLE_CHARACTERS), len(is_common)
    mask = np.uint64(len(table) - 1)
    distinct = common = 0
    begin, end = np.int64(np.uint32(begin)), np.int64(np.uint32(end))  # never negative, so that no index is from the end: quicker
    for i in range(begin, end):
        slot = np.int64(_hash_shingle(b, i, width_b, factor) & mask)
        while True:
            entry = table[slot]
            if entry == 0:
                table[slot] = shingles_a + i + 1
                distinct += 1
                break
            in_a = entry <= shingles_a
            is_equal = True
            if in_a:
                is_equal = width_a == width_b
                if is_equal:
                    for k in range(width_b):
                        if a[entry - 1 + k] != b[i + k]:
                            is_equal = False
                            break
            else:
                for k in range(width_b):
                    if b[entry - 1 - shingles_a + k] != b[i + k]:
                        is_equal = False
                        break
            if is_equal:
                if in_a and not is_common[entry - 1]:
                    is_common[entry - 1] = True
                    common += 1
                break
            slot = np.int64(np.uint64(slot + 1) & mask)
    return distinct, common


def _overlap(a: Any, b: Any, base: int, piece: int) -> tuple[int, int, int]:
    """Return (|A|, |B|, |A∩B|) of the shingle sets of two texts given as code points. `base` is an odd secret number for the hash. A
    heartbeat follows every `piece` shingles.

    One open-addressing table holds the first position of each distinct shingle in `a` or, offset by the number of shingles of `a`,
    in `b`. If hashes are equal, characters are compared, so the numbers are exact.
    """
    length_a, length_b = len(a), len(b)
    width_a, width_b = min(length_a, SHINGLE_CHARACTERS), min(length_b, SHINGLE_CHARACTERS)
    shingles_a = length_a - width_a + 1 if length_a else 0
    shingles_b = length_b - width_b + 1 if length_b else 0
    size = 16
    while size < 2 * (shingles_a + shingles_b):
        size *= 2
    factor = np.uint64(base)
    table = np.zeros(size, np.int32)  # 1 + position of the shingle
    is_common = np.zeros(shingles_a, np.bool_)
    distinct_a = distinct_b = common = 0
    for begin in range(0, shingles_a, piece):
        distinct_a += _insert_first(a, table, factor, begin, min(begin + piece, shingles_a))
        beat()
    for begin in range(0, shingles_b, piece):
        only_b, in_both = _insert_second(a, b, table, is_common, factor, begin, min(begin + piece, shingles_b))
        distinct_b += only_b + in_both
        common += in_both
        beat()
    return distinct_a, distinct_b, common


overlap = run_piecewise(_overlap)
