"""Shared passages in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from dedup.overlap.forms import RUN, STEPS

_MIX = np.uint64(0xFF51AFD7ED558CCD)


@njit(inline="always")
def _home(rolled: Any, mask: Any) -> Any:
    h = uint64((rolled ^ uint64(rolled >> uint64(31))) * _MIX)
    return np.int64(uint64(h ^ uint64(h >> uint64(32))) & mask)


@njit(inline="always")
def _alike(a: Any, i: Any, b: Any, j: Any) -> Any:
    k = 0
    while k < RUN and a[i + k] == b[j + k]:
        k += 1
    return k == RUN


@njit(cache=True, nogil=True)
def _roll(points: Any, base: Any) -> Any:
    """The rolling hash of every run, mod 2^64."""
    number = len(points) - RUN + 1
    rolled = np.empty(max(number, 0), np.uint64)
    if number <= 0:
        return rolled
    factor = uint64(base)
    top = uint64(1)
    h = uint64(0)
    for k in range(RUN):
        h = uint64(uint64(h * factor) + uint64(points[k]))
        if k:
            top = uint64(top * factor)
    rolled[0] = h
    for i in range(1, number):
        h = uint64(uint64(uint64(h - uint64(uint64(points[i - 1]) * top)) * factor) + uint64(points[i + RUN - 1]))
        rolled[i] = h
    return rolled


@njit(cache=True, nogil=True)
def _enter(points: Any, rolled: Any) -> Any:
    """(table, first, next): an open-addressing table of 1 + where each distinct run first stands; for every run where it
    first stands; and where it stands next, -1 at the end."""
    number = len(rolled)
    size = 16
    while size < 2 * number:
        size *= 2
    mask = np.uint64(size - 1)
    table = np.zeros(size, np.int32)
    first = np.empty(number, np.int32)
    next_ = np.full(number, -1, np.int32)
    last = np.empty(number, np.int32)
    for i in range(number):
        slot = _home(rolled[i], mask)
        while True:
            there = table[slot] - 1
            if there < 0:
                table[slot] = i + 1
                first[i] = i
                last[i] = i
                break
            if rolled[there] == rolled[i] and _alike(points, there, points, i):
                first[i] = there
                next_[last[there]] = i
                last[there] = i
                break
            slot = np.int64(uint64(slot + 1) & mask)
    return table, first, next_


@njit(cache=True, nogil=True)
def _find(table: Any, a: Any, rolled_a: Any, b: Any, j: Any, h: Any) -> Any:
    """Where run j of b, whose hash is h, first stands in a; -1 if it does not."""
    mask = np.uint64(len(table) - 1)
    slot = _home(h, mask)
    while True:
        there = table[slot] - 1
        if there < 0 or (rolled_a[there] == h and _alike(a, there, b, j)):
            return there
        slot = np.int64(uint64(slot + 1) & mask)


@njit(cache=True, nogil=True)
def _cover(starts: Any, length: int) -> Any:
    """The characters of a text that lie in one of the runs that `starts` marks."""
    covered = np.zeros(length, np.bool_)
    until = 0
    for i in range(length):
        if i < len(starts) and starts[i]:
            until = i + RUN
        covered[i] = i < until
    return covered


@njit(cache=True, nogil=True)
def _count(covered: Any, quoted: Any, masked: Any) -> tuple[int, int, int]:
    """Without masked ones: (covered characters, those of them that are not quoted, characters)."""
    characters = outside = length = 0
    for i in range(len(covered)):
        if not masked[i]:
            length += 1
            if covered[i]:
                characters += 1
                outside += not quoted[i]
    return characters, outside, length


@njit(cache=True, nogil=True)
def shared(a: Any, b: Any, quoted_a: Any, quoted_b: Any, masked_a: Any, masked_b: Any, base: int) -> tuple[int, int, int, int]:
    """(characters, outside, shorter, longest) of `dedup.overlap.Shared`."""
    rolled_a, rolled_b = _roll(a, base), _roll(b, base)
    table, first, next_ = _enter(a, rolled_a)
    met = np.zeros(len(rolled_a), np.bool_)
    found = np.empty(len(rolled_b), np.int32)
    here = -1
    for j in range(len(rolled_b)):
        if 0 <= here < len(rolled_a) - 1 and a[here + RUN] == b[j + RUN - 1]:  # the run before went on
            here = first[here + 1]
        else:
            here = _find(table, a, rolled_a, b, j, rolled_b[j])
        found[j] = here
        if here >= 0:
            met[here] = True
    covered_a, outside_a, length_a = _count(_cover(met[first], len(a)), quoted_a, masked_a)
    covered_b, outside_b, length_b = _count(_cover(found >= 0, len(b)), quoted_b, masked_b)
    longest = 0
    steps = STEPS * (len(a) + len(b))
    for j in range(len(rolled_b)):
        i = found[j]
        while i >= 0 and steps >= 0:
            steps -= 1
            if not (i and j and a[i - 1] == b[j - 1]):
                stretch = at = 0
                while i + at < len(a) and j + at < len(b) and a[i + at] == b[j + at]:
                    stretch = 0 if masked_a[i + at] or masked_b[j + at] else stretch + 1
                    longest = max(longest, stretch)
                    at += 1
                steps -= at
            i = next_[i]
        if steps < 0:
            break
    return min(covered_a, covered_b), min(outside_a, outside_b), min(length_a, length_b), longest if longest >= RUN else 0


def prepare(passages: Any, base: int) -> tuple[Any, Any]:
    """(hashes of the runs, table of them), for `runs_in`."""
    rolled = _roll(passages, base)
    return rolled, _enter(passages, rolled)[0]


@njit(cache=True, nogil=True)
def runs_in(own: Any, others: Any, theirs: Any, table: Any, base: int) -> Any:
    """See `dedup.overlap.runs_in`."""
    rolled = _roll(own, base)
    starts = np.empty(len(rolled), np.bool_)
    for i in range(len(rolled)):
        starts[i] = _find(table, others, theirs, own, i, rolled[i]) >= 0
    return _cover(starts, len(own))
